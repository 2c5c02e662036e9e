"""Compiled steps do what eager ones do, bit for bit, and notice every change to the model."""

import copy
import itertools
import json

import numpy as np
import pytest
from eager_steps import eager_step

import fastconv as fc
import fastconv.random
from fastconv.backends import select
from fastconv.backends.base import Backend
from fastconv.backends.gpu import GpuBackend
from fastconv.compiler.compile import PLANS

F = fc.functional


@pytest.fixture(autouse=True)
def on_backend(backend, request, monkeypatch):
    """The backend under test; fused kernels add in another order, so their eager twins stand in for them here."""
    if "own_fusions" not in request.keywords:
        for name in ("conv2d_pool_forward", "conv2d_pool_backward", "declines_fusion"):
            monkeypatch.setattr(type(backend), name, getattr(Backend, name))
    with fc.use(backend.name):
        yield


def small_convnet(activation="relu", dropout=0.0):
    act = {"relu": fc.nn.ReLU, "tanh": fc.nn.Tanh, "sigmoid": fc.nn.Sigmoid, "leaky": fc.nn.LeakyReLU}[activation]
    return fc.nn.Sequential(
        fc.nn.Conv2d(2, 4, 3, padding=1), act(), fc.nn.MaxPool2d(2),
        fc.nn.Conv2d(4, 6, 3, groups=2), act(), fc.nn.AvgPool2d(2),
        fc.nn.Flatten(), fc.nn.Dropout(dropout), fc.nn.Linear(6, 8), act(), fc.nn.Linear(8, 3),
    )  # fmt: skip


OPTIMIZERS = {
    "sgd": lambda p: fc.optim.SGD(p, lr=0.1),
    "nesterov": lambda p: fc.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adagrad": lambda p: fc.optim.AdaGrad(p, lr=0.05),
    "rmsprop": lambda p: fc.optim.RMSprop(p, lr=0.01),
    "adadelta": lambda p: fc.optim.Adadelta(p),
    "adam": lambda p: fc.optim.Adam(p, lr=0.01),
    "adamw": lambda p: fc.optim.AdamW(p, lr=0.01),
}


def twins(make, optimizer="adam"):
    """Two equal networks, each with an optimizer of its own."""
    pair = []
    for _ in range(2):
        fc.manual_seed(3)
        model = make()
        pair.append((model, OPTIMIZERS[optimizer](model.parameters())))
    return pair


def some_batch(n=5, shape=(2, 8, 8), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape)).astype("float32"), rng.integers(0, classes, n)


def compiled_step(model, optimizer):
    return fc.compile(model, loss=fc.nn.CrossEntropyLoss(), optimizer=optimizer)


def assert_same_weights(a, b):
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy(), err_msg=name)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "leaky"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_step_is_the_eager_step(optimizer, activation):
    (a, opt_a), (b, opt_b) = twins(lambda: small_convnet(activation), optimizer)
    step = compiled_step(b, opt_b)
    for i in range(4):
        x, t = some_batch(seed=i)
        assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


@pytest.mark.parametrize("make", [fc.models.LeNet5, fc.models.SimpleConvNet])
def test_the_lectures_networks(make):
    (a, opt_a), (b, opt_b) = twins(make)
    step = compiled_step(b, opt_b)
    for i in range(3):
        x, t = some_batch(4, (1, 28, 28), 10, seed=i)
        assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


@pytest.mark.own_fusions
@pytest.mark.parametrize("make", [fc.models.LeNet5, fc.models.SimpleConvNet])
def test_the_backends_own_fusions_stay_within_rounding_and_repeat_their_bits(make):
    (a, opt_a), (b, opt_b) = twins(make, "sgd")
    (c, opt_c), _ = twins(make, "sgd")
    step, again = compiled_step(b, opt_b), compiled_step(c, opt_c)
    for i in range(20):
        x, t = some_batch(10, (1, 28, 28), 10, seed=i)
        loss = step(x, t).item()
        assert loss == pytest.approx(eager_step(a, opt_a, x, t), rel=1e-4)
        assert loss == again(x, t).item()
    assert_same_weights(b, c)


def test_the_scores_of_a_step_are_the_models_output_before_the_update():
    model = small_convnet()
    step = compiled_step(model, fc.optim.SGD(model.parameters(), lr=0.5))
    with pytest.raises(fc.ArgumentError, match="before the first training step"):
        _ = step.scores
    x, t = some_batch()
    before = model(x).numpy()
    step(x, t)
    np.testing.assert_array_equal(step.scores.numpy(), before)


