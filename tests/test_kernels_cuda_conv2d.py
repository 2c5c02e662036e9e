"""The CUDA kernels of convolution and matrix product on the emulated device: every tile and width of access, whole or
in parts, in several orders of threads, with and without asynchronous copies."""

import itertools
import math

import numpy as np
import pytest
import reference
from cases import ConvCase, conv_values, floats, whole_numbers
from checks import assert_exact
from cuda_emulator.build import compiler
from cuda_emulator.device import EmulatedDevice

from fastconv.backends.base import Run
from fastconv.backends.gpu import GpuBackend
from fastconv.backends.gpu.tiles import SMALL, Plan, tiles_for
from fastconv.errors import UnsupportedError
from fastconv.geometry import Conv2dGeometry

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="g++, which builds the kernels for the CPU, is not installed"
)

WIDTHS = [(tile, vec) for vec in (4, 1) for tile in tiles_for(vec, 4, 90)]
every_tile = pytest.mark.parametrize(
    ("tile", "vec"), WIDTHS, ids=[f"{tile.BM}x{tile.BN}x{tile.BK}-by{vec}" for tile, vec in WIDTHS]
)
every_cut = pytest.mark.parametrize("parts", [1, 3])
BY_FOURS = ConvCase(
    "by_fours", x=(2, 8, 7, 9), w=(12, 4, 3, 2), stride=(2, 1), padding=(1, 2, 0, 1), dilation=(1, 2), groups=2
)
BY_ONES = ConvCase(
    "by_ones", x=(2, 6, 8, 7), w=(10, 3, 2, 3), stride=(1, 2), padding=(2, 0, 1, 1), dilation=(2, 1), groups=2
)
CASES = {4: BY_FOURS, 1: BY_ONES}


def emulated(order="forward"):
    return GpuBackend(EmulatedDevice(order))


def cut_by(backend, tile, parts):
    """`backend` with every product cut into this tile and so many parts."""

    def cut(M, N, K, dtype, *, vec, products=1):
        each = max(1, math.ceil(math.ceil(K / tile.BK) / parts))
        return Plan(tile, max(1, math.ceil(K / (each * tile.BK))), each * tile.BK)

    backend._cut = cut
    return backend


def with_constants(backend, **constants):
    """`backend` with these constants in every kernel."""
    launch = backend._launch
    backend._launch = lambda *args, **options: launch(*args, **options, **constants)
    return backend


def passes(backend, case, x, w, b, dy):
    """y, dx, dw and db by implicit products."""
    g = case.geometry
    x, w, b, dy = (backend.asarray(a) for a in (x, w, b, dy))
    name = "implicit_gemm" if g.C != g.G else "depthwise"
    y = backend.conv2d_forward(x, w, b, g, activation="relu", algorithm=name)
    dx = backend.conv2d_backward_data(dy, w, g, algorithm=name)
    return [backend.to_numpy(a) for a in (y, dx, *backend.conv2d_backward_weight(dy, x, g, algorithm=name))]


def check_passes(backend, case, rng, dtype="float32"):
    x, w, b, dy = conv_values(case, rng, whole_numbers, dtype)
    y = np.maximum(reference.conv2d(x, w, b, **case.options), 0)
    wanted = (y, *reference.conv2d_backward(dy, x, w, **case.options))
    for actual, expected in zip(passes(backend, case, x, w, b, dy), wanted, strict=True):
        assert_exact(actual, expected, dtype)


def check_product(backend, rng, M, K, N, trans_a=False, trans_b=False, dtype="float32"):
    a, b = whole_numbers(rng, (M, K), dtype), whole_numbers(rng, (K, N), dtype)
    given_a = np.ascontiguousarray(a.T) if trans_a else a
    given_b = np.ascontiguousarray(b.T) if trans_b else b
    c = backend.matmul(backend.asarray(given_a), backend.asarray(given_b), trans_a=trans_a, trans_b=trans_b)
    assert_exact(backend.to_numpy(c), reference.matmul(a, b), dtype)


