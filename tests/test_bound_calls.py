"""Calls bound to their arrays do at every run what the call itself does, and nothing before the first."""

import numpy as np
import pytest
from cases import floats
from checks import poisoned

from fastconv.errors import ArgumentError, ShapeError
from fastconv.geometry import Conv2dGeometry, LocalResponse, Pool2dGeometry

CONV = Conv2dGeometry.from_shapes((3, 2, 8, 8), (4, 2, 3, 3), padding=1)
FEW = Conv2dGeometry.from_shapes((2, 3, 14, 14), (4, 3, 3, 3), padding=1)
WHOLE = Conv2dGeometry.from_shapes((2, 3, 9, 9), (32, 3, 3, 3), padding=1)  # a bias of whole vectors
DEEP = Conv2dGeometry.from_shapes((2, 20, 6, 6), (24, 20, 3, 3), padding=1)
GROUPS = Conv2dGeometry.from_shapes((2, 8, 6, 6), (8, 4, 3, 3), groups=2)
POOL = Pool2dGeometry.from_shape((3, 4, 8, 8), 2, stride=2)
FUSED = {"kind": "avg", "activation": "tanh"}
RESPONSE = LocalResponse(5, alpha=0.1)
LABELS = np.array([2, 0, 1])


# name -> (operation, its inputs: shapes of floats or the things themselves, options, results' shapes)
CALLS = {
    "conv2d_forward": ("conv2d_forward", [CONV.x_shape, CONV.w_shape, (4,), CONV], {}, [CONV.y_shape]),
    "conv2d_forward of few filters": ("conv2d_forward", [FEW.x_shape, FEW.w_shape, (4,), FEW], {}, [FEW.y_shape]),
    "conv2d_forward over a padded copy": (
        "conv2d_forward", [WHOLE.x_shape, WHOLE.w_shape, (32,), WHOLE], {"activation": "tanh"}, [WHOLE.y_shape],
    ),
    "conv2d_forward without bias": ("conv2d_forward", [DEEP.x_shape, DEEP.w_shape, None, DEEP], {}, [DEEP.y_shape]),
    "conv2d_forward in groups": (
        "conv2d_forward", [GROUPS.x_shape, GROUPS.w_shape, (8,), GROUPS], {}, [GROUPS.y_shape],
    ),
    "conv2d_backward_data of many channels": (
        "conv2d_backward_data", [DEEP.y_shape, DEEP.w_shape, DEEP], {}, [DEEP.x_shape],
    ),
    "conv2d_backward_data in groups": (
        "conv2d_backward_data", [GROUPS.y_shape, GROUPS.w_shape, GROUPS], {}, [GROUPS.x_shape],
    ),
    "conv2d_backward_data": ("conv2d_backward_data", [CONV.y_shape, CONV.w_shape, CONV], {}, [CONV.x_shape]),
    "conv2d_backward_weight": (
        "conv2d_backward_weight", [CONV.y_shape, CONV.x_shape, CONV], {}, [CONV.w_shape, (4,)],
    ),
    "conv2d_pool_forward": (
        "conv2d_pool_forward", [CONV.x_shape, CONV.w_shape, (4,), CONV, POOL], FUSED, [POOL.y_shape, POOL.x_shape],
    ),
    "conv2d_pool_forward without bias": (
        "conv2d_pool_forward", [CONV.x_shape, CONV.w_shape, None, CONV, POOL], FUSED, [POOL.y_shape, POOL.x_shape],
    ),
    "conv2d_pool_backward": (
        "conv2d_pool_backward",
        [POOL.y_shape, POOL.y_shape, POOL.x_shape, CONV.x_shape, CONV.w_shape, CONV, POOL], FUSED,
        [CONV.x_shape, CONV.w_shape, (4,)],
    ),
    "conv2d_pool_forward to rows": (
        "conv2d_pool_forward", [CONV.x_shape, CONV.w_shape, (4,), CONV, POOL], FUSED | {"flat": True},
        [(3, 64), POOL.x_shape],
    ),
    "conv2d_pool_backward from rows": (
        "conv2d_pool_backward", [(3, 64), (3, 64), POOL.x_shape, CONV.x_shape, CONV.w_shape, CONV, POOL], FUSED,
        [CONV.x_shape, CONV.w_shape, (4,)],
    ),
    "avg_pool2d_forward": ("avg_pool2d_forward", [POOL.x_shape, POOL], {}, [POOL.y_shape]),
    "linear_forward": ("linear_forward", [(30, 20), (17, 20), (17,)], {"activation": "tanh"}, [(30, 17)]),
    "linear_forward without bias": ("linear_forward", [(30, 20), (17, 20), None], {}, [(30, 17)]),
    "linear_forward of one row": ("linear_forward", [(1, 20), (17, 20), (17,)], {"activation": "relu"}, [(1, 17)]),
    "linear_forward of few rows": ("linear_forward", [(7, 70), (19, 70), (19,)], {"activation": "relu"}, [(7, 19)]),
    "linear_backward": ("linear_backward", [(30, 17), (30, 20), (17, 20)], {}, [(30, 20), (17, 20), (17,)]),
    "linear_backward of long rows": ("linear_backward", [(3, 5), (3, 700), (5, 700)], {}, [(3, 700), (5, 700), (5,)]),
    "matmul": ("matmul", [(6, 9), (6, 7)], {"trans_a": True}, [(9, 7)]),
    "reshape to rows": ("reshape", [(3, 2, 4, 5), (3, 40)], {}, [(3, 40)]),
    "reshape to maps": ("reshape", [(3, 40), (3, 2, 4, 5)], {}, [(3, 2, 4, 5)]),
    "reshape of rows": ("reshape", [(3, 40), (6, 20)], {}, [(6, 20)]),
    "activation_forward": ("activation_forward", ["tanh", (3, 4)], {}, [(3, 4)]),
    "activation_backward": ("activation_backward", ["relu", (3, 4), (3, 4)], {}, [(3, 4)]),
    "dropout": ("dropout", [(3, 4), 0.5, 7], {}, [(3, 4)]),
    "local_response_norm_forward": ("local_response_norm_forward", [(2, 9, 3, 4), RESPONSE], {}, [(2, 9, 3, 4)]),
    "local_response_norm_backward": (
        "local_response_norm_backward", [(2, 9, 3, 4), (2, 9, 3, 4), RESPONSE], {}, [(2, 9, 3, 4)],
    ),
    "k_max_backward": ("k_max_backward", [(3, 2), np.array([[0, 3], [1, 2], [2, 4]], "int32"), 5, 1], {}, [(3, 5)]),
    "softmax_cross_entropy_forward": ("softmax_cross_entropy_forward", [(3, 5), LABELS], {}, [(), (3, 5)]),
    "softmax_cross_entropy_backward": ("softmax_cross_entropy_backward", [(3, 5), LABELS], {}, [(3, 5)]),
}  # fmt: skip


