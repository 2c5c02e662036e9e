"""Frozen inference: weights are read once, and everything else is as in an inference without the promise."""

from copy import deepcopy

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import launch as launching
from fastconv.backends.workspace import scratch

F = fc.functional


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        fc.manual_seed(2)
        yield


def images(n, shape=(3, 12, 12), seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype("float32")


def every_kind_of_convolution():
    """Few filters, whole blocks, blocks with a rest, no bias, groups, a depthwise one, 3x3 between whole vectors."""
    nn = fc.nn
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 32, 3, padding=1, bias=False), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.Tanh(), nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 20, 1, stride=2), nn.ReLU(), nn.Conv2d(20, 24, 3, padding=1, groups=2, bias=False), nn.Sigmoid(),
        nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.Conv2d(24, 6, 3), nn.Flatten(), nn.Linear(6, 5), nn.Tanh(),
        nn.Linear(5, 3),
    ).eval()  # fmt: skip


NETWORKS = {
    "every kind of convolution": (every_kind_of_convolution, (3, 12, 12)),
    "SimpleConvNet": (lambda: fc.models.SimpleConvNet(weight_init_std="he"), (1, 28, 28)),
    "LeNet-5": (fc.models.LeNet5, (1, 28, 28)),
    "LeNet-5 on CIFAR-10": (
        lambda: fc.models.LeNet5(input_dim=(3, 32, 32), pooling="max", activation="relu", channels=(32, 64)),
        (3, 32, 32),
    ),
}


def change(model, factor=1.5):
    """Other weights in the same arrays."""
    for p in model.parameters():
        p.data[...] = p.data * factor + 0.01


def assert_close(a, b):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n", [1, 9])
def test_a_frozen_inference_is_the_compiled_one(name, n):
    make, shape = NETWORKS[name]
    model = make()
    frozen, compiled = fc.compile(model, frozen=True), fc.compile(model)
    for seed in range(3):
        x = images(n, shape, seed)
        assert_close(frozen(x), compiled(x))
        model(x)  # whose scratch memory is not the plan's


@pytest.mark.parametrize("name", NETWORKS)
def test_refresh_takes_values_that_changed_in_place(name):
    make, shape = NETWORKS[name]
    model = make()
    frozen, compiled = fc.compile(model, frozen=True), fc.compile(model)
    batches = [images(n, shape) for n in (1, 2)]
    before = [frozen(x).numpy() for x in batches]
    change(model)
    frozen.refresh()
    for x, old in zip(batches, before, strict=True):
        assert_close(frozen(x), compiled(x))
        assert not np.allclose(frozen(x).numpy(), old, rtol=1e-3)


def test_replaced_arrays_layers_and_options_are_noticed():
    model = every_kind_of_convolution()
    frozen, x = fc.compile(model, frozen=True), images(2)
    frozen(x)
    for p in model.parameters():
        p.data = p.data * 1.5
    assert_close(frozen(x), model(x))
    model[1].forward = F.tanh
    assert_close(frozen(x), model(x))
    setattr(model, "0", fc.nn.Conv2d(3, 4, 5, padding=2))
    assert_close(frozen(x), model(x))


class Masked(fc.nn.Module):
    """A convolution whose connections are a table, and whose filters have length one (Salimans & Kingma 2016)."""

    def __init__(self):
        super().__init__()
        self.weight = fc.nn.Parameter(np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype("float32"))
        self.scale = fc.nn.Parameter(np.float32([0.5, 1, 2, 3]).reshape(4, 1, 1, 1))
        self.mask = np.float32([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]).reshape(4, 3, 1, 1)

    def forward(self, x):
        w = self.weight * self.mask
        w = w * self.scale * (w * w).sum(axis=(1, 2, 3), keepdims=True) ** -0.5
        return F.relu(F.conv2d(x, w, padding=1)) + x.sum(axis=1, keepdims=True)


def test_what_weights_alone_decide_is_computed_once(backend):
    model = Masked()
    frozen, compiled = fc.compile(model, frozen=True), fc.compile(model)
    for seed in range(3):
        x = images(2, seed=seed)
        assert_close(frozen(x), compiled(x))
    left = [call.op for call, runs in zip(frozen.plan.calls, frozen._last.steps, strict=True) if runs]
    assert left == ["conv2d_forward", "sum", "add"]
    change(model)
    frozen.refresh()
    assert_close(frozen(x), compiled(x))


def normalised(bias=True, affine=True):
    nn = fc.nn
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8, affine=affine), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=2, bias=bias), nn.BatchNorm2d(8, affine=affine), nn.Flatten(), nn.Linear(128, 6),
        nn.BatchNorm1d(6), nn.Tanh(),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    for _, t in model.named_tensors():
        t.data[...] = t.data + t.backend.asarray(rng.random(t.shape, "float32"))
    return model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_is_folded_into_the_layer_before(bias, affine):
    model = normalised(bias, affine).eval()
    frozen, x = fc.compile(model, frozen=True), images(4)
    assert_close(frozen(x), model(x))
    assert not [c for c in frozen.plan.calls if c.op == "batch_norm_forward"]
    layers = [c for c in frozen.plan.calls if c.op in ("conv2d_forward", "linear_forward")]
    assert [c.options.get("activation") for c in layers if c.op == "linear_forward"] == ["tanh"]
    model[1].running_mean.data[...] *= 3
    change(model)
    frozen.refresh()
    assert_close(frozen(x), model(x))


