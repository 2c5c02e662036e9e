"""Convolution, activation and 2 x 2 pooling in registers: the CPU's fused kernels against the calls they stand for."""

import numpy as np
import pytest
from cases import floats, seeds, whole_numbers
from checks import assert_exact, assert_within, is_channels_last, poisoned, sum_bound, unchanged
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import get_threads, set_threads
from fastconv.backends import select
from fastconv.backends.base import ACTIVATIONS, Backend
from fastconv.geometry import Conv2dGeometry, Pool2dGeometry

if select.available()["cpu"] != "ready":
    pytest.skip("there is no cpu backend", allow_module_level=True)

from fastconv.backends.cpu.conv2d_pool_plan import declines, declines_backward

CPU = select.get("cpu")
KINDS = ("max", "avg")

# x, w, padding: networks' layers, both sides of a vector's lanes, odd maps, filters as large as the image
LAYERS = {
    "simple_convnet": ((3, 1, 28, 28), (30, 1, 5, 5), 0),
    "lenet_c1": ((2, 1, 28, 28), (6, 1, 5, 5), 2),
    "lenet_c3": ((2, 6, 14, 14), (16, 6, 5, 5), 0),
    "rgb": ((2, 3, 16, 16), (32, 3, 3, 3), 1),
    "one_image_for_two_threads": ((1, 1, 30, 30), (20, 1, 5, 5), 2),
    "one_window": ((1, 2, 4, 4), (3, 2, 3, 3), 0),
    "padding_beyond_kernel": ((1, 1, 3, 3), (2, 1, 2, 2), 3),
    "padding_on_two_sides": ((2, 2, 5, 6), (4, 2, 3, 2), (0, 1, 2, 1)),
    "wide": ((1, 1, 5, 61), (9, 1, 2, 2), 0),
    "narrow": ((1, 2, 61, 5), (9, 2, 2, 2), 0),
    **{f"channels_{k}": ((2, 2, 6, 8), (k, 2, 3, 3), 1) for k in (1, 2, 4, 7, 8, 9, 15, 17, 31, 33)},
}
ODD = {
    "odd_map": ((2, 2, 9, 10), (5, 2, 3, 3), 1),
    "odd_map_of_many_channels": ((1, 3, 8, 9), (20, 3, 2, 2), 0),
    "odd_and_padded": ((2, 1, 6, 6), (3, 1, 2, 2), 1),
}


def layer(name):
    """The geometries of a convolution and its pooling."""
    x, w, padding = {**LAYERS, **ODD}[name]
    g = Conv2dGeometry.from_shapes(x, w, padding=padding)
    return g, Pool2dGeometry.from_shape(g.y_shape, 2)


def drawn(rng, g, draw=whole_numbers, **options):
    """x, w and b on the backend."""
    return tuple(CPU.asarray(draw(rng, shape, **options)) for shape in (g.x_shape, g.w_shape, (g.OC,)))


def forward(arrays, problem, kind, activation, of=CPU.conv2d_pool_forward):
    return of(*arrays, *problem, kind=kind, activation=activation)


def eager_forward(arrays, problem, kind, activation):
    return Backend.conv2d_pool_forward(CPU, *arrays, *problem, kind=kind, activation=activation)


def gradients(dy, y, kept, arrays, problem, **options):
    return CPU.conv2d_pool_backward(dy, y, kept, *arrays[:2], *problem, **options)


def eager_gradients(dy, y, kept, arrays, problem, **options):
    return Backend.conv2d_pool_backward(CPU, dy, y, kept, *arrays[:2], *problem, **options)


def check_exact(problem, kind, activation, rng):
    """Whole numbers: every sum is exact, so both ways agree in every bit; ReLU makes many maxima equal."""
    g, pool = problem
    arrays = drawn(rng, g, top=4)
    dy = CPU.asarray(4 * whole_numbers(rng, pool.y_shape, top=3))
    with unchanged(CPU, *arrays, dy):
        y, kept = forward(arrays, problem, kind, activation)
        assert_exact(y, eager_forward(arrays, problem, kind, activation)[0], "float32")
        assert_exact(kept, eager_forward(arrays, problem, kind, activation)[1], kept.dtype)
        for needs_dx in (False, True):
            options = {"kind": kind, "activation": activation, "needs_dx": needs_dx}
            got = gradients(dy, y, kept, arrays, problem, **options)
            expected = eager_gradients(dy, y, kept, arrays, problem, **options)
            assert (got[0] is None) == (not needs_dx)
            for a, e in zip(got, expected, strict=True):
                if e is not None:
                    assert_exact(a, e, "float32")