def given(backend, op, inputs, rng):
    """The arrays of a call; shapes that are arguments themselves stay."""
    arrays = []
    for position, item in enumerate(inputs):
        is_shape = isinstance(item, tuple) and not (op == "reshape" and position)
        arrays.append(backend.asarray(floats(rng, item)) if is_shape else item)
    return [backend.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays]


def results(backend, shapes):
    made = tuple(poisoned(backend, shape, "float32") for shape in shapes)
    return made if len(made) > 1 else made[0]


def make(runs):
    for run in runs:
        run()


def as_numpy(backend, out):
    return [backend.to_numpy(a).copy() for a in (out if isinstance(out, tuple) else (out,))]


@pytest.mark.parametrize("name", CALLS)
def test_a_bound_call_is_the_call_at_every_run(backend, name, rng):
    op, inputs, options, shapes = CALLS[name]
    arguments, out, blocks = given(backend, op, inputs, rng), results(backend, shapes), {}
    runs = backend.bind(op, arguments, {**options, "out": out}, blocks)
    assert all(np.isnan(a).all() for a in as_numpy(backend, out)), "binding computes nothing"
    expected = results(backend, shapes)
    for _ in range(3):
        make(runs)
        getattr(backend, op)(*arguments, **options, out=expected)
        for a, b in zip(as_numpy(backend, out), as_numpy(backend, expected), strict=True):
            np.testing.assert_array_equal(a, b)
        for a in arguments:
            if hasattr(a, "strides") and a.dtype.kind == "f":
                a[...] = backend.asarray(floats(rng, tuple(a.shape)))


