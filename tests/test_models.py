"""The networks: sizes, the lectures' interface, gradients, and that they learn."""

import numpy as np
import pytest
from small_networks import DEEP, SMALL_NETWORKS

import fastconv as fc
from fastconv.models import MODELS, build
from fastconv.models.lecture_interface import LectureNetwork

SMALL = {"input_dim": (1, 10, 10), "conv_param": {"filter_num": 4, "filter_size": 3}, "hidden_size": 6}


@pytest.fixture(autouse=True)
def seeded():
    fc.manual_seed(0)


def small_net():
    return fc.models.SimpleConvNet(**SMALL)


def images(n, shape=(1, 10, 10)):
    rng = np.random.default_rng(1)
    return rng.random((n, *shape), dtype="float32"), rng.integers(0, 10, n)


def parameter_count(model):
    return sum(p.size for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: fc.models.SimpleConvNet(), 433_890),
        (lambda: fc.models.LeNet5(), 61_706),
        (lambda: fc.models.LeNet5((3, 32, 32)), 62_006),
        (lambda: fc.models.LeNet5((3, 32, 32), activation="relu", pooling="max", channels=(32, 64)), 256_830),
        (lambda: fc.models.LeNet5Original(), 60_000),
        (lambda: fc.models.KerasMnist(), 1_413_834),
        (lambda: fc.models.ConvNetJS(), 22_466),
        (lambda: fc.models.LinearClassifier(), 7_850),
        (lambda: fc.models.LinearClassifier((3, 32, 32)), 30_730),
    ],
)
def test_parameter_counts_are_the_lectures(model, count):
    assert parameter_count(model()) == count


def test_simple_convnet_shapes_are_the_lectures():
    net = fc.models.SimpleConvNet()
    shapes = {name: value.shape for name, value in net.params.items()}
    assert shapes == {
        "W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,), "W3": (100, 10), "b3": (10,),
    }  # fmt: skip
    assert list(net.layers) == ["Conv1", "Relu1", "Pool1", "Flatten", "Affine1", "Relu2", "Affine2"]
    assert net.predict(np.zeros((2, 1, 28, 28), "float32")).shape == (2, 10)


def test_first_weights_follow_weight_init_std():
    plain = fc.models.SimpleConvNet(weight_init_std=0.05)
    assert plain.params["W2"].std() == pytest.approx(0.05, rel=0.02)
    assert not plain.params["b2"].any()
    he = fc.models.SimpleConvNet(weight_init_std="relu")
    assert he.params["W2"].std() == pytest.approx((2 / 4320) ** 0.5, rel=0.02)
    xavier = fc.models.SimpleConvNet(weight_init_std="xavier")
    assert xavier.params["W2"].std() == pytest.approx((1 / 4320) ** 0.5, rel=0.02)
    with pytest.raises(fc.ArgumentError, match="weight_init_std"):
        fc.models.SimpleConvNet(weight_init_std="best")


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("input_dim", [(1, 28, 28), (1, 32, 32), (3, 32, 32), (5, 28, 28)])
def test_lenet5_takes_both_sizes_and_any_channels(input_dim, activation, pooling):
    net = fc.models.LeNet5(input_dim, activation=activation, pooling=pooling)
    assert net(np.zeros((2, *input_dim), "float32")).shape == (2, 10)
    maps = net.s4(net.act3(net.c3(net.s2(net.act1(net.c1(np.zeros((1, *input_dim), "float32")))))))
    assert maps.shape == (1, 16, 5, 5)


def test_the_keras_network_has_the_lectures_sizes():
    net = fc.models.KerasMnist()
    shapes = [row.shape for row in fc.summary(net, (1, 28, 28)).rows if row.kind in ("MaxPool2d", "Linear")]
    assert shapes == [(64, 14, 14), (128, 7, 7), (256, 3, 3), (128,), (64,), (10,)]