def test_the_last_smaller_batch_gets_a_plan_of_its_own():
    (a, opt_a), (b, opt_b) = twins(small_convnet)
    step = compiled_step(b, opt_b)
    for n in (5, 5, 2, 5, 2):
        x, t = some_batch(n)
        assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


def test_no_more_plans_than_promised_are_kept():
    model = small_convnet()
    predict = fc.compile(model)
    for n in range(1, PLANS + 4):
        x, _ = some_batch(n)
        np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())
    assert len(predict._replays) == PLANS


def test_inference_returns_memory_of_its_own():
    model = small_convnet()
    predict = fc.compile(model)
    x, _ = some_batch()
    first = predict(x).numpy()
    kept = first.copy()
    predict(-x)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(kept, model(x).numpy())


def test_inference_keeps_nothing_for_a_backward():
    plan = fc.compile(small_convnet()).prepare(some_batch()[0])
    fused = [call for call in plan.calls if call.op == "conv2d_pool_forward"]
    assert [call.outputs[1] for call in fused] == [None, None]


def test_dropout_draws_anew_and_from_the_same_stream():
    (a, opt_a), (b, opt_b) = twins(lambda: small_convnet(dropout=0.5))
    step = compiled_step(b, opt_b)
    x, t = some_batch(30)
    fc.manual_seed(5)
    eager = [eager_step(a, opt_a, x, t) for _ in range(3)]
    fc.manual_seed(5)
    assert [step(x, t).item() for _ in range(3)] == eager
    assert_same_weights(a, b)


def test_training_and_evaluation_mode_are_different_plans():
    model = small_convnet(dropout=0.5)
    predict = fc.compile(model)
    x, _ = some_batch(30)
    model.eval()
    np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())
    model.train()
    assert (predict(x).numpy() != predict(x).numpy()).any()


def test_a_schedule_changes_the_learning_rate_of_a_running_plan():
    (a, opt_a), (b, opt_b) = twins(small_convnet, "sgd")
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    for lr in (0.1, 0.05, 0.0):
        opt_a.lr = opt_b.lr = lr
        assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


def test_changed_values_options_arrays_and_layers_are_honoured():
    model = small_convnet()
    predict = fc.compile(model)
    x, _ = some_batch()

    def check():
        np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())

    check()
    last = model[10]
    last.weight.data[...] *= 2
    check()
    last.bias.data = last.bias.data + 1
    check()
    model[1].forward = F.tanh
    check()
    model[2].stride = (1, 2)
    model[5].kernel_size = (5, 2)
    model[5].stride = (5, 2)
    check()
    setattr(model, "11", fc.nn.Tanh())
    check()


def test_changed_options_of_the_loss_are_honoured():
    model, loss = fc.nn.Linear(3, 2), fc.nn.MAPLoss(0.1)
    step = fc.compile(model, loss=loss)
    x, t = np.ones((1, 3), "float32"), np.zeros(1, int)
    for loss.j in (0.1, 5.0):
        assert step(x, t).item() == loss(model(x), t).item()


def test_an_array_that_a_layer_keeps_may_be_another_one(backend):
    """NumPy's or the backend's own: as options they have no say, and their == has no one answer."""
    model, x = fc.nn.Linear(3, 2), np.ones((1, 3), "float32")
    predict = fc.compile(model)
    for make in (np.asarray, backend.asarray, np.asarray):
        for value in (0, 1):
            model.seen = make(np.full((2, 3), value, "float32"))
            np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())


def test_a_frozen_parameter_is_not_trained():
    (a, opt_a), (b, opt_b) = twins(small_convnet)
    for model in (a, b):
        model[0].weight.requires_grad = False
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    before = b[0].weight.numpy().copy()
    assert step(x, t).item() == eager_step(a, opt_a, x, t)
    np.testing.assert_array_equal(b[0].weight.numpy(), before)
    assert_same_weights(a, b)


def test_freezing_a_parameter_later_is_honoured():
    (a, opt_a), (b, opt_b) = twins(small_convnet, "sgd")
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    assert step(x, t).item() == eager_step(a, opt_a, x, t)
    for model in (a, b):
        model[0].weight.requires_grad = False
    assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


def test_gradients_and_parameters_are_as_before_outside():
    (_, _), (b, opt_b) = twins(small_convnet)
    arrays = [p.data for p in b.parameters()]
    compiled_step(b, opt_b)(*some_batch())
    assert all(p.data is a and p.grad is None for p, a in zip(b.parameters(), arrays, strict=True))
    assert all(p.backend is select.current() for p in b.parameters())