class TestWholeNumbers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", LAYERS)
    def test_relu(self, name, kind, rng):
        assert declines(*layer(name), kind) is None
        assert declines_backward(*layer(name), kind) is None
        check_exact(layer(name), kind, "relu", rng)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["lenet_c1", "lenet_c3"])
    def test_no_activation(self, name, kind, rng):
        check_exact(layer(name), kind, None, rng)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ODD)
    def test_last_row_and_column_that_no_window_covers(self, name, kind, rng):
        assert (declines(*layer(name), kind) is None) == (kind == "max")
        check_exact(layer(name), kind, "relu", rng)

    @settings(max_examples=max(10, settings().max_examples // 4))  # new shapes compile code
    @given(
        sizes=st.tuples(*(st.integers(0, 6) for _ in "HW")), taps=st.tuples(*(st.integers(1, 4) for _ in "HW")),
        padding=st.tuples(*(st.integers(0, 4) for _ in range(4))), N=st.integers(1, 3), C=st.integers(1, 4),
        OC=st.sampled_from((1, 6, 8, 9, 16, 30)), kind=st.sampled_from(KINDS), seed=seeds,
    )  # fmt: skip
    def test_random_problems(self, sizes, taps, padding, N, C, OC, kind, seed):
        top, bottom, left, right = padding
        H = max(1, taps[0] + 1 - top - bottom) + sizes[0]
        W = max(1, taps[1] + 1 - left - right) + sizes[1]
        g = Conv2dGeometry.from_shapes((N, C, H, W), (OC, C, *taps), padding=padding)
        check_exact((g, Pool2dGeometry.from_shape(g.y_shape, 2)), kind, "relu", np.random.default_rng(seed))


class TestFloats:
    @pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["lenet_c1", "lenet_c3"])
    def test_every_activation(self, name, kind, activation, rng):
        """Activations are at most 1-Lipschitz, so that what the sums are off by is all that the results may be."""
        problem = g, pool = layer(name)
        x, w, b = drawn(rng, g, floats)
        w = w / 4
        arrays = x, w, b
        y, kept = forward(arrays, problem, kind, activation)
        size = abs(CPU.conv2d_forward(abs(x), abs(w), abs(b), g))
        bound = 2 * sum_bound("float32", g.C * g.KH * g.KW, size).max() + 4 * np.finfo("float32").eps
        expected, expected_kept = eager_forward(arrays, problem, kind, activation)
        assert_within(y, expected, bound)
        if kind == "avg":
            assert_within(kept, expected_kept, bound)
        else:
            a = CPU.conv2d_forward(*arrays, g, activation=activation)
            rows, columns = 2 * np.arange(pool.OH)[:, None] + kept // 2, 2 * np.arange(pool.OW) + kept % 2
            n, c = np.ogrid[: g.N, : g.OC]
            assert_within(a[n[..., None, None], c[..., None, None], rows, columns], expected, bound)

    @pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["lenet_c1", "lenet_c3"])
    def test_every_activation_backward(self, name, kind, activation, rng):
        problem = g, pool = layer(name)
        arrays = x, w, _ = drawn(rng, g, floats)
        y, kept = eager_forward((x, w / 4, arrays[2]), problem, kind, activation)
        dy = CPU.asarray(floats(rng, pool.y_shape))
        for needs_dx in (False, True):
            options = {"kind": kind, "activation": activation, "needs_dx": needs_dx}
            dx, dw, db = gradients(dy, y, kept, arrays, problem, **options)
            expected = eager_gradients(dy, y, kept, arrays, problem, **options)
            size = eager_gradients(abs(dy), y, kept, (abs(x), abs(w)), problem, kind=kind)
            pixels = g.N * g.OH * g.OW
            assert_within(dw, expected[1], 2 * sum_bound("float32", pixels + 4, size[1]))
            assert_within(db, expected[2], 2 * sum_bound("float32", pixels + 4, size[2]))
            if needs_dx:
                assert_within(dx, expected[0], 2 * sum_bound("float32", g.OC * g.KH * g.KW + 4, size[0]))

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["lenet_c1", "rgb"])
    def test_special_values_stay_where_they_belong(self, name, kind, value, activation, rng):
        """A NaN or an infinity in x reaches the pixels that read it and no neighbour."""
        problem = g, _ = layer(name)
        x, w, b = drawn(rng, g)
        x[rng.random(x.shape) < 0.01] = value
        w[w == 0] = 1
        arrays = x, w / 64, b / 64
        y, kept = forward(arrays, problem, kind, activation)
        expected, expected_kept = eager_forward(arrays, problem, kind, activation)
        ulps = 4 * np.finfo("float32").eps  # sums are exact here, activations are not
        np.testing.assert_allclose(y, expected, rtol=ulps, atol=ulps)
        if kind == "avg":
            np.testing.assert_allclose(kept, expected_kept, rtol=ulps, atol=ulps)
        else:
            special = ~np.isfinite(CPU.conv2d_forward(*arrays, g)).all(axis=(0, 1))
            assert special.any()
            alone = np.isnan(expected) | (activation == "relu")
            np.testing.assert_array_equal(kept[alone], expected_kept[alone])

    def test_nan_in_the_gradient_reaches_every_result(self, rng):
        for name, kind in (("lenet_c3", "max"), ("lenet_c3", "avg")):
            problem = g, pool = layer(name)
            arrays = drawn(rng, g)
            y, kept = forward(arrays, problem, kind, "tanh")
            dy = CPU.asarray(floats(rng, pool.y_shape))
            dy[0, 3, 2, 2] = np.nan
            for needs_dx in (False, True):
                dx, dw, db = gradients(dy, y, kept, arrays, problem, kind=kind, needs_dx=needs_dx)
                assert np.isnan(dw[3]).all()
                assert np.isnan(db[3])
                assert np.isfinite(np.delete(db, 3)).all()
                assert dx is None or np.isnan(dx[0]).any()


