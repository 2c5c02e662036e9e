"""Convolution, activation and pooling in one call, on every backend: what three naive loops in a row give."""

import numpy as np
import pytest
import reference
from cases import FUSED_CASES, SIDE_BY_SIDE, FusedCase, conv_cases, floats, seeds, whole_numbers
from checks import assert_exact, is_channels_last, poisoned, unchanged
from hypothesis import given

from fastconv.errors import ShapeError

# Averages over 2 or 4 elements are exact too: halves and quarters of whole numbers.
HALVES = [case for case in FUSED_CASES if case.pool.taps in (2, 4) and not case.ceil_mode]
EXACT = [(case, "max") for case in FUSED_CASES] + [(case, "avg") for case in HALVES]
every_case = pytest.mark.parametrize("case", FUSED_CASES, ids=[case.conv.name for case in FUSED_CASES])
every_kind = pytest.mark.parametrize("kind", ["max", "avg"])


def inputs(case, rng, draw=whole_numbers, dtype="float32"):
    """x, w, b and a dy that the taps of a window divide."""
    g = case.conv.geometry
    x, w, b = (draw(rng, shape, dtype) for shape in (g.x_shape, g.w_shape, (g.OC,)))
    return x, w, b, draw(rng, case.pool.y_shape, dtype) * case.pool.taps


def expected_forward(case, kind, activation, x, w, b):
    """y, what is kept, and the map before its activation."""
    z = reference.conv2d(x, w, b, **case.conv.options)
    a = reference.activation(activation, z)
    if kind == "max":
        return *reference.max_pool2d(a, ceil_mode=case.ceil_mode, **case.window), z
    return reference.avg_pool2d(a, ceil_mode=case.ceil_mode, **case.window), a, z


def expected_backward(case, kind, activation, dy, kept, z, x, w):
    """dx, dw, db."""
    if kind == "max":
        da = reference.max_pool2d_backward(dy, kept, z.shape, **case.window)
    else:
        da = reference.avg_pool2d_backward(dy, z.shape, ceil_mode=case.ceil_mode, **case.window)
    dz = da if activation is None else reference.activation_backward(activation, da, z)
    return reference.conv2d_backward(dz, x, w, **case.conv.options)


def run(backend, case, kind, activation, x, w, b, dy):
    """y, kept, dx, dw, db on the backend, as NumPy arrays."""
    g, pool = case.conv.geometry, case.pool
    x, w, b, dy = (None if a is None else backend.asarray(a) for a in (x, w, b, dy))
    y, kept = backend.conv2d_pool_forward(x, w, b, g, pool, kind=kind, activation=activation)
    grads = backend.conv2d_pool_backward(dy, y, kept, x, w, g, pool, kind=kind, activation=activation)
    return [backend.to_numpy(a) for a in (y, kept, *grads)]


def check_exact(backend, case, kind, activation, rng, dtype="float32"):
    x, w, b, dy = inputs(case, rng, dtype=dtype)
    y, kept, *grads = run(backend, case, kind, activation, x, w, b, dy)
    expected_y, expected_kept, z = expected_forward(case, kind, activation, x, w, b)
    assert_exact(y, expected_y, dtype)
    assert_exact(kept, expected_kept, case.pool.argmax_dtype if kind == "max" else dtype)
    for actual, e in zip(grads, expected_backward(case, kind, activation, dy, expected_kept, z, x, w), strict=True):
        assert_exact(actual, e, dtype)


@pytest.mark.parametrize(("case", "kind"), EXACT, ids=[f"{kind}_{case.conv.name}" for case, kind in EXACT])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_are_exact(backend, case, kind, activation, dtype, rng):
    check_exact(backend, case, kind, activation, rng, dtype)


@given(conv=conv_cases(), seed=seeds)
def test_random_convolutions_under_a_2x2_pool(backend, conv, seed):
    OH, OW = conv.geometry.OH, conv.geometry.OW
    if OH > 1 and OW > 1:
        check_exact(backend, FusedCase(conv, **SIDE_BY_SIDE), "max", "relu", np.random.default_rng(seed))


@every_kind
@every_case
@pytest.mark.parametrize("activation", [None, "relu", "leaky_relu", "tanh", "sigmoid"])
def test_floats(backend, case, kind, activation, rng):
    x, w, b, dy = inputs(case, rng, floats, "float64")
    expected_y, kept, z = expected_forward(case, kind, activation, x, w, b)
    expected = expected_y, *expected_backward(case, kind, activation, dy, kept, z, x, w)
    y, _, *grads = run(backend, case, kind, activation, x, w, b, dy)
    for actual, e in zip((y, *grads), expected, strict=True):
        np.testing.assert_allclose(actual, e, rtol=1e-10, atol=1e-10)