def test_own_arithmetic_is_captured():
    class Net(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = fc.nn.Conv2d(2, 2, 3, padding=1)
            self.scale = fc.nn.Parameter(np.float32([0.5]))
            self.out = fc.nn.Linear(2, 3)

        def forward(self, x):
            y = F.relu(self.conv(x)) * self.scale + x  # a skip connection
            y = 1 - (y - 0.5) / 3
            return self.out((y * y).mean(axis=(2, 3)).reshape((-1, 2)))

    (a, opt_a), (b, opt_b) = twins(Net)
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    for _ in range(3):
        assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)


@pytest.mark.parametrize("key", [(1, 0), (0, 1, ...), (slice(1, 2), 0), (..., 0), -1], ids=str)
def test_elements_that_are_picked_are_those_of_the_run(key):
    """A single one too, which NumPy would copy out of its array once and for all."""

    class Net(fc.nn.Linear):
        def forward(self, x):
            return super().forward(x)[key] * 2

    model = Net(3, 2)
    predict = fc.compile(model)
    for x in np.eye(3, dtype="float32"):
        rows = np.stack([x, 2 * x])
        np.testing.assert_array_equal(predict(rows).numpy(), model(rows).numpy())


@pytest.mark.parametrize(
    "forward",
    [lambda self, x: self.linear(x) if x.data.max() > 0 else x, lambda self, x: self.linear(x.data.clip(0)),
     lambda self, x: self.linear(x) * float(x.sum()), lambda self, x: self.linear(x) if x.sum().data else x],
)  # fmt: skip
def test_a_step_that_looks_at_values_is_refused_with_a_reason(forward):
    class Net(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = fc.nn.Linear(4, 4)

    Net.forward = forward
    model = Net()
    with pytest.raises(fc.UnsupportedError, match="compile: a step may not"):
        fc.compile(model)(np.ones((2, 4), "float32"))
    assert model.linear.weight.backend is select.current()


class Scaled(fc.nn.Module):
    """s * (w x), the factor s in a list."""

    def __init__(self, s=2.0, width=3):
        super().__init__()
        self.factors = [fc.nn.Parameter(np.float32(s))]
        self.linear = fc.nn.Linear(2, width)

    def forward(self, x):
        return self.linear(x) * self.factors[0]


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    "replace",
    [
        lambda m: setattr(m.linear, "weight", fc.nn.Parameter(m.linear.weight.numpy().copy())),
        lambda m: setattr(m.linear, "bias", fc.nn.Parameter(m.linear.bias.numpy().copy())),
        lambda m: m.factors.__setitem__(0, fc.nn.Parameter(m.factors[0].numpy().copy())),
    ],
    ids=["weight", "bias", "in a list"],
)
def test_a_parameter_of_equal_values_in_place_of_another_is_noticed(width, replace):
    """The plan must read the new object's memory, which changes afterwards."""
    model, x = Scaled(width=width), np.ones((2, 2), "float32")
    predict = fc.compile(model)
    np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())
    replace(model)
    predict(x)
    for p in model.parameters():
        p.data[...] = p.data + 1
    np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())


def test_a_tensor_of_another_type_or_shape_among_the_attributes_is_no_error():
    model, x = Scaled(), np.ones((2, 2), "float32")
    predict = fc.compile(model)
    for kept in (np.ones(3, "float32"), np.ones(3), np.ones(4), np.ones(1), None):
        model.kept = None if kept is None else fc.tensor(kept)
        np.testing.assert_array_equal(predict(x).numpy(), model(x).numpy())


class Joined(fc.nn.Module):
    """Two inputs, one score: a(x) + b(y)."""

    def __init__(self):
        super().__init__()
        self.a, self.b = fc.nn.Linear(3, 4), fc.nn.Linear(5, 4)

    def forward(self, x, y):
        return fc.functional.relu(self.a(x)) + self.b(y)


def test_a_model_of_two_inputs(rng):
    x, y = rng.standard_normal((6, 3)).astype("float32"), rng.standard_normal((6, 5)).astype("float32")
    t = rng.integers(0, 4, 6)
    model = Joined()
    np.testing.assert_array_equal(fc.compile(model)(x, y).numpy(), model(x, y).numpy())
    twin, losses = copy.deepcopy(model), ([], [])
    eager, planned = (fc.optim.Adam(m.parameters()) for m in (model, twin))
    step = fc.compile(twin, fc.nn.CrossEntropyLoss(), planned)
    for _ in range(20):
        eager.zero_grad()
        loss = fc.functional.cross_entropy(model(x, y), t)
        loss.backward()
        eager.step()
        losses[0].append(loss.item())
        losses[1].append(step(x, y, t).item())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    with pytest.raises(
        fc.ArgumentError, match=r"a training step of Joined is called with \(x, y, labels\), got 2 arrays"
    ):
        step(x, t)