class TestMemory:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["simple_convnet", "lenet_c1", "padding_on_two_sides"])
    def test_writes_all_of_out(self, name, kind, rng):
        problem = layer(name)
        arrays = drawn(rng, problem[0])
        y, kept = forward(arrays, problem, kind, "relu")
        out = poisoned(CPU, y.shape, y.dtype), poisoned(CPU, kept.shape, kept.dtype)
        given_back = CPU.conv2d_pool_forward(*arrays, *problem, kind=kind, activation="relu", out=out)
        assert all(a is b for a, b in zip(given_back, out, strict=True))
        assert_exact(out[0], y, "float32")
        assert_exact(out[1], kept, kept.dtype)
        assert is_channels_last(y)
        assert is_channels_last(kept)
        expected = gradients(y, y, kept, arrays, problem, kind=kind)
        out = tuple(poisoned(CPU, a.shape, a.dtype) for a in expected)
        gradients(y, y, kept, arrays, problem, kind=kind, out=out)
        for a, e in zip(out, expected, strict=True):
            assert_exact(a, e, "float32")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["simple_convnet", "lenet_c1", "lenet_c3"])
    def test_same_bits_for_any_number_of_threads(self, name, kind, rng):
        x, w, padding = LAYERS[name]
        g = Conv2dGeometry.from_shapes((19, *x[1:]), w, padding=padding)
        problem = g, Pool2dGeometry.from_shape(g.y_shape, 2)
        arrays = drawn(rng, g, floats)
        before, results = get_threads(), []
        try:
            for threads in (1, 2, 3):
                set_threads(min(threads, before))
                y, kept = forward(arrays, problem, kind, "tanh")
                alone = gradients(y, y, kept, arrays, problem, kind=kind, activation="tanh", needs_dx=False)
                results.append((y, kept, *alone[1:], *gradients(y, y, kept, arrays, problem, kind=kind)))
        finally:
            set_threads(before)
        for other in results[1:]:
            for a, e in zip(other, results[0], strict=True):
                assert_exact(a, e, e.dtype)


