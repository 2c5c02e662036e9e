"""Batch normalisation on every backend against the naive loops."""

import numpy as np
import pytest
import reference
from cases import floats, seeds, whole_numbers
from checks import assert_exact, assert_within, is_channels_last, layouts, poisoned, sum_bound, unchanged
from hypothesis import given
from hypothesis import strategies as st

from fastconv.backends.base import ACTIVATIONS
from fastconv.errors import ArgumentError, DTypeError, ShapeError

FLOATS = ("float32", "float64")
EPS = 1e-5
SHAPES = [
    (2, 1), (7, 3), (300, 30), (3, 130), (65, 128), (2, 1, 1, 1), (2, 3, 4, 5), (40, 1, 9, 7), (7, 6, 3, 3),
    (3, 17, 9, 9), (2, 64, 6, 7), (2, 128, 3, 3), (1, 129, 2, 2), (2, 300, 1, 2), (1, 5, 200, 1),
]  # fmt: skip
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
every_dtype = pytest.mark.parametrize("dtype", FLOATS)


def statistics(backend, x, momentum=0.1):
    """mean, var, and what becomes of a running mean of 2 and a running variance of 3, as NumPy arrays."""
    running = [backend.asarray(np.full(x.shape[1], start, x.dtype)) for start in (2, 3)]
    found = backend.batch_norm_statistics(backend.asarray(x), *running, momentum=momentum)
    return [backend.to_numpy(a) for a in (*found, *running)]


def values(rng, shape, dtype="float32"):
    """x, dy, gamma, beta."""
    return tuple(floats(rng, s, dtype) for s in (shape, shape, shape[1:2], shape[1:2]))


def backward(backend, *arrays, batch_statistics=True, eps=EPS):
    """dx, dgamma, dbeta as NumPy arrays."""
    given = [None if a is None else backend.asarray(a) for a in arrays]
    found = backend.batch_norm_backward(*given, eps=eps, batch_statistics=batch_statistics)
    return [backend.to_numpy(a) for a in found]


def check_statistics(backend, x, momentum=0.1):
    """The variance may be taken from distances to any one element of the channel."""
    mean, var, unbiased = reference.batch_norm_statistics(x)
    rows = reference._by_channel(x)
    largest, farthest = np.abs(rows).max(1), ((rows - mean[:, None]) ** 2).max(1)
    expected = mean, var, (1 - momentum) * 2 + momentum * mean, (1 - momentum) * 3 + momentum * unbiased
    sizes = largest, var + farthest, largest + 2, unbiased + farthest + 3
    for actual, e, size in zip(statistics(backend, x, momentum), expected, sizes, strict=True):
        assert actual.dtype == x.dtype
        assert_within(actual, e, sum_bound(x.dtype, rows.shape[1], size))


def check_backward(backend, x, dy, gamma):
    """Against the loops; mean and variance are handed over as the loops find them, rounded to the type of x."""
    mean, var, _ = reference.batch_norm_statistics(x)
    rounded = mean.astype(x.dtype), var.astype(x.dtype)
    M = x.size // x.shape[1]
    found = backward(backend, dy, x, *rounded, gamma)
    expected = reference.batch_norm_backward(dy, x, 1 if gamma is None else gamma, EPS)
    std = np.sqrt(var + EPS)
    xhat = np.abs(reference.batch_norm(x, mean, var, 1, 0, EPS)).max()
    rounding = np.abs(mean) / std  # a mean that is rounded moves every xhat by so many units
    largest = (1 + xhat + rounding.max()) * np.abs(dy).max()
    scale = (1 if gamma is None else np.abs(gamma).max()) / std.min()
    sizes = 4 * scale * largest * (1 + xhat), M * largest, M * np.abs(dy).max()
    for actual, e, size in zip(found, expected, sizes, strict=True):
        assert actual.dtype == x.dtype
        assert_within(actual, e, sum_bound(x.dtype, M, size))