def test_wrong_calls_are_refused():
    model = small_convnet()
    optimizer = fc.optim.SGD(model.parameters())
    with pytest.raises(fc.ArgumentError, match="needs a loss"):
        fc.compile(model, optimizer=optimizer)
    with pytest.raises(fc.ArgumentError, match="no parameters"):
        fc.compile(fc.nn.ReLU())
    x, t = some_batch()
    with pytest.raises(fc.ArgumentError, match=r"inference of \w+ is called with \(x\), got 2 arrays"):
        fc.compile(model)(x, t)
    with pytest.raises(fc.ArgumentError, match=r"a training step of \w+ is called with \(x, labels\), got 1 arrays"):
        compiled_step(model, optimizer)(x)
    with pytest.raises(fc.ArgumentError, match=r"the loss is a class: write CrossEntropyLoss\(\), with parentheses"):
        fc.compile(model, fc.nn.CrossEntropyLoss, optimizer)
    with pytest.raises(fc.ArgumentError, match=r"optimizer must be one of fc\.optim, made of parameters"):
        fc.compile(model, fc.nn.CrossEntropyLoss(), fc.optim.SGD)
    with pytest.raises(fc.ArgumentError, match=r"none of the parameters of Adam; was it made from this model's"):
        compiled_step(model, fc.optim.Adam(small_convnet().parameters()))(x, t)
    with pytest.raises(fc.ArgumentError, match="before the first call"):
        _ = fc.compile(model).plan
    step = compiled_step(model, optimizer)
    with pytest.raises(fc.ShapeError, match="one label per row"):
        step(x, t[:-1])
    with pytest.raises(fc.ShapeError, match="conv2d: w expects 2 input channels, x has 3"):
        step(np.zeros((5, 3, 8, 8), "float32"), t)


def test_labels_that_are_no_class_change_nothing(backend):
    """On a GPU, which nobody waits for, the loss says it: NaN."""
    model = small_convnet()
    optimizer = fc.optim.SGD(model.parameters())
    step = compiled_step(model, optimizer)
    x, t = some_batch()
    if isinstance(backend, GpuBackend):
        assert np.isnan(step(x, t + 3).item())
        return
    before = [p.numpy().copy() for p in model.parameters()]
    with pytest.raises(fc.ArgumentError, match="labels must be from 0 to 2"):
        step(x, t + 3)
    assert optimizer.steps == 0
    for p, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)


def test_one_hot_labels_and_tensors_are_taken():
    (a, opt_a), (b, opt_b) = twins(small_convnet)
    x, t = some_batch()
    loss = compiled_step(b, opt_b)(fc.tensor(x), np.eye(3)[t])
    assert loss.item() == eager_step(a, opt_a, x, t)


def test_activations_and_pooling_move_into_the_convolution_and_memory_is_shared():
    model = small_convnet()
    step = compiled_step(model, fc.optim.Adam(model.parameters()))
    plan = step.prepare(*some_batch())
    ops = [call.op for call in plan.calls]
    assert ops == [
        "conv2d_pool_forward", "conv2d_pool_forward", "linear_forward", "linear_forward",
        "softmax_cross_entropy_forward", "softmax_cross_entropy_backward", "linear_backward", "activation_backward",
        "linear_backward", "conv2d_pool_backward", "conv2d_pool_backward", "update",
    ]  # fmt: skip
    fused = [call.options.get("activation") for call in plan.calls if call.op.endswith("forward")]
    assert fused == ["relu", "relu", "relu", None, None]
    assert plan.arena_bytes < plan.unshared_bytes


@pytest.mark.parametrize("declined", [None, "slower"])
def test_a_map_is_flattened_where_it_is_made(backend, declined, monkeypatch):
    monkeypatch.setattr(type(backend), "declines_rows", lambda self, pool: declined)
    (a, opt_a), (b, opt_b) = twins(fc.models.LeNet5)
    step, predict = compiled_step(b, opt_b), fc.compile(b)
    rng = np.random.default_rng(0)
    x, t = rng.random((3, 1, 28, 28), np.float32), rng.integers(0, 10, 3)
    for _ in range(2):
        assert step(x, t).item() == pytest.approx(eager_step(a, opt_a, x, t), rel=1e-5)
    np.testing.assert_allclose(predict(x).numpy(), a(fc.tensor(x)).numpy(), rtol=1e-4, atol=1e-5)
    for plan, reshapes in ((step.plan, 2), (predict.plan, 1)):
        ops = [call.op for call in plan.calls]
        assert ops.count("conv2d_pool_forward") == 2
        assert ops.count("reshape") == (reshapes if declined else 0)


