"""Layers and optimizers: PyTorch's names, arguments and values, parameters in order, modes, saving and loading."""

import copy

import numpy as np
import pytest
import reference

import fastconv as fc
from fastconv import nn, random


@pytest.fixture(autouse=True)
def on_backend(backend):
    fc.manual_seed(0)
    with fc.use(backend.name):
        yield


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.inner = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
        self.scale = nn.Parameter(np.ones(1, "float32"))
        self.last = nn.Linear(8, 3, bias=False)

    def forward(self, x):
        return self.last(self.inner(self.first(x))) * self.scale


def images(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


class TestModules:
    def test_parameters_by_dotted_name_in_the_order_they_were_set(self):
        names = [name for name, _ in Net().named_parameters()]
        assert names == ["scale", "first.weight", "first.bias", "last.weight"]

    def test_a_shared_parameter_comes_once(self):
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[1].weight = net[0].weight
        assert len(net.parameters()) == 3

    def test_modules_and_children(self):
        net = Net()
        assert [name for name, _ in net.named_children()] == ["first", "inner", "last"]
        assert [name for name, _ in net.named_modules()] == [
            "", "first", "inner", "inner.0", "inner.1", "inner.2", "last",
        ]  # fmt: skip

    def test_train_and_eval_reach_every_module(self):
        net = Net()
        assert net.eval() is net
        assert not any(module.training for _, module in net.named_modules())
        assert all(module.training for _, module in net.train().named_modules())

    def test_dropout_acts_while_training_only(self, rng):
        x = images(rng, 4, 1, 4, 4)
        net = Net()
        assert (net(x).numpy() != net(x).numpy()).any()
        net.eval()
        np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
        layer = nn.Dropout(0.5).eval()
        np.testing.assert_array_equal(layer(x).numpy(), x)

    def test_zero_grad(self, rng):
        net = Net()
        net(images(rng, 2, 1, 4, 4)).sum().backward()
        assert all(p.grad is not None for p in net.parameters())
        net.zero_grad()
        assert all(p.grad is None for p in net.parameters())

    def test_copies_are_independent(self):
        net = Net()
        twin = copy.deepcopy(net)
        twin.first.weight.data[...] = 7
        assert not (net.first.weight.numpy() == 7).any()
        assert twin.first.weight.backend is net.first.weight.backend

    def test_a_copy_can_be_trained(self, rng):
        twin = copy.deepcopy(nn.Conv2d(2, 3, 3))
        optimizer = fc.optim.SGD(twin.parameters(), lr=1.0)
        before = twin.weight.numpy().copy()
        twin(images(rng, 1, 2, 3, 3)).sum().backward()
        optimizer.step()
        np.testing.assert_allclose(twin.weight.numpy(), before - twin.weight.grad.numpy(), rtol=1e-6)

    def test_looks(self):
        text = repr(Net())
        for part in (
            "Net(",
            "(first): Conv2d(1, 2, kernel_size=(3, 3)",
            "(0): ReLU()",
            "Dropout(p=0.5)",
            "Linear(8, 3",
        ):
            assert part in text

    def test_without_forward(self):
        with pytest.raises(NotImplementedError, match="Module has no forward method"):
            nn.Module()(1)

    def test_the_same_seed_makes_the_same_weights(self):
        nets = []
        for _ in range(2):
            fc.manual_seed(11)
            nets.append(Net())
        for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


class TestSequential:
    def test_runs_in_order_and_can_be_named(self, rng):
        x = images(rng, 2, 5)
        net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), out=nn.Linear(4, 3))
        expected = net.out(net[1](net[0](x)))
        np.testing.assert_array_equal(net(x).numpy(), expected.numpy())
        assert len(net) == 3
        assert [name for name, _ in net.named_children()] == ["0", "1", "out"]
        assert isinstance(list(net)[1], nn.ReLU)

    def test_empty(self, rng):
        x = fc.tensor(images(rng, 2, 5))
        assert nn.Sequential()(x) is x