class TestTiles:
    @every_tile
    @every_cut
    @pytest.mark.parametrize("trans_a", [False, True])
    @pytest.mark.parametrize("trans_b", [False, True])
    def test_products(self, tile, vec, parts, trans_a, trans_b, rng):
        M, N, K = tile.BM + vec, tile.BN + vec, 3 * tile.BK + vec
        check_product(cut_by(emulated(), tile, parts), rng, M, K, N, trans_a, trans_b)

    @every_tile
    @every_cut
    def test_convolution(self, tile, vec, parts, rng):
        check_passes(cut_by(emulated("backward"), tile, parts), CASES[vec], rng)

    @pytest.mark.parametrize("tile", tiles_for(4, 8, 90))
    @pytest.mark.parametrize("case", CASES.values(), ids=["by4", "by1"])
    def test_double(self, tile, case, rng):
        check_passes(cut_by(emulated(5), tile, 2), case, rng, "float64")

    @every_tile
    def test_linear_with_the_sums_of_dy(self, tile, vec, rng):
        backend = cut_by(emulated(1), tile, 2)
        x, w, dy = (whole_numbers(rng, shape) for shape in ((44, 4 * vec), (20, 4 * vec), (44, 20)))
        actual = backend.linear_backward(*(backend.asarray(a) for a in (dy, x, w)))
        for a, expected in zip(actual, reference.linear_backward(dy, x, w), strict=True):
            assert_exact(backend.to_numpy(a), expected, "float32")

    @pytest.mark.parametrize("case", CASES.values(), ids=["by4", "by1"])
    def test_copies_that_are_not_asynchronous(self, case, rng):
        backend = with_constants(cut_by(emulated(), SMALL, 2), ASYNC=0)
        check_passes(backend, case, rng)
        check_product(backend, rng, 36, 40, 36, trans_a=True)

    @pytest.mark.parametrize("parts", [2, 9, 40])
    def test_many_parts_are_added(self, parts, rng):
        check_product(cut_by(emulated(), SMALL, parts), rng, 5, 40 * SMALL.BK, 7)

    def test_an_empty_reduction_is_zero(self):
        backend = emulated()
        c = backend.matmul(backend.zeros((3, 0)), backend.zeros((0, 5)))
        assert_exact(backend.to_numpy(c), np.zeros((3, 5)), "float32")

    def test_arrays_that_do_not_start_at_16_bytes(self, rng):
        backend, g = emulated(), BY_FOURS.geometry
        x, w, b, dy = conv_values(BY_FOURS, rng)

        def moved(a):
            channels_last = np.ascontiguousarray(a.transpose(0, 2, 3, 1))
            flat = backend.empty((a.size + 1,), "float32")
            flat[1:] = channels_last.reshape(-1)
            return flat[1:].reshape(channels_last.shape).transpose(0, 3, 1, 2)

        y = backend.conv2d_forward(moved(x), moved(w), backend.asarray(b), g)
        assert_exact(backend.to_numpy(y), reference.conv2d(x, w, b, **BY_FOURS.options), "float32")
        dx = backend.conv2d_backward_data(moved(dy), moved(w), g, out=moved(x))
        dw, db = backend.conv2d_backward_weight(moved(dy), moved(x), g, out=(moved(w), backend.asarray(b.copy())))
        for actual, expected in zip((dx, dw, db), reference.conv2d_backward(dy, x, w, **BY_FOURS.options), strict=True):
            assert_exact(backend.to_numpy(actual), expected, "float32")


DEPTHWISE = ConvCase("depthwise", x=(2, 6, 9, 11), w=(12, 1, 3, 5), stride=(1, 2), padding=(1, 1, 2, 0), groups=6)


class TestOrders:
    @pytest.mark.parametrize("case", [BY_FOURS, BY_ONES, DEPTHWISE], ids=["by4", "by1", "depthwise"])
    def test_the_same_bits_in_every_order_of_threads(self, case, rng):
        values = conv_values(case, rng, floats)
        first, *others = (passes(cut_by(emulated(o), SMALL, 2), case, *values) for o in ("forward", "backward", 3))
        for other in others:
            for one, same in zip(first, other, strict=True):
                assert one.tobytes() == same.tobytes()


class TestPhases:
    @pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
    @pytest.mark.parametrize("dilation", [1, 2, 3, 4])
    def test_every_stride_with_every_dilation(self, stride, dilation, rng):
        """backward_data where taps reach some phases only, one axis at a time."""
        backend = emulated()
        for taps, before in itertools.product((1, 2, 3, 5), (0, 1, 4)):
            size = max(5, (taps - 1) * dilation + 1 - before)
            options = {"stride": (stride, 1), "dilation": (dilation, 1), "padding": (before, 1, 0, 0)}
            case = ConvCase("axis", x=(1, 1, size, 2), w=(2, 1, taps, 1), **options)
            x, w, _, dy = conv_values(case, rng)
            dx = backend.conv2d_backward_data(backend.asarray(dy), backend.asarray(w), case.geometry)
            assert_exact(backend.to_numpy(dx), reference.conv2d_backward(dy, x, w, **case.options)[0], "float32")


class TestDepthwise:
    @pytest.mark.parametrize("kw", [1, 2, 3, 5, 7])
    def test_runs_of_taps_and_chunks_of_pixels(self, kw, rng):
        case = ConvCase("runs", x=(2, 5, 14, 13), w=(10, 1, 2, kw), padding=(1, 1, 1, 2), dilation=(1, 2), groups=5)
        check_passes(emulated("backward"), case, rng)

    @pytest.mark.parametrize(("stride", "dilation"), [((2, 3), (1, 1)), ((3, 1), (2, 4)), ((2, 2), (3, 2))])
    def test_strides_and_dilations(self, stride, dilation, rng):
        apart = {"stride": stride, "padding": (2, 1, 3, 0), "dilation": dilation}
        case = ConvCase("apart", x=(1, 70, 12, 13), w=(70, 1, 3, 3), groups=70, **apart)
        check_passes(emulated(), case, rng)