class TestStatistics:
    @every_shape
    @every_dtype
    def test_mean_and_variance(self, backend, shape, dtype, rng):
        check_statistics(backend, floats(rng, shape, dtype))

    @given(
        st.tuples(st.integers(2, 5), st.integers(1, 140), st.integers(1, 4), st.integers(1, 4)), seeds,
        st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    )  # fmt: skip
    def test_random_problems(self, backend, shape, seed, momentum):
        rng = np.random.default_rng(seed)
        check_statistics(backend, floats(rng, shape), momentum)
        check_backward(backend, *(floats(rng, s) for s in (shape, shape, shape[1:2])))

    @every_dtype
    def test_whole_numbers_are_exact(self, backend, dtype, rng):
        """64 elements a channel, half of them 3 above a whole mean and half of them 3 below."""
        mean = whole_numbers(rng, (37,))
        sides = np.array([rng.permutation([3, -3] * 32) for _ in mean]).reshape(37, 4, 4, 4).transpose(1, 0, 2, 3)
        x = (mean[:, None, None] + sides).astype(dtype)
        found = statistics(backend, x, momentum=0.5)
        expected = mean, np.full(37, 9.0), 1 + mean / 2, np.full(37, (1.5 + 4.5 * 64 / 63))
        for actual, e in zip(found, expected, strict=True):
            assert_exact(actual, np.asarray(e).astype(dtype), dtype)

    @pytest.mark.parametrize("shape", [(512, 3), (4, 40, 16, 16), (2, 130, 9, 9)])
    def test_a_large_mean_costs_no_digits_of_the_variance(self, backend, shape, rng):
        """100,000 times the deviation: squares less the square of the mean would leave nothing in float32."""
        x = (4096 + floats(rng, shape) / 32).astype("float32")
        _, var, _, _ = statistics(backend, x)
        np.testing.assert_allclose(var, reference.batch_norm_statistics(x)[1], rtol=1e-4)

    def test_one_outlier_in_front_costs_few(self, backend, rng):
        x = floats(rng, (4000, 3))
        x[0] = 100
        _, var, _, _ = statistics(backend, x)
        np.testing.assert_allclose(var, reference.batch_norm_statistics(x)[1], rtol=1e-4)

    def test_equal_elements_have_no_variance(self, backend):
        x = np.full((5, 4, 7, 3), 0.1, "float32")
        mean, var, _, _ = statistics(backend, x)
        assert_exact(mean, x[0, :, 0, 0], "float32")
        assert not var.any()

    def test_running_statistics_may_be_missing(self, backend, rng):
        x = backend.asarray(floats(rng, (6, 5)))
        for i in range(2):
            running = [None, None]
            running[i] = backend.zeros((5,))
            found = backend.batch_norm_statistics(x, *running, momentum=1.0)
            factor = 6 / 5 if i else 1
            np.testing.assert_allclose(backend.to_numpy(running[i]), backend.to_numpy(found[i]) * factor, rtol=1e-6)
        backend.batch_norm_statistics(x, None, None, momentum=0.1)

    def test_a_nan_spoils_its_channel_only(self, backend, rng):
        x = floats(rng, (4, 33, 3, 3))
        x[2, 7, 1, 1] = np.nan
        for a in statistics(backend, x):
            assert np.flatnonzero(np.isnan(a)).tolist() == [7]