class TestWhatIsDeclined:
    @pytest.mark.parametrize(
        ("change", "kernel", "reason"),
        [
            ({"stride": 2}, 2, "stride"),
            ({"dilation": 2}, 2, "dilation"),
            ({"groups": 2}, 2, "groups"),
            ({}, 3, "2 x 2"),
        ],
    )
    def test_goes_through_the_plain_calls(self, change, kernel, reason, rng):
        g = Conv2dGeometry.from_shapes((2, 4, 12, 12), (6, 4 // change.get("groups", 1), 3, 3), **change)
        problem = g, Pool2dGeometry.from_shape(g.y_shape, kernel)
        for kind in KINDS:
            assert reason in declines(*problem, kind)
            check_exact(problem, "max", "relu", rng)

    def test_plans_keep_deep_convolutions_and_their_pooling_apart(self):
        for name, (shape, w, padding) in {"shallow": ((2, 3, 16, 16), (32, 3, 5, 5), 0), **LAYERS}.items():
            g = Conv2dGeometry.from_shapes(shape, w, padding=padding)
            assert CPU.declines_fusion(g, Pool2dGeometry.from_shape(g.y_shape, 2), "max", "float32") is None, name
        g = Conv2dGeometry.from_shapes((2, 96, 14, 14), (64, 96, 5, 5))
        problem = g, Pool2dGeometry.from_shape(g.y_shape, 2)
        assert "first-level" in CPU.declines_fusion(*problem, "avg", "float32")
        assert "float32" in CPU.declines_fusion(*problem, "max", "float64")

    def test_float64_goes_through_the_plain_calls(self, rng):
        problem = layer("lenet_c1")
        arrays = drawn(rng, problem[0], floats, dtype="float64")
        y, kept = forward(arrays, problem, "avg", "tanh")
        assert_exact(y, eager_forward(arrays, problem, "avg", "tanh")[0], "float64")
        dw = gradients(y, y, kept, arrays, problem, kind="avg", activation="tanh")[1]
        assert_exact(dw, eager_gradients(y, y, kept, arrays, problem, kind="avg", activation="tanh")[1], "float64")


class TestRows:
    """A map that leaves as rows, and whose gradient comes as rows."""

    @pytest.mark.parametrize("activation", [None, "relu", "tanh"])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", [*LAYERS, "odd_map"])
    def test_rows_are_the_map_reshaped(self, name, kind, activation, rng):
        """In every bit: nothing but the order in memory differs."""
        problem = g, pool = layer(name)
        arrays = drawn(rng, g, floats)
        dy = CPU.asarray(floats(rng, pool.y_shape))
        rows_of_dy, shape = CPU.reshape(dy, (g.N, -1)), (g.N, g.OC * pool.OH * pool.OW)
        y, kept = forward(arrays, problem, kind, activation)
        out = poisoned(CPU, shape, "float32"), poisoned(CPU, kept.shape, kept.dtype)
        options = {"kind": kind, "activation": activation}
        CPU.conv2d_pool_forward(*arrays, *problem, **options, flat=True, out=out)
        assert_exact(out[0], CPU.reshape(y, shape), "float32")
        assert_exact(out[1], kept, kept.dtype)
        with unchanged(CPU, rows_of_dy, *out):
            for needs_dx in (False, True):
                expected = gradients(dy, y, kept, arrays, problem, needs_dx=needs_dx, **options)
                got = gradients(rows_of_dy, *out, arrays, problem, needs_dx=needs_dx, **options)
                for a, e in zip(got, expected, strict=True):
                    assert (a is None and e is None) or np.array_equal(a, e)

    @pytest.mark.parametrize("kind", KINDS)
    def test_many_images_are_each_turned_once(self, kind, rng):
        g = Conv2dGeometry.from_shapes((70, 1, 8, 8), (17, 1, 3, 3))
        problem = g, Pool2dGeometry.from_shape(g.y_shape, 2)
        arrays = drawn(rng, g)
        y, _ = forward(arrays, problem, kind, "relu")
        rows, _ = CPU.conv2d_pool_forward(*arrays, *problem, kind=kind, activation="relu", flat=True)
        assert_exact(rows, CPU.reshape(y, (70, -1)), "float32")