ONE_GROUP = ConvCase("one_group", x=(2, 3, 6, 5), w=(4, 3, 3, 2))


class TestReplay:
    @pytest.mark.parametrize(
        ("case", "algorithm"),
        [(BY_FOURS, "implicit_gemm"), (DEPTHWISE, "depthwise"), (ONE_GROUP, "im2col")],
        ids=["implicit_gemm", "depthwise", "im2col"],
    )
    def test_a_captured_call_computes_with_the_values_of_its_launch(self, case, algorithm, rng):
        """Nothing of a call may happen on the host: the first launch sees old values, the second new ones."""
        backend, g = cut_by(emulated(), SMALL, 2), case.geometry
        x, w, b, dy = (backend.asarray(a) for a in conv_values(case, rng))
        y, dx, dw, db = (backend.empty(shape) for shape in (g.y_shape, g.x_shape, g.w_shape, (g.OC,)))

        def step():
            backend.conv2d_forward(x, w, b, g, algorithm=algorithm, out=y)
            backend.conv2d_backward_data(dy, w, g, algorithm=algorithm, out=dx)
            backend.conv2d_backward_weight(dy, x, g, algorithm=algorithm, out=(dw, db))

        step()
        launch = backend._device.capture([Run(step)])
        for a, new in zip((x, w, b, dy), conv_values(case, rng), strict=True):
            a[...] = new
        launch()
        x, w, b, dy = (backend.to_numpy(a) for a in (x, w, b, dy))
        wanted = (reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options))
        for actual, expected in zip((y, dx, dw, db), wanted, strict=True):
            assert_exact(backend.to_numpy(actual), expected, "float32")


class TestChoice:
    def chosen(self, **sizes):
        g = Conv2dGeometry(**{"N": 2, "C": 8, "H": 9, "W": 9, "OC": 8, "KH": 3, "KW": 3, **sizes})
        return [
            next(c.name for c in emulated().explain(g, direction) if c.declined is None)
            for direction in ("forward", "backward_data", "backward_weight")
        ]

    def test_most_special_first(self):
        assert self.chosen() == 3 * ["implicit_gemm"]
        assert self.chosen(G=4) == 3 * ["implicit_gemm"]
        assert self.chosen(G=8) == 3 * ["depthwise"]
        assert self.chosen(C=1) == 3 * ["implicit_gemm"]
        assert self.chosen(KH=1, KW=1) == 3 * ["pointwise"]
        for declined in ({"SH": 2}, {"PH": 1}, {"PR": 1}, {"G": 2}):
            assert self.chosen(KH=1, KW=1, **declined) == 3 * ["implicit_gemm"]

    def test_more_pixels_than_a_counter_holds(self):
        g = Conv2dGeometry(N=2**20, C=1, H=64, W=64, OC=1, KH=1, KW=1)
        with pytest.raises(UnsupportedError, match="use smaller batches"):
            emulated()._choose(g, "forward", None, np.dtype("float32"))

    @pytest.mark.parametrize("algorithm", ["implicit_gemm", "im2col", "depthwise"])
    @pytest.mark.parametrize("steps", [{"SH": 2**31, "DW": 2**40}, {"SW": 2**33, "DH": 2**31 - 1}])
    def test_steps_that_no_int_holds(self, steps, algorithm, rng):
        """Of an axis with one window or one tap, where they are never taken."""
        groups = 3 if algorithm == "depthwise" else 1
        one_tap = {"KH": 1} if "DH" in steps else {"KW": 1}
        g = Conv2dGeometry(
            **{"N": 2, "C": 3, "H": 2, "W": 2, "OC": 3, "KH": 2, "KW": 2, "G": groups, **one_tap, **steps}
        )
        x, w, dy = (whole_numbers(rng, shape) for shape in (g.x_shape, g.w_shape, g.y_shape))
        options = {"stride": (1, 1), "groups": groups}
        y = reference.conv2d(x, w, np.zeros(3), **options)[:, :, : g.OH, : g.OW]
        backend = emulated()
        arrays = [backend.asarray(a) for a in (x, w, dy)]
        found = backend.conv2d_forward(arrays[0], arrays[1], None, g, algorithm=algorithm)
        assert_exact(backend.to_numpy(found), y, "float32")
        whole = np.zeros(reference.conv2d(x, w, np.zeros(3), **options).shape)
        whole[:, :, : g.OH, : g.OW] = dy
        dx, dw, _ = reference.conv2d_backward(whole, x, w, **options)
        assert_exact(
            backend.to_numpy(backend.conv2d_backward_data(arrays[2], arrays[1], g, algorithm=algorithm)), dx, "float32"
        )
        assert_exact(
            backend.to_numpy(backend.conv2d_backward_weight(arrays[2], arrays[0], g, algorithm=algorithm)[0]),
            dw,
            "float32",
        )