class TestForward:
    @every_shape
    @every_dtype
    def test_the_formula(self, backend, shape, dtype, rng):
        x, _, gamma, beta = values(rng, shape, dtype)
        mean, var = floats(rng, shape[1:2], dtype), rng.uniform(0.5, 2, shape[1]).astype(dtype)
        given_out = poisoned(backend, shape, dtype)
        arrays = [backend.asarray(a) for a in (x, mean, var, gamma, beta)]
        with unchanged(backend, *arrays):
            y = backend.batch_norm_forward(*arrays, eps=EPS, out=given_out)
        assert y is given_out
        fresh = backend.batch_norm_forward(*arrays, eps=EPS)
        assert backend.to_numpy(fresh).tobytes() == backend.to_numpy(y).tobytes()
        assert len(shape) == 2 or is_channels_last(fresh)
        size = np.abs(gamma).max() * (np.abs(x).max() + np.abs(mean).max()) / np.sqrt(var.min()) + np.abs(beta).max()
        assert_within(
            backend.to_numpy(y), reference.batch_norm(x, mean, var, gamma, beta, EPS), sum_bound(dtype, 4, size)
        )

    @every_shape
    @every_dtype
    def test_whole_numbers_are_exact(self, backend, shape, dtype, rng):
        """Variances of 1, 4 and 16."""
        x, gamma, beta, mean = (whole_numbers(rng, s, dtype) for s in (shape, *[shape[1:2]] * 3))
        var = rng.choice([1, 4, 16], shape[1]).astype(dtype)
        arrays = [backend.asarray(a) for a in (x, mean, var)]
        channels = [backend.asarray(a) for a in (gamma, beta)]
        for (g, on_g), (b, on_b) in [
            ((a, c), (d, e)) for a, c in ((gamma, channels[0]), (1, None)) for d, e in ((beta, channels[1]), (0, None))
        ]:
            y = backend.batch_norm_forward(*arrays, on_g, on_b, eps=0.0)
            assert_exact(backend.to_numpy(y), reference.batch_norm(x, mean, var, g, b, 0), dtype)

    @pytest.mark.parametrize("kind", ACTIVATIONS)
    @pytest.mark.parametrize("shape", [(9, 7), (3, 5, 4, 4), (2, 128, 3, 3)])
    def test_an_activation_is_what_comes_after(self, backend, kind, shape, rng):
        """Bit for bit, so that a compiled step may join the two calls."""
        x, _, gamma, beta = (backend.asarray(a) for a in values(rng, shape))
        mean, var = backend.batch_norm_statistics(x, None, None, momentum=0.1)
        y = backend.batch_norm_forward(x, mean, var, gamma, beta, eps=EPS, activation=kind)
        parts = backend.activation_forward(kind, backend.batch_norm_forward(x, mean, var, gamma, beta, eps=EPS))
        assert backend.to_numpy(y).tobytes() == backend.to_numpy(parts).tobytes()


class TestBackward:
    @every_shape
    @every_dtype
    @pytest.mark.parametrize("affine", [True, False])
    def test_statistics_of_the_batch(self, backend, shape, dtype, affine, rng):
        x, dy, gamma, _ = values(rng, shape, dtype)
        check_backward(backend, x, dy, gamma if affine else None)

    @every_shape
    @every_dtype
    def test_constants_are_exact_on_whole_numbers(self, backend, shape, dtype, rng):
        x, dy = (whole_numbers(rng, shape, dtype, top=3) for _ in range(2))
        gamma, mean = (whole_numbers(rng, shape[1:2], dtype, top=3) for _ in range(2))
        var = rng.choice([1, 4, 16], shape[1]).astype(dtype)
        found = backward(backend, dy, x, mean, var, gamma, batch_statistics=False, eps=0.0)
        xhat = reference.batch_norm(x, mean, var, 1, 0, 0)
        sums = [reference._by_channel(a).sum(1) for a in (dy * xhat, dy)]
        for actual, e in zip(found, (reference.batch_norm(dy, 0 * mean, var, gamma, 0, 0), *sums), strict=True):
            assert_exact(actual, e, dtype)

    def test_outputs_are_overwritten_and_inputs_stay(self, backend, rng):
        shape = (3, 17, 5, 4)
        x, dy, gamma, _ = (backend.asarray(a) for a in values(rng, shape))
        mean, var = backend.batch_norm_statistics(x, None, None, momentum=0.1)
        for batch_statistics in (True, False):
            out = tuple(poisoned(backend, s, "float32") for s in (shape, (17,), (17,)))
            options = {"eps": EPS, "batch_statistics": batch_statistics}
            with unchanged(backend, x, dy, mean, var, gamma):
                returned = backend.batch_norm_backward(dy, x, mean, var, gamma, **options, out=out)
            assert all(a is b for a, b in zip(returned, out, strict=True))
            for a, b in zip(out, backend.batch_norm_backward(dy, x, mean, var, gamma, **options), strict=True):
                assert backend.to_numpy(a).tobytes() == backend.to_numpy(b).tobytes()
                assert not np.isnan(backend.to_numpy(a)).any()


