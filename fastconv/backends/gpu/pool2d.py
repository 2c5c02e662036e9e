"""Pooling on the GPU: checks, memory and launches; the loops are in kernels/cuda/pool2d.cu."""

from __future__ import annotations

from itertools import product

from ...geometry import Pool2dGeometry
from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS, require, require_float
from .memory import WIDEST_ACCESS, GpuMemory, kernel_of

VECTORS = (4, 2, 1)  # channels a thread
LARGEST_INT = 2**31 - 1


class GpuPool2d(GpuMemory):
    """The pooling part of the contract."""

    def max_pool2d_forward(
        self, x: Array, g: Pool2dGeometry, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("max_pool2d", x=x)
        require("max_pool2d", "x", x, g.x_shape, dtype)
        y = self._result("max_pool2d", out and out[0], g.y_shape, dtype)
        argmax = self._result("max_pool2d", out and out[1], g.y_shape, g.argmax_dtype)
        self._pool("max_pool2d_forward", g, (y, argmax, self._ordered(x)), _problem(g), argmax)
        return y, argmax

    def max_pool2d_backward(self, dy: Array, argmax: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("max_pool2d_backward", dy=dy)
        require("max_pool2d_backward", "dy", dy, g.y_shape, dtype)
        require("max_pool2d_backward", "argmax", argmax, g.y_shape, g.argmax_dtype)
        dx = self._result("max_pool2d_backward", out, g.x_shape, dtype)
        self._pool("max_pool2d_backward", g, (dx, self._ordered(dy), self._ordered(argmax)), _problem(g), argmax)
        return dx

    def avg_pool2d_forward(self, x: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d", x=x)
        require("avg_pool2d", "x", x, g.x_shape, dtype)
        y = self._result("avg_pool2d", out, g.y_shape, dtype)
        self._pool("avg_pool2d_forward", g, (y, self._ordered(x)), (*_problem(g), *_counted(g)))
        return y

    def avg_pool2d_backward(self, dy: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d_backward", dy=dy)
        require("avg_pool2d_backward", "dy", dy, g.y_shape, dtype)
        dx = self._result("avg_pool2d_backward", out, g.x_shape, dtype)
        self._pool("avg_pool2d_backward", g, (dx, self._ordered(dy)), (*_problem(g), *_counted(g)))
        return dx

    def _pool(
        self, name: str, g: Pool2dGeometry, arrays: tuple[Array, ...], ints: tuple[int, ...],
        argmax: Array | None = None,
    ) -> None:  # fmt: skip
        """Start a kernel that makes arrays[0], of the type of the others, from them."""
        places = 1 if argmax is None else argmax.itemsize
        vector = 1 if places > 1 else next(v for v in VECTORS if g.C % v == 0 and self._can_load(v, arrays))
        result = arrays[0]
        self._launch_flat(
            "pool2d", name, result.size // vector, (*arrays, *ints), dtype=result.dtype, VECTOR=vector, PLACES=places
        )

    def _can_load(self, vector: int, arrays: tuple[Array, ...]) -> bool:
        """Whether every array begins where a thread may read `vector` elements at once."""
        return all(self._device.address(a) % min(WIDEST_ACCESS, vector * a.itemsize) == 0 for a in arrays)


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    maximum, average = ("max_pool2d_forward", "max_pool2d_backward"), ("avg_pool2d_forward", "avg_pool2d_backward")

    def kernels(names: tuple[str, ...], vector: int, places: int) -> list[Kernel]:
        return [kernel_of("pool2d", name, t, VECTOR=vector, PLACES=places) for name, t in product(names, FLOATS)]

    narrow = [k for vector in VECTORS for k in kernels((*maximum, *average), vector, 1)]
    return narrow + kernels(maximum, 1, 4)


def _problem(g: Pool2dGeometry) -> tuple[int, ...]:
    """The kernels' ints. A stride or dilation that is too large for one is of an axis with one window or one tap, which
    never takes it."""
    ints = (g.C, g.H, g.W, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.OH, g.OW)
    return tuple(min(n, LARGEST_INT) for n in ints)


def _counted(g: Pool2dGeometry) -> tuple[int, int]:
    """The (H, W) in which an average counts its taps: the padded input's, or (0, 0) for the input's own."""
    return (g.H + g.PH + g.PB, g.W + g.PW + g.PR) if g.count_include_pad else (0, 0)