def test_a_map_that_is_read_as_it_is_too_is_not_flattened_where_it_is_made(backend, monkeypatch):
    class Net(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool, self.linear = fc.nn.Conv2d(1, 4, 3), fc.nn.MaxPool2d(2), fc.nn.Linear(36, 3)

        def forward(self, x):
            y = self.pool(fc.functional.relu(self.conv(x)))
            flat = fc.functional.flatten
            return self.linear(flat(y + fc.functional.tanh(y))) + self.linear(flat(y))

    monkeypatch.setattr(type(backend), "declines_rows", lambda self, pool: None)
    (a, opt_a), (b, opt_b) = twins(Net)
    rng = np.random.default_rng(0)
    x, t = rng.random((4, 1, 8, 8), np.float32), rng.integers(0, 3, 4)
    step = compiled_step(b, opt_b)
    assert step(x, t).item() == pytest.approx(eager_step(a, opt_a, x, t), rel=1e-5)
    assert not any(call.options.get("flat") for call in step.plan.calls)


def test_what_a_backend_declines_to_fuse_stays_two_calls(backend, monkeypatch):
    def declines(self, g, pool, kind, dtype):
        return "grouped" if g.G > 1 else None

    monkeypatch.setattr(type(backend), "declines_fusion", declines)
    (a, opt_a), (b, opt_b) = twins(small_convnet)
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert_same_weights(a, b)
    ops = [call.op for call in step.plan.calls if call.phase == "forward"]
    assert ops[:3] == ["conv2d_pool_forward", "conv2d_forward", "avg_pool2d_forward"]


def test_a_map_that_somebody_else_reads_is_stored():
    class Net(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = fc.nn.Conv2d(2, 2, 3, padding=1)
            self.out = fc.nn.Linear(2 * 4 * 4 + 2 * 8 * 8, 3)

        def forward(self, x):
            maps = F.relu(self.conv(x))
            both = (
                F.flatten(F.max_pool2d(maps, 2)) @ np.ones((32, 160), "float32"),
                F.flatten(maps) @ np.ones((128, 160), "float32"),
            )
            return self.out(both[0] + both[1])

    (a, opt_a), (b, opt_b) = twins(Net)
    step = compiled_step(b, opt_b)
    x, t = some_batch()
    assert step(x, t).item() == eager_step(a, opt_a, x, t)
    assert "max_pool2d_forward" in [call.op for call in step.plan.calls]
    assert_same_weights(a, b)


def test_the_plan_names_every_call_with_its_cost():
    # The lectures' layer: 150x100 RGB, 200 maps of 5x5, SAME: 15,200 parameters, 225 million multiplications.
    model = fc.nn.Sequential(fc.nn.Conv2d(3, 200, 5, padding="same"), fc.nn.ReLU())
    text = str(fc.compile(model).prepare(np.zeros((1, 3, 150, 100), "float32")))
    assert "conv2d_forward + relu mb1_ic3ih150iw100_oc200_kh5ph2" in text
    (total,) = [line for line in text.splitlines() if line.lstrip().startswith("total")]
    assert "15,200" in total
    assert "225,000,000" in total


def test_a_profile_times_every_call_and_changes_nothing(tmp_path):
    model = small_convnet(dropout=0.5)
    optimizer = fc.optim.Adam(model.parameters())
    step = compiled_step(model, optimizer)
    x, t = some_batch()
    step(x, t)
    weights = [p.numpy().copy() for p in model.parameters()]
    stream, steps = fc.random.get_state(), optimizer.steps
    profile = step.profile(x, t, rounds=3)
    assert [row.call for row in profile.rows] == step.plan.calls
    assert all(row.seconds > 0 for row in profile.rows)
    for p, before in zip(model.parameters(), weights, strict=True):
        np.testing.assert_array_equal(p.numpy(), before)
    assert (fc.random.get_state(), optimizer.steps) == (stream, steps)
    assert "GFLOP/s" in str(profile)
    profile.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [e["name"] for e in events] == [call.describe() for call in step.plan.calls]
    assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in itertools.pairwise(events))


def test_nothing_is_allocated_for_results_of_a_step(backend):
    model = small_convnet()
    step = compiled_step(model, fc.optim.Adam(model.parameters()))
    x, t = some_batch()
    for _ in range(2):  # a GPU captures the second
        step(x, t)
    made = []
    original = type(backend).empty

    def counting(self, shape, dtype="float32"):
        made.append(shape)
        return original(self, shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(backend), "empty", counting)
        step(x, t)
    assert made == []