class TestEffects:
    def test_statistics_go_where_they_are_wanted(self, backend, rng):
        x = backend.asarray(floats(rng, (3, 17, 5, 4)))
        out = tuple(poisoned(backend, (17,), "float32") for _ in range(2))
        with unchanged(backend, x):
            returned = backend.batch_norm_statistics(x, None, None, momentum=0.1, out=out)
        assert all(a is b for a, b in zip(returned, out, strict=True))
        assert not any(np.isnan(backend.to_numpy(a)).any() for a in out)

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        x, dy, gamma, beta = values(rng, (2, 5, 4, 3))
        plain = backend.asarray(x)
        mean, var = backend.batch_norm_statistics(plain, None, None, momentum=0.1)
        g, b = backend.asarray(gamma), backend.asarray(beta)
        y = backend.to_numpy(backend.batch_norm_forward(plain, mean, var, g, b, eps=EPS))
        dx = backward(backend, dy, x, backend.to_numpy(mean), backend.to_numpy(var), gamma)[0]
        for (_, xl), (_, dyl) in zip(layouts(backend, x), layouts(backend, dy), strict=True):
            for a, e in zip(backend.batch_norm_statistics(xl, None, None, momentum=0.1), (mean, var), strict=True):
                np.testing.assert_array_equal(backend.to_numpy(a), backend.to_numpy(e))
            np.testing.assert_array_equal(backend.to_numpy(backend.batch_norm_forward(xl, mean, var, g, b, eps=EPS)), y)
            found = backend.batch_norm_backward(dyl, xl, mean, var, g, eps=EPS, batch_statistics=True)
            np.testing.assert_array_equal(backend.to_numpy(found[0]), dx)


class TestRefusals:
    @pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
    def test_one_element_has_no_variance(self, backend, shape):
        with pytest.raises(ShapeError, match=r"one element of a channel .*larger batches, or model\.eval\(\)"):
            backend.batch_norm_statistics(backend.zeros(shape), None, None, momentum=0.1)

    @pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3), (2, 0, 4, 4)])
    def test_other_axes(self, backend, shape):
        with pytest.raises(ShapeError, match=r"\(N, C\) or \(N, C, H, W\)"):
            backend.batch_norm_statistics(backend.zeros(shape), None, None, momentum=0.1)

    @pytest.mark.parametrize("wrong", ["mean", "var", "gamma", "beta"])
    def test_other_channels_and_types(self, backend, wrong):
        x = backend.zeros((2, 3, 4, 4))
        names = ("mean", "var", "gamma", "beta")
        with pytest.raises(ShapeError, match=rf"{wrong} must have shape \(3,\), got \(4,\)"):
            backend.batch_norm_forward(x, *(backend.zeros((3 + (n == wrong),)) for n in names), eps=EPS)
        with pytest.raises(DTypeError, match=f"{wrong} float64"):
            backend.batch_norm_forward(
                x, *(backend.zeros((3,), "float64" if n == wrong else "float32") for n in names), eps=EPS
            )

    def test_a_gradient_of_another_shape(self, backend):
        x, c = backend.zeros((2, 3, 4, 4)), backend.zeros((3,))
        with pytest.raises(ShapeError, match="dy must have shape"):
            backend.batch_norm_backward(backend.zeros((2, 3, 4, 5)), x, c, c, None, eps=EPS, batch_statistics=True)

    def test_running_statistics_that_cannot_be_written(self, backend, rng):
        x, fixed = backend.asarray(floats(rng, (4, 3))), backend.zeros((3,))
        if not isinstance(fixed, np.ndarray):
            pytest.skip("a GPU's memory is never protected")
        fixed.flags.writeable = False
        with pytest.raises((ArgumentError, ValueError), match="read-only"):
            backend.batch_norm_statistics(x, fixed, None, momentum=0.1)
