"""Convolution in its three passes, im2col and col2im, on every backend against the naive loops."""

import numpy as np
import pytest
import reference
from cases import CONV_CASES, ConvCase, conv_cases, conv_values, floats, names, seeds, whole_numbers
from checks import assert_exact, assert_within, is_channels_last, layouts, poisoned, sum_bound, unchanged
from hypothesis import given

from fastconv.errors import FastconvError

every_case = pytest.mark.parametrize("case", CONV_CASES, ids=names(CONV_CASES))
FLOATS = ("float32", "float64")
ODD = ConvCase("odd", x=(2, 6, 7, 8), w=(10, 3, 3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)

FUSED_CASES = [*CONV_CASES[::4], ODD]


def forward(backend, case, x, w, b, **options):
    x, w, b = (None if a is None else backend.asarray(a) for a in (x, w, b))
    return backend.to_numpy(backend.conv2d_forward(x, w, b, case.geometry, **options))


def backward(backend, case, dy, x, w, data_algorithm=None, weight_algorithm=None):
    """dx, dw, db."""
    dy, x, w = (backend.asarray(a) for a in (dy, x, w))
    dx = backend.conv2d_backward_data(dy, w, case.geometry, algorithm=data_algorithm)
    dw, db = backend.conv2d_backward_weight(dy, x, case.geometry, algorithm=weight_algorithm)
    return tuple(backend.to_numpy(a) for a in (dx, dw, db))


def every_algorithm(backend, case, direction, run):
    """run(name) of every exact algorithm that takes this problem; one that declines says so or is right as well."""
    candidates = backend.explain(case.geometry, direction)
    assert candidates[-1].declined is None, "the last candidate takes every geometry"
    for candidate in (c for c in candidates if not c.rounds):
        try:
            yield run(candidate.name)
        except FastconvError:
            assert candidate.declined


def check_whole_numbers(backend, case, rng, dtype):
    x, w, b, dy = conv_values(case, rng, whole_numbers, dtype)
    assert_exact(forward(backend, case, x, w, b), reference.conv2d(x, w, b, **case.options), dtype)
    wanted = reference.conv2d_backward(dy, x, w, **case.options)
    for actual, expected in zip(backward(backend, case, dy, x, w), wanted, strict=True):
        assert_exact(actual, expected, dtype)


class TestConvolution:
    @every_case
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_whole_numbers_are_exact(self, backend, case, dtype, rng):
        check_whole_numbers(backend, case, rng, dtype)

    @given(case=conv_cases(), seed=seeds)
    def test_random_problems_are_exact(self, backend, case, seed):
        check_whole_numbers(backend, case, np.random.default_rng(seed), "float32")

    @every_case
    def test_every_algorithm_is_exact(self, backend, case, rng):
        x, w, b, dy = conv_values(case, rng)
        y = reference.conv2d(x, w, b, **case.options)
        dx, dw, db = reference.conv2d_backward(dy, x, w, **case.options)
        for actual in every_algorithm(
            backend, case, "forward", lambda name: forward(backend, case, x, w, b, algorithm=name)
        ):
            assert_exact(actual, y, "float32")
        for actual, _, _ in every_algorithm(
            backend, case, "backward_data", lambda name: backward(backend, case, dy, x, w, data_algorithm=name)
        ):
            assert_exact(actual, dx, "float32")
        for _, actual_dw, actual_db in every_algorithm(
            backend, case, "backward_weight", lambda name: backward(backend, case, dy, x, w, weight_algorithm=name)
        ):
            assert_exact(actual_dw, dw, "float32")
            assert_exact(actual_db, db, "float32")

    @every_case
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_floats_within_the_bound_of_summation(self, backend, case, dtype, rng):
        g = case.geometry
        x, w, b, dy = conv_values(case, rng, floats, dtype)
        expected = (reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options))
        sizes = [abs(a) for a in (x, w, b, dy)]
        magnitudes = (
            reference.conv2d(*sizes[:3], **case.options),
            *reference.conv2d_backward(sizes[3], sizes[0], sizes[1], **case.options),
        )
        taps = g.KH * g.KW
        terms = (taps * g.C // g.G, taps * g.OC // g.G, g.N * g.OH * g.OW, g.N * g.OH * g.OW)
        actual = (forward(backend, case, x, w, b), *backward(backend, case, dy, x, w))
        for a, e, n, magnitude in zip(actual, expected, terms, magnitudes, strict=True):
            assert_within(a, e, sum_bound(dtype, n, magnitude))

    @every_case
    def test_without_bias(self, backend, case, rng):
        x, w, _, _ = conv_values(case, rng)
        assert_exact(forward(backend, case, x, w, None), reference.conv2d(x, w, **case.options), "float32")

    @pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh"])
    @pytest.mark.parametrize("case", FUSED_CASES, ids=names(FUSED_CASES))
    def test_fused_activation_equals_the_separate_one(self, backend, case, activation, rng):
        x, w, b, _ = conv_values(case, rng, floats)
        plain = backend.asarray(forward(backend, case, x, w, b))
        separate = backend.to_numpy(backend.activation_forward(activation, plain))
        fused = forward(backend, case, x, w, b, activation=activation)
        np.testing.assert_allclose(fused, separate, rtol=4 * np.finfo("float32").eps, atol=1e-7)

    @every_case
    def test_relu_of_every_algorithm_is_exact_and_keeps_nan(self, backend, case, rng):
        x, w, b, _ = conv_values(case, rng)
        b[-1] = np.nan
        expected = np.maximum(reference.conv2d(x, w, b, **case.options), 0)
        for candidate in backend.explain(case.geometry):
            if not candidate.rounds and (candidate.declined is None or "on request" in candidate.declined):
                y = forward(backend, case, x, w, b, activation="relu", algorithm=candidate.name)
                assert_exact(y, expected, "float32")

    def test_not_a_number_and_infinity_pass_through(self, backend):
        case = ConvCase("three", x=(1, 1, 3, 5), w=(1, 1, 1, 1))
        x = np.ones(case.x, "float32")
        x[0, 0, 0, 0], x[0, 0, 1, 1], x[0, 0, 2, 2] = np.nan, np.inf, -np.inf
        y = forward(backend, case, x, np.full(case.w, 2, "float32"), None)
        assert_exact(y, x * 2.0, "float32")


class TestEffects:
    def test_results_lie_channels_last(self, backend, rng):
        x, w, b, dy = (backend.asarray(a) for a in conv_values(ODD, rng))
        g = ODD.geometry
        assert is_channels_last(backend.conv2d_forward(x, w, b, g))
        assert is_channels_last(backend.conv2d_backward_data(dy, w, g))
        assert is_channels_last(backend.conv2d_backward_weight(dy, x, g)[0])
        assert is_channels_last(backend.col2im(backend.im2col(x, g), g))

    def test_inputs_stay_as_they_are(self, backend, rng):
        x, w, b, dy = (backend.asarray(a) for a in conv_values(ODD, rng))
        with unchanged(backend, x, w, b, dy):
            backend.conv2d_forward(x, w, b, ODD.geometry, activation="relu")
            backend.conv2d_backward_data(dy, w, ODD.geometry)
            backend.conv2d_backward_weight(dy, x, ODD.geometry)
            backend.im2col(x, ODD.geometry)

    @every_case
    def test_out_is_overwritten_whole(self, backend, case, rng):
        g = case.geometry
        x, w, b, dy = conv_values(case, rng)
        expected = (reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options))
        x, w, b, dy = (backend.asarray(a) for a in (x, w, b, dy))
        y, dx, dw, db = (poisoned(backend, e.shape, "float32") for e in expected)
        assert backend.conv2d_forward(x, w, b, g, out=y) is y
        assert backend.conv2d_backward_data(dy, w, g, out=dx) is dx
        returned = backend.conv2d_backward_weight(dy, x, g, out=(dw, db))
        assert returned[0] is dw
        assert returned[1] is db
        for actual, e in zip((y, dx, dw, db), expected, strict=True):
            assert_exact(backend.to_numpy(actual), e, "float32")

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        x, w, b, dy = conv_values(ODD, rng)
        y = reference.conv2d(x, w, b, **ODD.options)
        dx, dw, db = reference.conv2d_backward(dy, x, w, **ODD.options)
        g, b = ODD.geometry, backend.asarray(b)
        lies = zip(layouts(backend, x), layouts(backend, w), layouts(backend, dy), strict=True)
        for (_, xl), (_, wl), (_, dyl) in lies:
            assert_exact(backend.to_numpy(backend.conv2d_forward(xl, wl, b, g)), y, "float32")
            assert_exact(backend.to_numpy(backend.conv2d_backward_data(dyl, wl, g)), dx, "float32")
            actual_dw, actual_db = backend.conv2d_backward_weight(dyl, xl, g)
            assert_exact(backend.to_numpy(actual_dw), dw, "float32")
            assert_exact(backend.to_numpy(actual_db), db, "float32")

    def test_twice_the_same_bits(self, backend, rng):
        x, w, b, dy = conv_values(ODD, rng, floats)
        first = (forward(backend, ODD, x, w, b), *backward(backend, ODD, dy, x, w))
        second = (forward(backend, ODD, x, w, b), *backward(backend, ODD, dy, x, w))
        for one, other in zip(first, second, strict=True):
            assert one.tobytes() == other.tobytes()

    @pytest.mark.parametrize("wrong", ["shape", "dtype", "layout"])
    def test_out_that_does_not_fit_is_refused(self, backend, wrong, rng):
        x, w, b, _ = (backend.asarray(a) for a in conv_values(ODD, rng))
        N, OC, OH, OW = ODD.geometry.y_shape
        out = {
            "shape": lambda: backend.empty((N, OC, OH, OW + 1)),
            "dtype": lambda: backend.empty((N, OC, OH, OW), "float64"),
            "layout": lambda: backend.empty((N, OC, OH, 2 * OW))[..., ::2],
        }[wrong]()
        with pytest.raises(FastconvError):
            backend.conv2d_forward(x, w, b, ODD.geometry, out=out)

    def test_unknown_algorithm_is_refused(self, backend, rng):
        x, w, b, _ = (backend.asarray(a) for a in conv_values(ODD, rng))
        with pytest.raises(FastconvError, match="no_such_algorithm"):
            backend.conv2d_forward(x, w, b, ODD.geometry, algorithm="no_such_algorithm")

    @pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weight"])
    @every_case
    def test_explain_gives_a_reason_for_each_candidate(self, backend, case, direction):
        candidates = backend.explain(case.geometry, direction)
        assert len({c.name for c in candidates}) == len(candidates)
        assert all(c.reason for c in candidates)
        assert all(c.declined is None or c.declined for c in candidates)
        assert candidates[-1].declined is None


