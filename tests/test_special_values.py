"""Denormal numbers, infinities and NaN on every backend: what IEEE arithmetic gives; nothing is flushed or hidden."""

import numpy as np
import pytest
import reference
from cases import ConvCase, PoolCase, names, whole_numbers
from checks import assert_exact

CASES = [
    ConvCase("one_channel", x=(3, 1, 9, 10), w=(6, 1, 5, 5)),
    ConvCase("few_channels_strided", x=(2, 3, 11, 12), w=(18, 3, 3, 3), stride=(2, 2)),
    ConvCase("many_channels", x=(2, 17, 7, 8), w=(33, 17, 3, 3)),
    ConvCase("one_by_one", x=(2, 20, 5, 6), w=(19, 20, 1, 1)),
    ConvCase("groups", x=(2, 8, 6, 7), w=(12, 4, 3, 2), groups=2),
    ConvCase("depthwise", x=(2, 19, 7, 8), w=(19, 1, 3, 3), groups=19),
]
every_case = pytest.mark.parametrize("case", CASES, ids=names(CASES))
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
POOLS = [
    PoolCase("side_by_side", x=(2, 5, 6, 8), kernel=(2, 2), stride=(2, 2)),
    PoolCase("overlapping", x=(2, 17, 7, 8), kernel=(2, 2), stride=(1, 1)),
    PoolCase("whole_map", x=(2, 70, 4, 4), kernel=(4, 4), stride=(4, 4)),
]
every_pool = pytest.mark.parametrize("case", POOLS, ids=names(POOLS))


def denormals(rng, shape, dtype):
    """Multiples of 16 of the smallest positive number, all of them denormal: their small sums and products with whole
    numbers, and their sixteenths, are exact."""
    return whole_numbers(rng, shape, dtype) * (16 * np.finfo(dtype).smallest_subnormal)


def with_specials(rng, shape, dtype="float32"):
    """Whole numbers, among them a few infinities and NaN."""
    a = whole_numbers(rng, shape, dtype)
    for value in (np.nan, np.inf, -np.inf):
        a[rng.random(shape) < 0.01] = value
    return a


def check_convolution(backend, case, x, w, b, dy, directions=("forward", "backward_data", "backward_weight")):
    """Every algorithm of these passes that computes in the type of its arrays, against the naive loops."""
    with np.errstate(all="ignore"):
        dx, dw, db = reference.conv2d_backward(dy, x, w, **case.options)
        expected = {"forward": (reference.conv2d(x, w, b, **case.options),), "backward_data": (dx,)}
    expected["backward_weight"] = dw, db
    xb, wb, bb, dyb = (backend.asarray(a) for a in (x, w, b, dy))
    g = case.geometry
    run = {
        "forward": lambda name: (backend.conv2d_forward(xb, wb, bb, g, algorithm=name),),
        "backward_data": lambda name: (backend.conv2d_backward_data(dyb, wb, g, algorithm=name),),
        "backward_weight": lambda name: backend.conv2d_backward_weight(dyb, xb, g, algorithm=name),
    }
    for direction in directions:
        for candidate in backend.explain(g, direction):
            runs = candidate.declined is None or "on request" in candidate.declined
            # Tensor cores round their factors to fewer bits.
            if runs and "tensor cores" not in candidate.reason and not candidate.rounds:
                for actual, e in zip(run[direction](candidate.name), expected[direction], strict=True):
                    assert_exact(backend.to_numpy(actual), e.astype(x.dtype), x.dtype)