@pytest.mark.parametrize("name", [name for name in CALLS if "forward" in name and "softmax" not in name])
def test_a_call_with_fixed_parameters_reads_them_once(backend, name, rng):
    op, inputs, options, shapes = CALLS[name]
    arguments, out, once = given(backend, op, inputs, rng), results(backend, shapes), []
    runs = backend.bind(op, arguments, {**options, "out": out}, {}, once)
    assert all(np.isnan(a).all() for a in as_numpy(backend, out)), "binding computes nothing"
    expected = results(backend, shapes)
    arrays = [a for a in arguments if hasattr(a, "strides")]
    for changed in (arrays, arrays[:1], arrays[:1], arrays):
        for a in changed:
            a[...] = backend.asarray(floats(rng, tuple(a.shape)))
        make(once if len(changed) > 1 else [])
        make(runs)
        getattr(backend, op)(*arguments, **options, out=expected)
        for a, b in zip(as_numpy(backend, out), as_numpy(backend, expected), strict=True):
            np.testing.assert_array_equal(a, b)


def test_arrays_that_lie_otherwise_are_followed_too(cpu, rng):
    """The call makes a copy of such an array: at every run, not when it is bound."""
    op, inputs, options, shapes = CALLS["conv2d_pool_forward"]
    x, w, b, *geometry = given(cpu, op, inputs, rng)
    w, out = np.ascontiguousarray(w), results(cpu, shapes)
    runs = cpu.bind(op, [x, w, b, *geometry], {**options, "out": out}, {})
    for _ in range(2):
        make(runs)
        expected = cpu.conv2d_pool_forward(x, w, b, *geometry, **options)
        np.testing.assert_array_equal(out[0], expected[0])
        w *= 2


@pytest.mark.parametrize("algorithm", ["im2col", "tiles", "direct"])
def test_every_algorithm_reads_its_arrays_at_every_run(cpu, algorithm, rng):
    x, w, b, g = given(cpu, "conv2d_forward", [CONV.x_shape, CONV.w_shape, (4,), CONV], rng)
    out = results(cpu, [CONV.y_shape])
    runs = cpu.bind("conv2d_forward", [x, w, b, g], {"algorithm": algorithm, "out": out}, {})
    for _ in range(2):
        make(runs)
        np.testing.assert_array_equal(out, cpu.conv2d_forward(x, w, b, g, algorithm=algorithm))
        x *= 2
        w += 1


def test_labels_are_looked_at_in_every_run(cpu):
    labels, out = LABELS.copy(), results(cpu, [(), (3, 5)])
    runs = cpu.bind("softmax_cross_entropy_forward", [cpu.zeros((3, 5)), labels], {"out": out}, {})
    labels[1] = 5
    with pytest.raises(ArgumentError, match="labels must be from 0 to 4"):
        make(runs)


def test_a_wrong_call_is_refused_when_it_is_bound(cpu):
    with pytest.raises(ShapeError, match="dy must have shape"):
        cpu.bind("activation_backward", ["relu", cpu.zeros((2, 3)), cpu.zeros((2, 4))], {"out": cpu.zeros((2, 4))}, {})
    assert (cpu.activation_forward("sigmoid", cpu.zeros((2, 3))) == 0.5).all(), "calls compute again"


def test_scratch_memory_of_bound_calls_is_their_own(cpu, rng):
    """A plan's calls and eager ones may run at the same time: they must not meet in scratch memory."""
    op, inputs, options, shapes = CALLS["conv2d_pool_forward"]
    blocks = {}
    cpu.bind(op, given(cpu, op, inputs, rng), {**options, "out": results(cpu, shapes)}, blocks)
    mine = {name: block.ctypes.data for name, block in blocks.items()}
    assert mine
    other = {}
    cpu.bind(op, given(cpu, op, inputs, rng), {**options, "out": results(cpu, shapes)}, other)
    assert all(other[name].ctypes.data != place for name, place in mine.items())


@pytest.fixture
def cpu():
    from fastconv.backends import select

    if select.available()["cpu"] != "ready":
        pytest.skip("the cpu backend is not ready: " + select.available()["cpu"])
    return select.get("cpu")
