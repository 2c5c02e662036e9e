"""The kernels for tensor cores on the emulated GPU: exact where numbers are, else within each precision's bound."""

from dataclasses import dataclass

import numpy as np
import pytest
import reference
from cases import CONV_CASES, ConvCase, conv_values, floats, names, whole_numbers
from checks import assert_exact, assert_within
from cuda_emulator.build import compiler
from cuda_emulator.device import EmulatedDevice

from fastconv.backends.gpu import GpuBackend, linear_mma
from fastconv.backends.precision import chosen
from fastconv.errors import UnsupportedError
from fastconv.kernels.cuda.source import Kernel, source

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++, which builds the CUDA kernels for the CPU, is missing")

ALGORITHMS = tuple(linear_mma.NUMBERS)
PRECISIONS = tuple(p for p in ALGORITHMS if p != "tf32x3")
ROUNDING = {"tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # at most, of one factor
TILES = (linear_mma.LARGE, linear_mma.WIDE, linear_mma.TALL, linear_mma.SMALL)
TILE_OF_PRECISION = [(p, tile) for p in PRECISIONS for tile in linear_mma.unit_tiles(p, 4)]
ODD = ConvCase("odd", x=(2, 48, 7, 8), w=(40, 24, 3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2)
FOURS = ConvCase("fours", x=(2, 36, 9, 7), w=(68, 36, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
SOME = [ODD, FOURS, *(case for case in CONV_CASES[::5] if case.groups == 1)]

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_precision = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(params=["forward", "backward", 5])
def gpu(request):
    """The GPU backend with the threads of a block in one order after the other."""
    return GpuBackend(EmulatedDevice(request.param))


@pytest.fixture
def standing(precision):
    token = chosen.set(precision)
    yield precision
    chosen.reset(token)


def only(monkeypatch, tile):
    monkeypatch.setattr(linear_mma, "unit_tiles", lambda precision, pack: (tile if pack == 4 else linear_mma.SMALL,))


def convolved(backend, case, algorithm, values, activation=None):
    """y, dx, dw and db."""
    x, w, b, dy = (backend.asarray(a) for a in values)
    g = case.geometry
    y = backend.conv2d_forward(x, w, b, g, algorithm=algorithm, activation=activation)
    dx = backend.conv2d_backward_data(dy, w, g, algorithm=algorithm)
    return tuple(backend.to_numpy(a) for a in (y, dx, *backend.conv2d_backward_weight(dy, x, g, algorithm=algorithm)))


def expected(case, values):
    x, w, b, dy = values
    return (reference.conv2d(x, w, b, **case.options), *reference.conv2d_backward(dy, x, w, **case.options))


class TestConvolution:
    @every_algorithm
    @pytest.mark.parametrize("case", [ODD, FOURS], ids=names([ODD, FOURS]))
    def test_whole_numbers_are_exact_in_every_order_of_threads(self, gpu, case, algorithm, rng):
        values = conv_values(case, rng)
        for actual, wanted in zip(convolved(gpu, case, algorithm, values), expected(case, values), strict=True):
            assert_exact(actual, wanted, "float32")

    @pytest.mark.parametrize("tile", TILES, ids=lambda t: f"{t.BM}x{t.BN}_of_{t.threads}")
    @pytest.mark.parametrize("case", [ODD, FOURS], ids=names([ODD, FOURS]))
    def test_every_tile(self, monkeypatch, tile, case, rng):
        only(monkeypatch, tile)
        algorithm = "bfloat16" if tile is linear_mma.WIDE else "tf32"
        values = conv_values(case, rng)
        actual = convolved(GpuBackend(EmulatedDevice(9)), case, algorithm, values)
        for a, wanted in zip(actual, expected(case, values), strict=True):
            assert_exact(a, wanted, "float32")

    @every_precision
    @pytest.mark.parametrize("case", SOME, ids=names(SOME))
    def test_floats_within_the_bound_of_their_rounding(self, case, precision, rng):
        values = conv_values(case, rng, floats)
        g, backend = case.geometry, GpuBackend(EmulatedDevice())
        taps = g.KH * g.KW
        terms = (taps * g.C // g.G, taps * g.OC // g.G, g.N * g.OH * g.OW, g.N * g.OH * g.OW)
        sizes = expected(case, [abs(a) for a in values])
        actual = convolved(backend, case, precision, values)
        for a, e, n, size in zip(actual, expected(case, values), terms, sizes, strict=True):
            assert_within(a, e, bound(precision, n) * size)

    def test_a_problem_has_its_pixels_in_parts_on_a_large_gpu(self, rng):
        device = EmulatedDevice()
        device.processors = 132
        case = ConvCase("parts", x=(4, 8, 24, 24), w=(12, 8, 3, 3), padding=(1, 1, 1, 1))
        values = conv_values(case, rng)
        actual = convolved(GpuBackend(device), case, "tf32", values)
        for a, wanted in zip(actual, expected(case, values), strict=True):
            assert_exact(a, wanted, "float32")

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_activation(self, activation, rng):
        values = conv_values(FOURS, rng)
        backend = GpuBackend(EmulatedDevice())
        plain = convolved(backend, FOURS, "tf32", values)[0]
        wanted = reference.activation(activation, plain)
        actual = convolved(backend, FOURS, "tf32", values, activation=activation)[0]
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)

    def test_nan_and_infinity_pass_through(self):
        case = ConvCase("one_tap", x=(1, 4, 3, 5), w=(4, 4, 1, 1))
        x = np.zeros(case.x, "float32")
        x[0, 0, 0, 0], x[0, 1, 1, 1], x[0, 2, 2, 2] = np.nan, np.inf, -np.inf
        w = 2 * np.ones(case.w, "float32")
        backend = GpuBackend(EmulatedDevice())
        for precision in PRECISIONS:
            y = backend.conv2d_forward(backend.asarray(x), backend.asarray(w), None, case.geometry, algorithm=precision)
            assert_exact(backend.to_numpy(y), reference.conv2d(x, w), "float32")

    def test_double_is_never_computed_in_less(self, rng):
        backend = GpuBackend(EmulatedDevice())
        x, w, b, _ = conv_values(ODD, rng, floats, "float64")
        with pytest.raises(UnsupportedError, match="not float32"):
            backend.conv2d_forward(x, w, b, ODD.geometry, algorithm="tf32")


def bound(precision, terms):
    """Of the error of a sum, as a share of the sum over absolute values: its factors' rounding, and its own cut-off."""
    u = ROUNDING[precision]
    return 2 * u + u * u + (terms + 2) * 2 * np.finfo("float32").eps


def rounded(x, precision):
    """The nearest number with the precision's mantissa; `x` must be no tie."""
    if precision == "float16":
        return x.astype("float16").astype("float32")
    dropped = {"tf32": 13, "bfloat16": 16}[precision]
    bits = x.view("uint32").astype("uint64") + (1 << (dropped - 1))
    return (bits >> dropped << dropped).astype("uint32").view("float32")


class TestProducts:
    @every_precision
    @pytest.mark.parametrize("trans_a", [False, True])
    @pytest.mark.parametrize("trans_b", [False, True])
    @pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 1), (5, 9, 17), (70, 68, 132), (16, 900, 8)])
    def test_whole_numbers_are_exact(self, standing, M, K, N, trans_a, trans_b, rng):
        a, b = whole_numbers(rng, (M, K)), whole_numbers(rng, (K, N))
        given = (np.ascontiguousarray(a.T) if trans_a else a, np.ascontiguousarray(b.T) if trans_b else b)
        c = GpuBackend(EmulatedDevice(3)).matmul(*given, trans_a=trans_a, trans_b=trans_b)
        assert_exact(c, reference.matmul(a, b), "float32")

    @pytest.mark.parametrize(("precision", "tile"), TILE_OF_PRECISION, ids=str)
    def test_every_tile(self, monkeypatch, standing, tile, rng):
        only(monkeypatch, tile)
        backend = GpuBackend(EmulatedDevice(2))
        x, w, b, dy = (whole_numbers(rng, shape) for shape in ((140, 76), (136, 76), (136,), (140, 136)))
        assert_exact(backend.linear_forward(x, w, b), reference.linear(x, w, b), "float32")
        for actual, wanted in zip(backend.linear_backward(dy, x, w), reference.linear_backward(dy, x, w), strict=True):
            assert_exact(actual, wanted, "float32")

    @every_precision
    def test_factors_are_rounded_to_the_precision(self, standing, rng):
        a = floats(rng, (64, 1))
        b = np.array([[1, 2, 0.5]], "float32")
        c = GpuBackend(EmulatedDevice()).matmul(a, b)
        np.testing.assert_array_equal(c, rounded(a, standing) * b)
        assert not np.array_equal(c, a * b)

    @pytest.mark.parametrize("precision", ["float16"])
    def test_float16_has_its_range(self, standing):
        a = np.array([[1e5], [6e4], [1e-9]], "float32")
        c = GpuBackend(EmulatedDevice()).matmul(a, np.ones((1, 1), "float32"))
        np.testing.assert_array_equal(c.ravel(), [np.inf, 6e4, 0])

    @every_precision
    def test_parts_of_a_long_sum_are_added_in_order(self, standing, rng):
        device = EmulatedDevice()
        device.processors = 132
        backend = GpuBackend(device)
        x, dy = whole_numbers(rng, (3000, 8)), whole_numbers(rng, (3000, 12))
        w = whole_numbers(rng, (12, 8))
        _, dw, db = backend.linear_backward(dy, x, w, needs_dx=False)
        assert_exact(dw, reference.matmul(dy.T, x), "float32")
        assert_exact(db, dy.sum(axis=0, dtype="float64"), "float32")

    @every_precision
    def test_double_stays_double(self, standing, rng):
        a, b = floats(rng, (9, 33), "float64"), floats(rng, (33, 7), "float64")
        assert_within(GpuBackend(EmulatedDevice()).matmul(a, b), a @ b, 1e-13)

    @every_precision
    @pytest.mark.parametrize("activation", [None, "relu", "sigmoid"])
    def test_bias_and_activation(self, standing, activation, rng):
        x, w, b = whole_numbers(rng, (33, 20)), whole_numbers(rng, (9, 20)), whole_numbers(rng, (9,))
        y = GpuBackend(EmulatedDevice()).linear_forward(x, w, b, activation=activation)
        np.testing.assert_allclose(
            y, reference.activation(activation, reference.linear(x, w, b)), rtol=1e-6, atol=1e-30
        )


class TestThreeProducts:
    def test_no_worse_than_four_times_a_plain_float32_sum(self, rng):
        """A sum over 1,152 products, as in a 3 x 3 layer of 128 channels."""
        case = ConvCase("layer", x=(1, 128, 6, 6), w=(64, 128, 3, 3))
        x, w, _, _ = conv_values(case, rng, floats)
        exact = reference.conv2d(x, w, **case.options)
        windows = reference.im2col(x, (3, 3), **case.window).astype("float32")
        rows = w.reshape(64, -1)
        plain = np.zeros((len(windows), 64), "float32")
        for k in range(windows.shape[1]):
            plain += windows[:, k, None] * rows[None, :, k]
        plain = plain.reshape(1, 4, 4, 64).transpose(0, 3, 1, 2)
        backend = GpuBackend(EmulatedDevice())
        x, w = backend.asarray(x), backend.asarray(w)
        y = backend.to_numpy(backend.conv2d_forward(x, w, None, case.geometry, algorithm="tf32x3"))
        assert np.abs(y - exact).max() <= 4 * np.abs(plain - exact).max()
        assert np.square(y - exact).mean() <= 16 * np.square(plain - exact).mean()
        whole = backend.to_numpy(backend.conv2d_forward(x, w, None, case.geometry, algorithm="tf32"))
        assert np.abs(whole - exact).max() > 100 * np.abs(plain - exact).max()


class TestChoice:
    def test_runs_on_request_only(self):
        candidates = GpuBackend(EmulatedDevice()).explain(FOURS.geometry)
        assert [c.name for c in candidates[: len(ALGORITHMS)]] == list(ALGORITHMS)
        assert all("on request" in c.declined for c in candidates[: len(ALGORITHMS)])

    @every_precision
    def test_the_precision_that_stands_runs_first(self, standing):
        for direction in ("forward", "backward_data", "backward_weight"):
            candidates = GpuBackend(EmulatedDevice()).explain(FOURS.geometry, direction)
            assert next(c.name for c in candidates if c.declined is None) == standing

    def test_old_gpus_decline(self, rng):
        device = EmulatedDevice()
        device.architecture = 75
        backend = GpuBackend(device)
        assert "sm_75" in backend.explain(FOURS.geometry)[0].declined
        x, w, b, _ = (backend.asarray(a) for a in conv_values(FOURS, rng))
        with pytest.raises(UnsupportedError, match="sm_80"):
            backend.conv2d_forward(x, w, b, FOURS.geometry, algorithm="tf32")

    def test_narrow_groups_decline(self):
        narrow = ConvCase("depthwise", x=(1, 16, 6, 5), w=(16, 1, 3, 3), groups=16)
        assert "fewer than" in GpuBackend(EmulatedDevice()).explain(narrow.geometry)[0].declined


@dataclass(frozen=True)
class Places(Kernel):
    """A kernel of the test's own: where the elements of tiles lie in shared memory."""

    @property
    def source(self):
        return source("gemm_mma") + (
            'extern "C" __global__ void places(int *along, int *across) {\n'
            "    for (int line = 0; line < 64; line++)\n"
            "        for (int k = 0; k < BK; k++) {\n"
            "            along[line * BK + k] = place_along(line, k);\n"
            "            across[line * BK + k] = place_across<64>(line, k);\n"
            "        }\n"
            "}\n"
        )


def times(places, words):
    """How many turns the banks need for one access: 32 words go in one if all lie in different banks."""
    banks = (places[..., None] + np.arange(words)) % 32
    return max(np.bincount(access.ravel(), minlength=32).max() for access in banks.reshape(-1, *banks.shape[-2:]))


@pytest.fixture(scope="module")
def places():
    device = EmulatedDevice()
    along, across = (device.empty((64, 32), "int32") for _ in range(2))
    constants = {"ELEMENT": "float", "PRECISION": 0, "BM": 64, "BN": 64, "PACK": 4, "TRANS_A": 0, "TRANS_B": 0}
    kernel = Places("gemm_mma", "places", tuple(sorted(constants.items())))
    device.launch(kernel, (1,), (1,), (along, across))
    return along, across


class TestSharedMemory:
    """Lanes g = 0..7, t = 0..3; accesses of 8 and 16 bytes are served in halves and quarters of a warp."""

    def test_every_place_once(self, places):
        for tile in places:
            assert sorted(tile.ravel()) == list(range(64 * 32))

    def test_matrices_of_eight_lines_meet_no_bank_twice(self, places):
        along, _ = places
        rows = np.array([[16 * tile + 2 * r + i for r in range(8)] for tile in range(4) for i in range(2)])
        columns = np.arange(64).reshape(8, 8)
        for lines in (rows, columns):
            for k in range(0, 32, 4):
                assert times(along[lines, k], 4) == 1

    def test_reads_across_meet_no_bank_twice(self, places):
        _, across = places
        g, t = np.arange(32) // 4, np.arange(32) % 4
        for k in range(0, 32, 4):
            for first in range(0, 64, 16):
                assert times(across[first + 2 * g, k + t].reshape(2, 16), 2) == 1
                assert times(across[first + g, k + t].reshape(1, 32), 1) == 1

    @every_algorithm
    def test_the_smallest_gpu_has_room(self, algorithm):
        """99 KiB for a block, of which the tables of conv2d_mma.cu take 24 bytes a row."""
        for tile in linear_mma.unit_tiles(algorithm, 4):
            tables = tile.BM * (np.dtype("int64, int32, int32").itemsize + np.dtype("int64").itemsize)
            assert linear_mma.shared_bytes(tile) + tables <= 99 * 1024

    def test_copies_of_16_bytes_meet_no_bank_twice(self, places):
        along, across = places
        assert times(along[:, ::4], 4) == 1
        assert times(across[::4].T.reshape(-1, 8), 4) == 1