@every_case
@every_kind
def test_out_is_overwritten_whole_and_inputs_stay(backend, case, kind, rng):
    g, pool = case.conv.geometry, case.pool
    x, w, b, dy = (backend.asarray(a) for a in inputs(case, rng))
    y, kept, *grads = run(backend, case, kind, "relu", x, w, b, dy)
    out = poisoned(backend, y.shape, "float32"), poisoned(backend, kept.shape, kept.dtype)
    out_grads = tuple(poisoned(backend, a.shape, "float32") for a in grads)
    with unchanged(backend, x, w, b, dy):
        backend.conv2d_pool_forward(x, w, b, g, pool, kind=kind, activation="relu", out=out)
        with unchanged(backend, *out):
            backend.conv2d_pool_backward(dy, *out, x, w, g, pool, kind=kind, activation="relu", out=out_grads)
    for a, e in zip((*out, *out_grads), (y, kept, *grads), strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), e)
        assert a.ndim != 4 or is_channels_last(a)


@every_case
@every_kind
def test_rows_in_place_of_maps(backend, case, kind, rng):
    g, pool = case.conv.geometry, case.pool
    x, w, b, dy = (backend.asarray(a) for a in inputs(case, rng))
    y, kept, *grads = run(backend, case, kind, "relu", x, w, b, dy)
    rows_of = [backend.reshape(backend.asarray(a), (g.N, -1)) for a in (dy, y)]
    out = poisoned(backend, rows_of[1].shape, "float32"), poisoned(backend, kept.shape, kept.dtype)
    options = {"kind": kind, "activation": "relu"}
    for results in (None, out):
        rows, kept_too = backend.conv2d_pool_forward(x, w, b, g, pool, flat=True, out=results, **options)
        assert_exact(backend.to_numpy(rows), backend.to_numpy(rows_of[1]), "float32")
        assert_exact(backend.to_numpy(kept_too), kept, kept.dtype)
    for a, e in zip(backend.conv2d_pool_backward(rows_of[0], *out, x, w, g, pool, **options), grads, strict=True):
        assert_exact(backend.to_numpy(a), e, "float32")


@every_case
@pytest.mark.parametrize("activation", [None, "relu"])
def test_without_the_gradient_of_x(backend, case, activation, rng):
    x, w, b, dy = inputs(case, rng)
    y, kept, _, dw, db = run(backend, case, "max", activation, x, w, b, dy)
    arrays = [backend.asarray(a) for a in (dy, y, kept, x, w)]
    no_dx, *grads = backend.conv2d_pool_backward(
        *arrays, case.conv.geometry, case.pool, kind="max", activation=activation, needs_dx=False
    )
    assert no_dx is None
    for actual, e in zip(grads, (dw, db), strict=True):
        assert_exact(backend.to_numpy(actual), e, "float32")


@every_case
@every_kind
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_nothing_kept_for_a_backward(backend, case, kind, activation, rng):
    g, pool = case.conv.geometry, case.pool
    x, w, b, _ = (backend.asarray(a) for a in inputs(case, rng))
    options = {"kind": kind, "activation": activation}
    expected, _ = backend.conv2d_pool_forward(x, w, b, g, pool, **options)
    out = poisoned(backend, pool.y_shape, "float32")
    for memory in (None, (out, None)):
        y, kept = backend.conv2d_pool_forward(x, w, b, g, pool, **options, keep=False, out=memory)
        assert kept is None
        np.testing.assert_array_equal(backend.to_numpy(y), backend.to_numpy(expected))
    assert y is out


@every_kind
def test_without_bias(backend, kind, rng):
    case = FUSED_CASES[3]
    x, w, _, dy = inputs(case, rng)
    y, *_ = run(backend, case, kind, None, x, w, None, dy)
    expected, *_ = expected_forward(case, kind, None, x, w, None)
    assert_exact(y, expected, "float32")


@every_kind
def test_a_pool_of_another_map_is_refused(backend, kind):
    conv, other = FUSED_CASES[3].conv, FUSED_CASES[0].pool
    with pytest.raises(ShapeError):
        backend.conv2d_pool_forward(
            backend.zeros(conv.x), backend.zeros(conv.w), None, conv.geometry, other, kind=kind, activation="relu"
        )