class TestState:
    def test_there_and_back(self, rng):
        x, a, b = images(rng, 2, 1, 4, 4), Net().eval(), Net().eval()
        assert (a(x).numpy() != b(x).numpy()).any()
        b.load_state_dict(a.state_dict())
        np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())

    def test_state_is_a_copy(self):
        net = Net()
        state = net.state_dict()
        net.scale.data[...] = 5
        assert state["scale"].tolist() == [1]
        assert all(isinstance(value, np.ndarray) for value in state.values())

    def test_parameters_stay_the_same_objects(self):
        net = Net()
        weight, data = net.first.weight, net.first.weight.data
        net.load_state_dict(Net().state_dict())
        assert net.first.weight is weight
        assert net.first.weight.data is data

    def test_all_or_none(self):
        net = Net()
        before = net.state_dict()
        state = Net().state_dict()
        state["last.weight"] = np.zeros((4, 8), "float32")
        with pytest.raises(fc.ShapeError, match=r"last.weight has shape \(3, 8\), the state \(4, 8\)"):
            net.load_state_dict(state)
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[name])

    def test_missing_and_unknown_names(self):
        state = Net().state_dict()
        state["extra"] = state.pop("scale")
        with pytest.raises(fc.ArgumentError, match=r"missing: \['scale'\]; .* Net: \['extra'\]"):
            Net().load_state_dict(state)


class TestLayers:
    @pytest.mark.parametrize(
        ("make", "in_shape", "out_shape"),
        [
            (lambda: nn.Conv2d(3, 8, 3, padding=1), (2, 3, 7, 6), (2, 8, 7, 6)),
            (lambda: nn.Conv2d(4, 8, (3, 1), stride=(2, 1), groups=2, bias=False), (2, 4, 7, 6), (2, 8, 3, 6)),
            (lambda: nn.Conv2d(1, 2, np.int64(3)), (1, 1, 5, 5), (1, 2, 3, 3)),
            (lambda: nn.Conv2d(1, 2, [3, 2], padding="same", dilation=2), (1, 1, 5, 5), (1, 2, 5, 5)),
            (lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 7, 7), (2, 3, 4, 4)),
            (lambda: nn.MaxPool2d(2, ceil_mode=True), (2, 3, 7, 7), (2, 3, 4, 4)),
            (lambda: nn.AvgPool2d(2), (2, 3, 7, 7), (2, 3, 3, 3)),
            (lambda: nn.GlobalAvgPool2d(), (2, 3, 7, 5), (2, 3, 1, 1)),
            (lambda: nn.GlobalMaxPool2d(), (2, 3, 7, 5), (2, 3, 1, 1)),
            (lambda: nn.KMaxPool(4), (2, 3, 7, 6), (2, 3, 7, 4)),
            (lambda: nn.KMaxPool(2, axis=1), (2, 3, 7), (2, 2, 7)),
            (lambda: nn.LocalResponseNorm(5), (2, 3, 7, 5), (2, 3, 7, 5)),
            (lambda: nn.LocalResponseNorm(2, alpha=1, k=2), (2, 3), (2, 3)),
            (lambda: nn.Linear(5, 4), (3, 5), (3, 4)),
            (lambda: nn.Flatten(), (2, 3, 4, 5), (2, 60)),
            (lambda: nn.Flatten(2), (2, 3, 4, 5), (2, 3, 20)),
            (lambda: nn.Identity(), (2, 3), (2, 3)),
            (lambda: nn.ReLU(), (2, 3, 4, 5), (2, 3, 4, 5)),
            (lambda: nn.LeakyReLU(0.2), (2, 3), (2, 3)),
            (lambda: nn.Sigmoid(), (2, 3), (2, 3)),
            (lambda: nn.Tanh(), (2, 3), (2, 3)),
            (lambda: nn.Softmax(), (2, 3), (2, 3)),
        ],
    )
    def test_shapes(self, make, in_shape, out_shape, rng):
        assert tuple(make()(fc.tensor(images(rng, *in_shape))).shape) == out_shape

    def test_first_weights_lie_within_the_root_of_the_fan_in(self):
        for layer, fan_in in ((nn.Conv2d(4, 32, 5, groups=2), 50), (nn.Linear(300, 200), 300)):
            bound = fan_in**-0.5
            for p in (layer.weight, layer.bias):
                assert abs(p.numpy()).max() <= bound
            assert layer.weight.numpy().std() == pytest.approx(bound / 3**0.5, rel=0.05)

    def test_layers_of_float64(self, rng):
        layer = nn.Conv2d(1, 2, 3, dtype="float64")
        assert layer(rng.standard_normal((1, 1, 5, 5))).dtype == "float64"

    def test_loss_takes_labels_and_one_hot_rows(self, rng):
        logits, labels = images(rng, 4, 3), np.array([2, 0, 1, 1])
        expected, _ = reference.softmax_cross_entropy(logits, labels)
        loss = nn.CrossEntropyLoss()
        assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-6)
        assert loss(logits, np.eye(3)[labels]).item() == pytest.approx(expected, rel=1e-6)
        assert nn.CrossEntropyLoss(reduction="sum")(logits, labels).item() == pytest.approx(4 * expected, rel=1e-6)


