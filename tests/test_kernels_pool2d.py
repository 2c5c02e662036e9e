"""Pooling kernels at the edges of their vectors: every channel count, the ends of the memory, rows and chunks."""

import numpy as np
import pytest
import reference
from checks import assert_exact

from fastconv.backends import select
from fastconv.geometry import Pool2dGeometry

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

GUARD = 64  # elements on either side of a result that nobody may touch

WINDOWS = {
    "pairs": {"kernel": (2, 2), "stride": (2, 2)},
    "pairs_with_a_rest": {"kernel": (2, 2), "stride": (2, 3)},
    "tiles_in_padding": {"kernel": (3, 2), "stride": (3, 2), "padding": (1, 0, 1, 1)},
    "overlapping": {"kernel": (3, 3), "stride": (2, 2)},
    "every_pixel": {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1)},
    "dilated": {"kernel": (2, 3), "stride": (1, 2), "padding": (0, 1, 2, 0), "dilation": (3, 2)},
    "global": {"kernel": (7, 9), "stride": (7, 9)},
}


@pytest.fixture
def cpu():
    return select.get("cpu")


def guarded(shape, dtype):
    """Channels-last memory in the middle of a larger block, all poisoned, and the block."""
    n, c, h, w = shape
    poison = np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    block = np.full(2 * GUARD + n * c * h * w, poison, dtype)
    return block[GUARD:-GUARD].reshape(n, h, w, c).transpose(0, 3, 1, 2), block


def assert_guards_stand(block):
    edges = np.concatenate([block[:GUARD], block[-GUARD:]])
    assert np.isnan(edges).all() if block.dtype.kind == "f" else (edges == np.iinfo(block.dtype).max).all()


def whole_numbers(cpu, rng, shape, dtype="float32"):
    """Small multiples of 5040, so that averages of up to 10 taps are exact; many of them equal."""
    return cpu.asarray(5040.0 * rng.integers(-4, 5, shape), dtype)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestEveryChannelCount:
    CHANNELS = (1, 2, 3, 6, 7, 8, 9, 15, 16, 17, 30, 31, 32, 33, 48, 49, 65)

    def test_maximum(self, cpu, window, dtype, rng):
        for channels in self.CHANNELS:
            x = whole_numbers(cpu, rng, (2, channels, 7, 9), dtype)
            g = Pool2dGeometry.from_shape(x.shape, **window)
            expected, places = reference.max_pool2d(x, **window)
            (y, y_block), (argmax, argmax_block) = guarded(g.y_shape, dtype), guarded(g.y_shape, g.argmax_dtype)
            cpu.max_pool2d_forward(x, g, out=(y, argmax))
            assert_exact(y, expected, dtype)
            assert_exact(argmax, places, g.argmax_dtype)
            dy = whole_numbers(cpu, rng, g.y_shape, dtype)
            dx, dx_block = guarded(x.shape, dtype)
            cpu.max_pool2d_backward(dy, argmax, g, out=dx)
            assert_exact(dx, reference.max_pool2d_backward(dy, places, x.shape, **window), dtype)
            for block in (y_block, argmax_block, dx_block):
                assert_guards_stand(block)

    def test_average(self, cpu, window, dtype, rng):
        for channels in self.CHANNELS:
            x = whole_numbers(cpu, rng, (2, channels, 7, 9), dtype)
            g = Pool2dGeometry.from_shape(x.shape, **window)
            rtol = 8 * np.finfo(dtype).eps
            y, y_block = guarded(g.y_shape, dtype)
            cpu.avg_pool2d_forward(x, g, out=y)
            np.testing.assert_allclose(y, reference.avg_pool2d(x, **window), rtol=rtol, atol=0.01)
            dy = whole_numbers(cpu, rng, g.y_shape, dtype)
            dx, dx_block = guarded(x.shape, dtype)
            cpu.avg_pool2d_backward(dy, g, out=dx)
            np.testing.assert_allclose(dx, reference.avg_pool2d_backward(dy, x.shape, **window), rtol=rtol, atol=0.01)
            for block in (y_block, dx_block):
                assert_guards_stand(block)


class TestFirstMaximum:
    @pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (2, 3)])
    def test_of_every_pair_of_places(self, cpu, kernel):
        """Two equal maxima, or two NaN, at every two places among minus infinities: the first one is found."""
        taps = kernel[0] * kernel[1]
        g = Pool2dGeometry.from_shape((1, taps * taps, *kernel), kernel)
        for top in (1.0, np.inf, np.nan):
            x = np.full((taps, taps, taps), -np.inf, "float32")
            for a in range(taps):
                for b in range(taps):
                    x[a, b, [a, b]] = top
            y, argmax = cpu.max_pool2d_forward(cpu.asarray(x.reshape(g.x_shape)), g)
            np.testing.assert_array_equal(argmax.reshape(taps, taps), np.minimum.outer(range(taps), range(taps)))
            np.testing.assert_array_equal(y, np.full(g.y_shape, top, "float32"))

    def test_zero_of_either_sign_counts_as_equal(self, cpu):
        x = cpu.asarray(np.array([-0.0, 0.0, 0.0, -0.0], "float32").reshape(1, 1, 2, 2))
        y, argmax = cpu.max_pool2d_forward(x, Pool2dGeometry.from_shape(x.shape, 2))
        assert argmax.item() == 0
        assert np.signbit(y.item())