def test_convnetjs_has_its_pages_sizes():
    rows = fc.summary(fc.models.ConvNetJS(), (3, 32, 32)).rows
    assert [row.shape for row in rows if row.kind in ("Conv2d", "Linear")] == [
        (16, 32, 32), (20, 16, 16), (20, 8, 8), (10,),
    ]  # fmt: skip
    assert [row.parameters for row in rows if row.parameters] == [1216, 8020, 10_020, 3210]


@pytest.mark.parametrize("model", [fc.models.KerasMnist, fc.models.ConvNetJS])
def test_images_too_small_for_three_poolings_are_refused(model):
    assert model((2, 8, 9))(np.zeros((1, 2, 8, 9), "float32")).shape == (1, 10)
    with pytest.raises(fc.ShapeError, match="images of 8x8 or more"):
        model((1, 7, 8))


def test_wrong_options_are_refused_by_name():
    with pytest.raises(fc.ArgumentError, match="28x28 or 32x32"):
        fc.models.LeNet5((1, 8, 8))
    with pytest.raises(fc.ArgumentError, match="'gelu'"):
        fc.models.LeNet5(activation="gelu")
    with pytest.raises(fc.ArgumentError, match="filters"):
        fc.models.SimpleConvNet(conv_param={"filters": 3})
    with pytest.raises(fc.ArgumentError, match=r"conv_param must be a dict of .* got 3"):
        fc.models.SimpleConvNet(conv_param=3)
    with pytest.raises(fc.ArgumentError, match=r"input_dim must be \(C, H, W\), .* got 784"):
        fc.models.SimpleConvNet(784)
    for std in (-1, float("nan"), float("inf")):
        with pytest.raises(fc.ArgumentError, match="weight_init_std must be at least 0"):
            fc.models.SimpleConvNet(weight_init_std=std)
    with pytest.raises(fc.ArgumentError, match=r"alexnot.*simple_convnet, lenet5"):
        build("alexnot")
    with pytest.raises(fc.ArgumentError, match=r"lenet5.*depth"):
        build("lenet5", {"depth": 3})
    with pytest.raises(fc.ArgumentError, match=r"input_dim must be \(C, H, W\)"):
        fc.models.LeNet5((28, 28))


@pytest.mark.parametrize("name", MODELS)
def test_build_makes_the_same_network_from_its_config(name):
    with fc.nn.init.unset():
        first = build(name)
        again = build(first.name, first.config)
    assert [p.shape for p in again.parameters()] == [p.shape for p in first.parameters()]
    assert again.config == first.config


def test_gradient_agrees_with_finite_differences():
    net = fc.models.SimpleConvNet(**SMALL, weight_init_std="he")
    x, t = images(3)
    backward, numeric = net.gradient(x, t), net.numerical_gradient(x, t, eps=1e-6)
    assert backward.keys() == numeric.keys() == set(net.params)
    for name, expected in numeric.items():
        assert backward[name].shape == expected.shape
        np.testing.assert_allclose(backward[name], expected, atol=2e-7, rtol=1e-3, err_msg=name)


def test_gradient_agrees_with_finite_differences_beside_buffers():
    class Nearest(LectureNetwork):
        def __init__(self):
            super().__init__()
            self.flatten, self.linear = fc.nn.Flatten(), fc.nn.Linear(4, 3)
            self.norm, self.distances = fc.nn.BatchNorm1d(3), fc.nn.RBF(3, 2, np.eye(2, 3))

    net = Nearest().eval()
    x, t = images(5, (1, 2, 2))
    backward, numeric = net.gradient(x, t % 2), net.numerical_gradient(x, t % 2, eps=1e-6)
    assert set(backward) == {"W1", "b1", "W2", "b2"}
    for name, expected in numeric.items():
        np.testing.assert_allclose(backward[name], expected, atol=2e-6, rtol=1e-3, err_msg=name)


