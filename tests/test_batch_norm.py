"""Batch normalisation as users meet it: layers and their modes, buffers, saving, resuming, compiled steps."""

import copy
import pickle

import numpy as np
import pytest
from eager_steps import eager_step

import fastconv as fc
from fastconv import nn

F = fc.functional


@pytest.fixture(autouse=True)
def on_backend(backend):
    fc.manual_seed(0)
    with fc.use(backend.name):
        yield


def convnet(dtype="float32"):
    """As ResNet begins: a convolution, its normalisation, ReLU; and rows that are normalised."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, dtype=dtype), nn.BatchNorm2d(4, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, dtype=dtype), nn.BatchNorm2d(5, momentum=0.3, affine=False, dtype=dtype), nn.Tanh(),
        nn.Flatten(), nn.Linear(20, 6, dtype=dtype), nn.BatchNorm1d(6, dtype=dtype), nn.ReLU(),
        nn.Linear(6, 3, dtype=dtype),
    )  # fmt: skip


def some_batch(n=6, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2, 8, 8)).astype(dtype), rng.integers(0, 3, n)


def assert_same_state(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


class TestLayers:
    @pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm2d, (5, 3, 4, 6)), (nn.BatchNorm1d, (40, 3))])
    def test_training_gives_mean_0_and_variance_1(self, layer, shape, rng):
        y = layer(3)(5 + 3 * rng.standard_normal(shape, "float32")).numpy()
        axes = (0, 2, 3)[: len(shape) - 1]
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-6)
        np.testing.assert_allclose(y.var(axes), 1, rtol=1e-4)

    def test_evaluation_takes_the_running_statistics_which_stay(self, rng):
        layer = nn.BatchNorm2d(3)
        layer.load_state_dict({
            "weight": np.array([1, 2, 3], "float32"), "bias": np.array([0, 1, 0], "float32"),
            "running_mean": np.array([1, 0, 2], "float32"), "running_var": np.array([4, 1, 16], "float32"),
        })  # fmt: skip
        layer.eps = 0.0
        before = layer.state_dict()
        x = rng.integers(-8, 9, (2, 3, 2, 2)).astype("float32")
        y = layer.eval()(x).numpy()
        for c, (mean, std, weight, bias) in enumerate([(1, 2, 1, 0), (0, 1, 2, 1), (2, 4, 3, 0)]):
            np.testing.assert_array_equal(y[:, c], (x[:, c] - mean) / std * weight + bias)
        layer(x[:1, :, :1, :1])  # one element has no variance, and needs none here
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(value, before[name])

    def test_running_statistics_move_towards_those_of_the_batches(self, rng):
        layer = nn.BatchNorm1d(4, momentum=0.25)
        mean, var = np.zeros(4), np.ones(4)
        for _ in range(3):
            x = rng.standard_normal((9, 4)).astype("float32")
            layer(x)
            mean, var = 0.75 * mean + 0.25 * x.mean(0), 0.75 * var + 0.25 * x.var(0, ddof=1)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", [(4, 3, 2, 3), (5, 2)])
    def test_gradients(self, shape, training, rng):
        C = shape[1]
        mean, var = fc.tensor(rng.standard_normal(C)), fc.tensor(rng.uniform(0.5, 2, C))

        def normalised(x, weight, bias):
            return F.batch_norm(x, mean, var, weight, bias, training, eps=0.01) ** 2

        assert fc.gradcheck(normalised, *(rng.standard_normal(s) for s in (shape, (C,), (C,))))

    def test_gradients_of_a_network(self, rng):
        """A loss through three normalised layers, in both modes, against finite differences."""
        model, (x, t) = convnet("float64"), some_batch(3, dtype="float64")
        for mode in (model.train, model.eval):
            mode()
            assert fc.gradcheck(lambda x: F.cross_entropy(model(x), t), x)

    def test_float64_and_without_weights(self, rng):
        layer = nn.BatchNorm2d(3, affine=False, dtype="float64")
        assert layer(rng.standard_normal((2, 3, 4, 4))).dtype == "float64"
        assert [name for name, _ in layer.named_buffers()] == ["running_mean", "running_var"]
        assert layer.parameters() == []

    def test_looks(self):
        assert repr(nn.BatchNorm2d(8)) == "BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=True)"
        rows = fc.summary(convnet(), (2, 8, 8)).rows
        assert [(row.kind, row.shape, row.parameters) for row in rows if "Norm" in row.kind] == [
            ("BatchNorm2d", (4, 8, 8), 8), ("BatchNorm2d", (5, 2, 2), 0), ("BatchNorm1d", (6,), 12),
        ]  # fmt: skip


class TestMistakes:
    def test_other_axes(self):
        with pytest.raises(fc.ShapeError, match=r"BatchNorm2d: x must be \(N, C, H, W\), got shape \(4, 3\)"):
            nn.BatchNorm2d(3)(np.zeros((4, 3), "float32"))

    def test_other_channels_are_noted_with_the_layer(self):
        model = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3))
        with pytest.raises(fc.ShapeError, match=r"must have shape \(4,\), got \(3,\)") as caught:
            model(np.zeros((2, 4, 5, 5), "float32"))
        assert "in layer 1 of Sequential: BatchNorm2d(3" in caught.value.__notes__[0]

    def test_one_image_while_training(self):
        with pytest.raises(fc.ShapeError, match="one element of a channel"):
            nn.BatchNorm1d(3)(np.zeros((1, 3), "float32"))

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"num_features": 0}, "num_features must be at least 1"),
            ({"num_features": 3, "momentum": 1.5}, "momentum must be from 0 to 1"),
            ({"num_features": 3, "momentum": None}, "momentum must be from 0 to 1, got None"),
            ({"num_features": 3, "eps": -1}, "eps must be at least 0"),
        ],
    )
    def test_options(self, options, text):
        with pytest.raises(fc.ArgumentError, match=text):
            nn.BatchNorm2d(**options)

    def test_evaluation_without_running_statistics(self):
        with pytest.raises(fc.ArgumentError, match="needs running_mean and running_var"):
            F.batch_norm(np.zeros((2, 3), "float32"), None, None)


class TestBuffers:
    def test_they_are_no_parameters_and_are_saved_beside_them(self):
        model = convnet()
        assert [name for name, _ in model.named_buffers()] == [
            f"{i}.running_{s}" for i in (1, 5, 9) for s in ("mean", "var")
        ]
        assert model.buffers()[0] is model[1].running_mean
        parameters = {name for name, _ in model.named_parameters()}
        assert not any("running" in name for name in parameters)
        assert list(model.state_dict())[2:6] == ["1.weight", "1.bias", "1.running_mean", "1.running_var"]
        assert set(model.state_dict()) == parameters | {name for name, _ in model.named_buffers()}

    def test_in_lists_and_shared(self):
        class Counts(nn.Module):
            def __init__(self):
                super().__init__()
                one = nn.Buffer(np.arange(3))
                self.kept = [one, {"again": one, "other": nn.Buffer([1.0])}]

        model = Counts()
        assert [name for name, _ in model.named_buffers()] == ["kept.0", "kept.1.other"]
        assert [b.requires_grad for b in model.buffers()] == [False, False]
        assert [b.dtype for b in model.buffers()] == ["int64", "float32"]

    def test_there_and_back(self, tmp_path):
        model = convnet()
        model(some_batch()[0])
        assert model[1].running_mean.numpy().any()
        fc.save(model, tmp_path / "model.safetensors")
        for other in (
            copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fc.load(convnet(), tmp_path / "model.safetensors"),
        ):  # fmt: skip
            assert_same_state(model, other)
            kept = model.state_dict()
            other(some_batch(seed=1)[0])
            np.testing.assert_array_equal(model[1].running_mean.numpy(), kept["1.running_mean"])

    def test_missing_ones_are_named(self):
        state = {name: a for name, a in convnet().state_dict().items() if "running" not in name}
        with pytest.raises(fc.ArgumentError, match=r"missing: \['1.running_mean'"):
            convnet().load_state_dict(state)

    def test_they_move_with_the_model(self, backend):
        with fc.use("reference"):
            model = convnet()
            model(some_batch()[0])
            expected = model.eval()(some_batch(seed=1)[0]).numpy()
        model.to(backend.name)
        assert {b.backend.name for b in model.buffers()} == {backend.name}
        np.testing.assert_allclose(model(some_batch(seed=1)[0]).numpy(), expected, rtol=1e-4, atol=1e-5)


class TestCompiled:
    def twins(self):
        pair = [convnet()]
        pair.append(copy.deepcopy(pair[0]))
        return [(model, fc.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)) for model in pair]

    def test_many_steps_are_the_eager_steps_bit_for_bit(self, backend):
        (a, opt_a), (b, opt_b) = self.twins()
        step = fc.compile(b, loss=nn.CrossEntropyLoss(), optimizer=opt_b)
        for i in range(200 if backend.name == "cpu" else 10):
            x, t = some_batch(seed=i)
            assert step(x, t).item() == eager_step(a, opt_a, x, t)
        assert_same_state(a, b)
        x, _ = some_batch(seed=-1 % 2**32)
        predict = fc.compile(b.eval())
        np.testing.assert_array_equal(predict(x).numpy(), a.eval()(x).numpy())

    def test_an_inference_plan_reads_the_running_statistics_of_now(self):
        model, x = convnet(), some_batch()[0]
        predict = fc.compile(model)
        first = predict(x).numpy()  # in training mode: it moves them
        model.eval()
        before = predict(x).numpy()
        model.train()(some_batch(seed=1)[0] * 3)
        model.eval()
        np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())
        assert (predict(x).numpy() != before).any()
        assert (before != first).any()

    def test_statistics_of_a_branch_that_nobody_reads_move_too(self):
        class Watched(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(4)

            def forward(self, x):
                self.norm(x)
                return self.linear(x)

        model, x = Watched(), np.arange(12, dtype="float32").reshape(3, 4)
        twin = copy.deepcopy(model)
        fc.compile(model)(x)
        twin(x)
        assert_same_state(model, twin)
        assert model.norm.running_mean.numpy().any()

    def test_activations_join_the_normalisation(self):
        predict = fc.compile(convnet().eval())
        predict(some_batch()[0])
        calls = [call.describe() for call in predict.plan.calls]
        assert [c for c in calls if "norm" in c] == [
            "batch_norm_forward + relu",
            "batch_norm_forward + tanh",
            "batch_norm_forward + relu",
        ]
        assert not any("activation" in c or "statistics" in c for c in calls)

    def test_a_profile_leaves_the_running_statistics(self):
        model = convnet()
        step = fc.compile(model, nn.CrossEntropyLoss(), fc.optim.Adam(model.parameters()))
        step(*some_batch())
        before = copy.deepcopy(model)
        step.profile(*some_batch(), rounds=2)
        assert_same_state(model, before)

    def test_another_momentum_and_another_array_are_noticed(self):
        model, x = convnet(), some_batch()[0]
        predict = fc.compile(model)
        predict(x)
        twin = copy.deepcopy(model)
        for m in (model, twin):
            m[1].momentum = 0.5
            m[5].running_mean = nn.Buffer(np.ones(5, "float32"))
        predict(x)
        twin(x)
        assert_same_state(model, twin)


def test_a_resumed_run_has_the_same_running_statistics(tmp_path):
    x, t = some_batch(20)

    def trainer(folder):
        fc.manual_seed(2)
        model = convnet()
        return fc.Trainer(model, fc.optim.Adam(model.parameters()), checkpoint=folder)

    whole = trainer(None)
    whole.fit((x, t), epochs=3, batch_size=5)
    trainer(tmp_path).fit((x, t), epochs=1, batch_size=5)
    resumed = trainer(tmp_path)
    resumed.fit((x, t), epochs=3, batch_size=5, resume=True)
    assert_same_state(whole.model, resumed.model)
