"""Maximum and average pooling, forward and backward, on every backend against the naive loops."""

from dataclasses import replace

import numpy as np
import pytest
import reference
from cases import POOL_CASES, PoolCase, distinct, floats, names, pool_cases, seeds, whole_numbers
from checks import assert_exact, assert_within, is_channels_last, layouts, poisoned, sum_bound, unchanged
from hypothesis import given

every_case = pytest.mark.parametrize("case", POOL_CASES, ids=names(POOL_CASES))
FLOATS = ("float32", "float64")
ODD = PoolCase("odd", x=(2, 5, 7, 8), kernel=(3, 2), stride=(2, 1), padding=(1, 0, 0, 1), ceil_mode=True)


def max_pool(backend, case, x):
    """y, argmax."""
    return tuple(backend.to_numpy(a) for a in backend.max_pool2d_forward(backend.asarray(x), case.geometry))


def expected_max_pool(case, x):
    return reference.max_pool2d(x, ceil_mode=case.ceil_mode, **case.window)


def average_options(case):
    return {**case.window, "ceil_mode": case.ceil_mode, "count_include_pad": case.count_include_pad}


def check_max_pool(backend, case, x, dy):
    g = case.geometry
    y, argmax = max_pool(backend, case, x)
    expected_y, expected_argmax = expected_max_pool(case, x)
    assert_exact(y, expected_y, x.dtype)
    assert_exact(argmax, expected_argmax, g.argmax_dtype)
    dx = backend.max_pool2d_backward(backend.asarray(dy), backend.asarray(argmax), g)
    assert_exact(backend.to_numpy(dx), reference.max_pool2d_backward(dy, argmax, g.x_shape, **case.window), x.dtype)


def check_average_pool(backend, case, x, dy):
    g, dtype = case.geometry, x.dtype
    options = average_options(case)
    y = backend.to_numpy(backend.avg_pool2d_forward(backend.asarray(x), g))
    dx = backend.to_numpy(backend.avg_pool2d_backward(backend.asarray(dy), g))
    assert y.dtype == dx.dtype == dtype
    bound = sum_bound(dtype, g.taps, reference.avg_pool2d(abs(x), **options))
    assert_within(y, reference.avg_pool2d(x, **options), bound)
    bound = sum_bound(dtype, g.taps, reference.avg_pool2d_backward(abs(dy), g.x_shape, **options))
    assert_within(dx, reference.avg_pool2d_backward(dy, g.x_shape, **options), bound)


class TestMaximum:
    @every_case
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_distinct_values(self, backend, case, dtype, rng):
        g = case.geometry
        check_max_pool(backend, case, distinct(rng, g.x_shape, dtype), whole_numbers(rng, g.y_shape, dtype))

    @every_case
    def test_first_of_equal_values_wins(self, backend, case, rng):
        g = case.geometry
        check_max_pool(backend, case, whole_numbers(rng, g.x_shape, top=1), whole_numbers(rng, g.y_shape))

    @every_case
    def test_padding_never_wins_over_negative_values(self, backend, case, rng):
        g = case.geometry
        check_max_pool(backend, case, -1 - abs(floats(rng, g.x_shape)), whole_numbers(rng, g.y_shape))

    @every_case
    @pytest.mark.parametrize("share", [0.1, 1.0])
    @pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
    def test_special_values(self, backend, case, value, share, rng):
        """A NaN wins over all; minus infinity in a whole window is a maximum with a place inside the input."""
        g = case.geometry
        x = whole_numbers(rng, g.x_shape)
        x[rng.random(g.x_shape) < share] = value
        check_max_pool(backend, case, x, whole_numbers(rng, g.y_shape))

    @given(case=pool_cases(), seed=seeds)
    def test_random_problems(self, backend, case, seed):
        rng, g = np.random.default_rng(seed), case.geometry
        check_max_pool(backend, case, whole_numbers(rng, g.x_shape, top=5), whole_numbers(rng, g.y_shape))

    def test_windows_with_more_than_256_taps_number_them_in_int32(self, backend, rng):
        case = PoolCase("large_window", x=(1, 3, 19, 18), kernel=(17, 16), stride=(1, 1))
        assert case.geometry.argmax_dtype == "int32"
        check_max_pool(backend, case, distinct(rng, case.x), whole_numbers(rng, case.geometry.y_shape))

    def test_window_with_256_taps_numbers_them_in_one_byte(self, backend):
        case = PoolCase("256_taps", x=(1, 1, 16, 16), kernel=(16, 16), stride=(1, 1))
        x = np.arange(256, dtype="float32").reshape(case.x)
        _, argmax = max_pool(backend, case, x)
        assert argmax.dtype == np.uint8
        assert argmax.item() == 255

    def test_gradients_of_overlapping_windows_add_up(self, backend):
        case = PoolCase("overlapping", x=(1, 1, 3, 3), kernel=(2, 2), stride=(1, 1))
        x = np.zeros(case.x, "float32")
        x[0, 0, 1, 1] = 1
        check_max_pool(backend, case, x, np.array([[[[1, 2], [4, 8]]]], "float32"))