def test_params_are_views_that_train_the_network():
    net = small_net()
    x, t = images(20)
    before = net.loss(x, t)
    for _ in range(10):
        grads = net.gradient(x, t)
        for name in net.params:
            net.params[name] -= 0.5 * grads[name]
    assert net.loss(x, t) < before


def test_setting_params_copies_and_checks_the_shape():
    net = small_net()
    new = np.full((6, 10), 0.5)
    net.params["W3"] = new
    new[:] = 7
    assert (net.affine2.weight.numpy() == 0.5).all()
    with pytest.raises(fc.ShapeError, match=r"W3 has shape \(6, 10\)"):
        net.params["W3"] = np.zeros((10, 6))
    with pytest.raises(fc.ArgumentError, match="W9"):
        net.params["W9"] = new


def test_accuracy_counts_the_last_smaller_batch_and_takes_one_hot():
    net = small_net()
    x, _ = images(25)
    t = net.predict(x).argmax(1)
    assert net.accuracy(x, t, batch_size=10) == 1
    assert net.accuracy(x, np.eye(10)[t], batch_size=10) == 1
    t[-1] = (t[-1] + 1) % 10
    assert net.accuracy(x, t, batch_size=10) == pytest.approx(24 / 25)
    with pytest.raises(fc.ShapeError, match="one label per image"):
        net.accuracy(x, t[:3])
    for size in (0, -1):
        with pytest.raises(fc.ArgumentError, match=f"accuracy: batch_size must be at least 1, got {size}"):
            net.accuracy(x, t, batch_size=size)


@pytest.mark.parametrize("name", ["params.pkl", "params.safetensors"])
def test_saved_params_come_back(tmp_path, name):
    net, other = small_net(), small_net()
    x, _ = images(4)
    net.save_params(tmp_path / name)
    other.load_params(tmp_path / name)
    assert (other.predict(x) == net.predict(x)).all()


def test_params_of_another_network_change_nothing(tmp_path):
    net = small_net()
    other = fc.models.SimpleConvNet(**{**SMALL, "hidden_size": 7})
    other.save_params(tmp_path / "params.pkl")
    before = {name: value.copy() for name, value in net.params.items()}
    with pytest.raises(fc.ShapeError, match="W2"):
        net.load_params(tmp_path / "params.pkl")
    assert all((net.params[name] == value).all() for name, value in before.items())


@pytest.mark.parametrize("name", [name for name in MODELS if name not in DEEP])
def test_networks_learn_a_small_set_by_heart(name):
    net = build(name, SMALL_NETWORKS.get(name))
    x, t = images(30, net.config["input_dim"])
    optimizer = fc.optim.Adam(net.parameters(), lr=0.001 if name == "keras_mnist" else 0.003)
    for step in range(300):
        optimizer.zero_grad()
        fc.functional.cross_entropy(net(x), t).backward()
        optimizer.step()
        if step % 20 == 19 and net.accuracy(x, t) == 1:
            return
    assert net.accuracy(x, t) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda p: fc.optim.Adadelta(p, lr=1.0, rho=0.95, eps=1e-8, weight_decay=0.0001),
        lambda p: fc.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.0001),
    ],
    ids=["adadelta", "sgd and momentum"],
)
def test_the_convnetjs_page_trains_its_network_in_batches_of_4(make):
    """Adadelta, or SGD with momentum; an l2 decay of 0.0001; images flipped, and moved by up to 2 pixels."""
    net = fc.models.ConvNetJS((3, 16, 16))
    rng = np.random.default_rng(0)
    t = rng.integers(0, 3, 40)
    x = 0.3 * rng.random((40, 3, 16, 16), dtype="float32")
    x[np.arange(40), t] += 0.5
    moves = fc.data.Compose([fc.data.RandomHorizontalFlip(), fc.data.RandomShift(2)])
    trainer = fc.Trainer(net, make(net.parameters()), transform=moves, progress=False)
    assert trainer.fit((x, t), epochs=10, batch_size=4)[-1].train_accuracy > 0.9