def test_batch_normalisation_stays_where_the_map_before_it_is_read_too_or_statistics_move():
    class Both(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = fc.nn.Conv2d(3, 4, 3), fc.nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return y + self.norm(y)

    x = images(4)
    model = Both().eval()
    frozen = fc.compile(model, frozen=True)
    assert_close(frozen(x), model(x))
    assert [c.op for c in frozen.plan.calls] == ["conv2d_forward", "batch_norm_forward", "add"]
    twins = [normalised().train()]
    twins.append(deepcopy(twins[0]))
    frozen = fc.compile(twins[0], frozen=True)
    for seed in range(3):
        assert_close(frozen(images(4, seed=seed)), twins[1](images(4, seed=seed)))
    np.testing.assert_allclose(twins[0][1].running_var.numpy(), twins[1][1].running_var.numpy(), rtol=1e-5)


def test_a_result_of_weights_alone_stays():
    class Norm(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = fc.nn.Parameter(np.float32([3, 4]))

        def forward(self, x):
            return (self.weight * self.weight).sum()

    frozen = fc.compile(Norm(), frozen=True)
    assert [frozen(images(n)).item() for n in (1, 1, 2)] == [25, 25, 25]


def test_dropout_still_draws_in_training_mode():
    model = fc.nn.Sequential(fc.nn.Conv2d(3, 8, 3), fc.nn.Dropout(0.5))
    frozen, x = fc.compile(model, frozen=True), images(2)
    assert (frozen(x).numpy() != frozen(x).numpy()).any()
    model.eval()
    assert_close(frozen(x), model(x))


def test_a_training_step_cannot_be_frozen():
    model = every_kind_of_convolution()
    with pytest.raises(fc.ArgumentError, match=r"frozen=True is for inference.*leave the loss out"):
        fc.compile(model, fc.nn.CrossEntropyLoss(), frozen=True)


def test_refresh_of_a_plan_without_the_promise_changes_nothing():
    model = every_kind_of_convolution()
    compiled, x = fc.compile(model), images(2)
    compiled.refresh()
    before = compiled(x).numpy()
    compiled.refresh()
    np.testing.assert_array_equal(compiled(x).numpy(), before)


def test_the_plan_names_the_algorithms_that_run(backend):
    if backend.name != "cpu":
        pytest.skip("the other backends choose as ever")
    model = fc.nn.Sequential(fc.nn.Conv2d(64, 64, 3, padding=1), fc.nn.ReLU(), fc.nn.Conv2d(64, 64, 7, groups=64))
    frozen, compiled = fc.compile(model, frozen=True), fc.compile(model)
    x = images(1, (64, 7, 7))
    assert_close(frozen(x), compiled(x))
    names = [[call.algorithm.split(":")[0] for call in predict.plan.calls] for predict in (frozen, compiled)]
    assert names == [["tiles", "groups"], ["dots", "groups"]]


def test_its_name_says_so():
    model = every_kind_of_convolution()
    assert repr(fc.compile(model, frozen=True)) == "<compiled frozen inference of Sequential, 0 plans>"
    assert repr(fc.compile(model)) == "<compiled inference of Sequential, 0 plans>"


def test_a_profile_of_it_names_every_call(tmp_path):
    profile = fc.compile(Masked(), frozen=True).profile(images(2), rounds=2)
    assert "conv2d_forward" in str(profile)
    profile.save_trace(tmp_path / "trace.json")


def filled(times):
    """A call that prepares one array and launches with it; how often each was done is counted in `times`."""

    def count(array, name):
        times[name] += 1

    array = launching.lasting("some memory", (4,), "float32")
    launching.prepare(count, array, "prepared")
    launching.launch(count, array, "launched")
    return array


def test_preparing_is_launching_unless_values_are_fixed():
    times = {"prepared": 0, "launched": 0}
    filled(times)
    assert times == {"prepared": 1, "launched": 1}
    once, launches = launching.record(lambda: filled(times), {})
    assert (len(once), len(launches)) == (0, 2)
    once, launches = launching.record(lambda: filled(times), {}, fixed=True)
    assert (len(once), len(launches)) == (1, 1)
    assert times == {"prepared": 1, "launched": 1}


def test_memory_that_is_filled_once_is_nobody_elses():
    times, blocks = {"prepared": 0, "launched": 0}, {}
    arrays = []
    for _ in range(2):
        launching.record(lambda: arrays.append(filled(times)), blocks, fixed=True)
    arrays.append(scratch("some memory", (4,), "float32"))
    assert len({a.ctypes.data for a in arrays}) == 3
    assert not blocks


def test_a_variance_out_of_range_gives_what_it_gives_unfrozen_without_a_warning():
    model = fc.nn.Sequential(fc.nn.Conv2d(3, 4, 3), fc.nn.BatchNorm2d(4, eps=0.0)).eval()
    model[1].running_var.data[...] = fc.tensor(np.float32([0, -1, np.inf, np.nan])).data
    x = images(2)
    with np.errstate(all="ignore"):
        wanted = fc.compile(model)(x).numpy()
    given = fc.compile(model, frozen=True)(x).numpy()
    np.testing.assert_array_equal(np.isfinite(given), np.isfinite(wanted))