class TestAverage:
    @every_case
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_within_the_bound_of_summation(self, backend, case, dtype, rng):
        g = case.geometry
        check_average_pool(backend, case, floats(rng, g.x_shape, dtype), floats(rng, g.y_shape, dtype))

    @given(case=pool_cases(), seed=seeds)
    def test_random_problems(self, backend, case, seed):
        rng, g = np.random.default_rng(seed), case.geometry
        check_average_pool(backend, case, floats(rng, g.x_shape), floats(rng, g.y_shape))

    @every_case
    def test_without_counted_padding_the_average_of_ones_is_one(self, backend, case):
        uncounted = replace(case, count_include_pad=False)
        y = backend.avg_pool2d_forward(backend.asarray(np.ones(case.x, "float32")), uncounted.geometry)
        np.testing.assert_allclose(backend.to_numpy(y), 1, rtol=2e-6)

    def test_not_a_number_and_infinity_pass_through(self, backend):
        case = PoolCase("pairs", x=(1, 1, 1, 6), kernel=(1, 2), stride=(1, 2))
        x = np.array([[[[np.nan, 1, np.inf, 1, np.inf, -np.inf]]]], "float32")
        y = backend.to_numpy(backend.avg_pool2d_forward(backend.asarray(x), case.geometry))
        np.testing.assert_array_equal(y, [[[[np.nan, np.inf, np.nan]]]])


class TestEffects:
    def test_results_lie_channels_last(self, backend, rng):
        g = ODD.geometry
        x, dy = backend.asarray(floats(rng, g.x_shape)), backend.asarray(floats(rng, g.y_shape))
        y, argmax = backend.max_pool2d_forward(x, g)
        for a in (y, argmax, backend.max_pool2d_backward(dy, argmax, g)):
            assert is_channels_last(a)
        for a in (backend.avg_pool2d_forward(x, g), backend.avg_pool2d_backward(dy, g)):
            assert is_channels_last(a)

    def test_inputs_stay_as_they_are(self, backend, rng):
        g = ODD.geometry
        x, dy = backend.asarray(floats(rng, g.x_shape)), backend.asarray(floats(rng, g.y_shape))
        _, argmax = backend.max_pool2d_forward(x, g)
        with unchanged(backend, x, dy, argmax):
            backend.max_pool2d_forward(x, g)
            backend.max_pool2d_backward(dy, argmax, g)
            backend.avg_pool2d_forward(x, g)
            backend.avg_pool2d_backward(dy, g)

    @every_case
    def test_out_is_overwritten_whole(self, backend, case, rng):
        g = case.geometry
        x, dy = backend.asarray(whole_numbers(rng, g.x_shape)), backend.asarray(whole_numbers(rng, g.y_shape))
        y, argmax = poisoned(backend, g.y_shape, "float32"), poisoned(backend, g.y_shape, g.argmax_dtype)
        returned = backend.max_pool2d_forward(x, g, out=(y, argmax))
        assert returned[0] is y
        assert returned[1] is argmax
        dx = poisoned(backend, g.x_shape, "float32")
        assert backend.max_pool2d_backward(dy, argmax, g, out=dx) is dx
        fresh_y, fresh_argmax = backend.max_pool2d_forward(x, g)
        self.assert_same(backend, (y, argmax, dx), (fresh_y, fresh_argmax, backend.max_pool2d_backward(dy, argmax, g)))
        y, dx = poisoned(backend, g.y_shape, "float32"), poisoned(backend, g.x_shape, "float32")
        assert backend.avg_pool2d_forward(x, g, out=y) is y
        assert backend.avg_pool2d_backward(dy, g, out=dx) is dx
        self.assert_same(backend, (y, dx), (backend.avg_pool2d_forward(x, g), backend.avg_pool2d_backward(dy, g)))

    @staticmethod
    def assert_same(backend, given_out, fresh):
        for one, other in zip(given_out, fresh, strict=True):
            assert backend.to_numpy(one).tobytes() == backend.to_numpy(other).tobytes()
            assert not np.isnan(backend.to_numpy(one)).any()

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        g, options = ODD.geometry, average_options(ODD)
        x, dy = whole_numbers(rng, g.x_shape), whole_numbers(rng, g.y_shape)
        y, argmax = expected_max_pool(ODD, x)
        dx = reference.max_pool2d_backward(dy, argmax, g.x_shape, **ODD.window)
        average = reference.avg_pool2d(x, **options)
        spread = reference.avg_pool2d_backward(dy, g.x_shape, **options)
        places = argmax.astype(g.argmax_dtype)
        lies = zip(layouts(backend, x), layouts(backend, dy), layouts(backend, places), strict=True)
        for (_, xl), (_, dyl), (_, placesl) in lies:
            assert_exact(backend.to_numpy(backend.max_pool2d_forward(xl, g)[0]), y, "float32")
            assert_exact(backend.to_numpy(backend.max_pool2d_backward(dyl, placesl, g)), dx, "float32")
            np.testing.assert_allclose(backend.to_numpy(backend.avg_pool2d_forward(xl, g)), average, atol=1e-5)
            np.testing.assert_allclose(backend.to_numpy(backend.avg_pool2d_backward(dyl, g)), spread, atol=1e-5)