class TestDenormals:
    """They keep their values, down to the last bit."""

    @every_case
    @every_dtype
    def test_convolution(self, backend, case, dtype, rng):
        g = case.geometry
        small = [denormals(rng, shape, dtype) for shape in (g.x_shape, (g.OC,), g.y_shape)]
        whole = [whole_numbers(rng, shape, dtype) for shape in (g.x_shape, g.w_shape, g.y_shape)]
        check_convolution(backend, case, small[0], whole[1], small[1], whole[2], ["forward", "backward_weight"])
        check_convolution(backend, case, whole[0], whole[1], small[1], small[2], ["backward_data", "backward_weight"])

    @every_dtype
    def test_linear(self, backend, dtype, rng):
        x, w, b = denormals(rng, (9, 40), dtype), whole_numbers(rng, (21, 40), dtype), denormals(rng, (21,), dtype)
        y = backend.linear_forward(*(backend.asarray(a) for a in (x, w, b)))
        assert_exact(backend.to_numpy(y), reference.linear(x, w, b).astype(dtype), dtype)
        dy, x = denormals(rng, (9, 21), dtype), whole_numbers(rng, (9, 40), dtype)
        actual = backend.linear_backward(*(backend.asarray(a) for a in (dy, x, w)))
        for a, e in zip(actual, reference.linear_backward(dy, x, w), strict=True):
            assert_exact(backend.to_numpy(a), e.astype(dtype), dtype)

    @every_pool
    @every_dtype
    def test_pooling(self, backend, case, dtype, rng):
        g = case.geometry
        x, dy = denormals(rng, g.x_shape, dtype), denormals(rng, g.y_shape, dtype)
        y, argmax = backend.max_pool2d_forward(backend.asarray(x), g)
        expected, places = reference.max_pool2d(x, **case.window)
        assert_exact(backend.to_numpy(y), expected.astype(dtype), dtype)
        dx = backend.max_pool2d_backward(backend.asarray(dy), argmax, g)
        assert_exact(
            backend.to_numpy(dx),
            reference.max_pool2d_backward(dy, places, g.x_shape, **case.window).astype(dtype),
            dtype,
        )
        y = backend.avg_pool2d_forward(backend.asarray(x), g)
        assert_exact(backend.to_numpy(y), reference.avg_pool2d(x, **case.window).astype(dtype), dtype)
        dx = backend.avg_pool2d_backward(backend.asarray(dy), g)
        expected = reference.avg_pool2d_backward(dy, g.x_shape, **case.window).astype(dtype)
        assert_exact(backend.to_numpy(dx), expected, dtype)

    @every_dtype
    def test_activations(self, backend, dtype, rng):
        x, one = denormals(rng, (5, 33), dtype), np.ones((5, 33), dtype)
        on_backend = backend.asarray(x)
        for kind, expected in (("relu", np.maximum(x, 0)), ("tanh", x), ("sigmoid", 0.5 * one)):
            assert_exact(backend.to_numpy(backend.activation_forward(kind, on_backend)), expected, dtype)
        leaked = backend.activation_forward("leaky_relu", on_backend, slope=0.25)
        assert_exact(backend.to_numpy(leaked), np.where(x < 0, x / 4, x), dtype)
        for kind, y, expected in (("relu", one, x), ("tanh", 0 * one, x), ("sigmoid", 0.5 * one, x / 4)):
            dx = backend.activation_backward(kind, on_backend, backend.asarray(y))
            assert_exact(backend.to_numpy(dx), expected, dtype)


class TestInfinitiesAndNaN:
    """They spread as IEEE arithmetic says. Filters with such values have no padding here: its zeros may meet them."""

    @every_case
    def test_convolution(self, backend, case, rng):
        g = case.geometry
        b = whole_numbers(rng, (g.OC,))
        check_convolution(
            backend, case, with_specials(rng, g.x_shape), whole_numbers(rng, g.w_shape), b,
            with_specials(rng, g.y_shape),
        )  # fmt: skip
        w = with_specials(rng, g.w_shape)
        check_convolution(
            backend, case, whole_numbers(rng, g.x_shape), w, b, whole_numbers(rng, g.y_shape), ["forward"],
        )  # fmt: skip

    def test_linear(self, backend, rng):
        x, w, b = with_specials(rng, (19, 40)), whole_numbers(rng, (21, 40)), with_specials(rng, (21,))
        dy = with_specials(rng, (19, 21))
        with np.errstate(all="ignore"):
            expected = reference.linear(x, w, b), *reference.linear_backward(dy, x, w)
        xb, wb, bb, dyb = (backend.asarray(a) for a in (x, w, b, dy))
        actual = backend.linear_forward(xb, wb, bb), *backend.linear_backward(dyb, xb, wb)
        for a, e in zip(actual, expected, strict=True):
            assert_exact(backend.to_numpy(a), e, "float32")

    @every_pool
    def test_pooling(self, backend, case, rng):
        g = case.geometry
        x, dy = with_specials(rng, g.x_shape), with_specials(rng, g.y_shape)
        y, argmax = backend.max_pool2d_forward(backend.asarray(x), g)
        dx = backend.max_pool2d_backward(backend.asarray(dy), argmax, g)
        average = backend.avg_pool2d_forward(backend.asarray(x), g)
        spread = backend.avg_pool2d_backward(backend.asarray(dy), g)
        with np.errstate(all="ignore"):
            expected, places = reference.max_pool2d(x, **case.window)
            assert_exact(backend.to_numpy(y), expected, "float32")
            expected = reference.max_pool2d_backward(dy, places, g.x_shape, **case.window)
            assert_exact(backend.to_numpy(dx), expected, "float32")
            assert_exact(backend.to_numpy(average), reference.avg_pool2d(x, **case.window), "float32")
            expected = reference.avg_pool2d_backward(dy, g.x_shape, **case.window)
            assert_exact(backend.to_numpy(spread), expected, "float32")

    def test_gradients_of_activations(self, backend):
        dy = np.array([np.nan, np.inf, -np.inf], "float32")
        for kind, y, factor in (("relu", 1, 1), ("leaky_relu", -1, 0.5), ("sigmoid", 0.5, 0.25), ("tanh", 0.5, 0.75)):
            y = backend.asarray(np.full(3, y, "float32"))
            dx = backend.activation_backward(kind, backend.asarray(dy), y, slope=0.5)
            assert_exact(backend.to_numpy(dx), dy * np.float32(factor), "float32")
        for kind in ("sigmoid", "tanh"):
            dx = backend.activation_backward(kind, backend.asarray(np.ones(3, "float32")), backend.asarray(dy))
            assert np.isnan(backend.to_numpy(dx)[0]), "a NaN in y"