class TestOptimizers:
    MAKERS = (
        lambda p: fc.optim.SGD(p, lr=0.1),
        lambda p: fc.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        lambda p: fc.optim.AdaGrad(p, lr=0.3),
        lambda p: fc.optim.RMSprop(p, lr=0.02),
        lambda p: fc.optim.Adadelta(p, lr=10.0),
        lambda p: fc.optim.Adam(p, lr=0.05),
        lambda p: fc.optim.AdamW(p, lr=0.05),
    )

    @staticmethod
    def one_step(weight, optimizer):
        optimizer.zero_grad()
        ((weight - np.array([1.0, -2.0, 3.0])) ** 2).sum().backward()
        optimizer.step()

    @pytest.mark.parametrize("make", MAKERS)
    def test_finds_the_bottom_of_a_bowl(self, make):
        weight = nn.Parameter(np.zeros(3))
        optimizer = make([weight])
        for _ in range(400):
            self.one_step(weight, optimizer)
        np.testing.assert_allclose(weight.numpy(), [1, -2, 3], atol=0.15)

    @pytest.mark.parametrize("make", MAKERS)
    def test_continues_from_saved_state_bit_for_bit(self, make):
        weight = nn.Parameter(np.zeros(3))
        optimizer = make([weight])
        for _ in range(3):
            self.one_step(weight, optimizer)
        twin = nn.Parameter(weight.numpy().copy())
        other = make([twin])
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for _ in range(3):
            self.one_step(weight, optimizer)
            self.one_step(twin, other)
        assert weight.numpy().tobytes() == twin.numpy().tobytes()

    def test_parameters_without_a_gradient_stay(self):
        used, unused = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))
        optimizer = fc.optim.Adam([used, unused])
        (used * 2.0).sum().backward()
        optimizer.step()
        assert unused.numpy().tolist() == [1, 1]
        assert (used.numpy() != 1).all()

    def test_state_of_another_optimizer_is_refused(self):
        weight = nn.Parameter(np.ones(3))
        with pytest.raises(fc.ArgumentError, match="another optimizer or network"):
            fc.optim.Adam([weight]).load_state_dict(fc.optim.SGD([weight]).state_dict())
        with pytest.raises(fc.ShapeError, match=r"mean.0 has shape \(2,\), not \(3,\)"):
            fc.optim.Adam([weight]).load_state_dict(fc.optim.Adam([nn.Parameter(np.ones(2))]).state_dict())


def test_a_network_learns(rng):
    """Two classes that differ in one half of the image, from scratch."""
    labels = rng.integers(0, 2, 64)
    x = rng.random((64, 1, 8, 8), dtype="float32")
    x[labels == 1, :, :4] += 0.5
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    loss, optimizer = nn.CrossEntropyLoss(), fc.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss(net(x), labels).backward()
        optimizer.step()
    assert (net(x).numpy().argmax(axis=1) == labels).mean() > 0.95


def test_a_parameter_of_python_numbers_is_float32_like_a_tensor():
    assert fc.nn.Parameter([2.0]).dtype == fc.tensor([2.0]).dtype == np.float32
    assert fc.nn.Parameter(np.array([2.0])).dtype == np.float64


def test_unset_weights_draw_nothing_and_take_values_later():
    fc.manual_seed(3)
    stream = random.get_state()
    with fc.nn.init.unset():
        layer = fc.nn.Conv2d(3, 4, 3, groups=1, dtype="float64")
        listed = fc.nn.Parameter([1.0, 2.0])
    assert random.get_state() == stream
    assert (layer.weight.shape, layer.weight.dtype, layer.bias.shape) == ((4, 3, 3, 3), "float64", (4,))
    assert (listed.shape, listed.dtype) == ((2,), "float32")
    drawn = fc.nn.Conv2d(3, 4, 3, dtype="float64")
    layer.load_state_dict(drawn.state_dict())
    assert (layer.weight.numpy() == drawn.weight.numpy()).all()