class TestIm2col:
    @every_case
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_windows_as_rows_and_back(self, backend, case, dtype, rng):
        g = case.geometry
        x = whole_numbers(rng, g.x_shape, dtype)
        cols = whole_numbers(rng, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        kernel = (g.KH, g.KW)
        actual = backend.to_numpy(backend.im2col(backend.asarray(x), g))
        assert_exact(actual, reference.im2col(x, kernel, **case.window), dtype)
        actual = backend.to_numpy(backend.col2im(backend.asarray(cols), g))
        assert_exact(actual, reference.col2im(cols, g.x_shape, kernel, **case.window), dtype)

    @given(case=conv_cases(), seed=seeds)
    def test_random_problems(self, backend, case, seed):
        g = case.geometry
        x = whole_numbers(np.random.default_rng(seed), g.x_shape)
        cols = reference.im2col(x, (g.KH, g.KW), **case.window)
        assert_exact(backend.to_numpy(backend.im2col(backend.asarray(x), g)), cols, "float32")
        actual = backend.to_numpy(backend.col2im(backend.asarray(cols.astype("float32")), g))
        assert_exact(actual, reference.col2im(cols, g.x_shape, (g.KH, g.KW), **case.window), "float32")

    def test_out_is_overwritten_whole(self, backend, rng):
        g = ODD.geometry
        x = whole_numbers(rng, g.x_shape)
        expected = reference.im2col(x, (g.KH, g.KW), **ODD.window)
        cols = poisoned(backend, expected.shape, "float32")
        assert backend.im2col(backend.asarray(x), g, out=cols) is cols
        assert_exact(backend.to_numpy(cols), expected, "float32")
        image = poisoned(backend, g.x_shape, "float32")
        assert backend.col2im(cols, g, out=image) is image
        assert_exact(
            backend.to_numpy(image), reference.col2im(expected, g.x_shape, (g.KH, g.KW), **ODD.window), "float32"
        )

    def test_convolution_is_a_product_with_the_columns(self, backend, rng):
        """The lectures' way: col times the filters as rows gives y, [N*OH*OW, OC]."""
        case = ConvCase("lectures", x=(2, 3, 7, 7), w=(4, 3, 5, 5), stride=(2, 2), padding=(2, 2, 2, 2))
        x, w, b, _ = conv_values(case, rng)
        g = case.geometry
        cols = backend.im2col(backend.asarray(x), g)
        rows = backend.asarray(np.ascontiguousarray(w).reshape(g.OC, -1))
        y = backend.to_numpy(backend.matmul(cols, rows, trans_b=True)) + b
        y = y.reshape(g.N, g.OH, g.OW, g.OC).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(y, forward(backend, case, x, w, b))
