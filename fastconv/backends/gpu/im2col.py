"""Windows as rows of a matrix and back on the GPU; the loops are in kernels/cuda/im2col.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry, Pool2dGeometry
from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import require, require_float
from .counting import require_countable_windows, with_small_steps
from .memory import THREADS, GpuMemory, kernel_of

WARP = 32


class GpuIm2col(GpuMemory):
    """im2col and col2im of the contract."""

    def im2col(self, x: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("im2col", x=x)
        require("im2col", "x", x, g.x_shape, dtype)
        cols = self._result("im2col", out, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        self._launch_windows("im2col", cols.shape[0], cols, self._ordered(x), g, dtype)
        return cols

    def col2im(self, cols: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("col2im", cols=cols)
        require("col2im", "cols", cols, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        x = self._result("col2im", out, g.x_shape, dtype)
        self._launch_windows("col2im", g.N * g.H * g.W, x, self._ordered(cols), g, dtype)
        return x

    def _launch_windows(
        self, name: str, rows: int, to: Array, a: Array, g: Conv2dGeometry | Pool2dGeometry, dtype: np.dtype[Any]
    ) -> None:
        require_countable_windows(name, g)
        g = with_small_steps(g)
        sizes = (g.N, g.C, g.H, g.W, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.OH, g.OW)
        block = (WARP, THREADS // WARP)
        self._launch("im2col", name, (-(-rows // block[1]),), block, (to, a, *sizes), dtype=dtype)


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [kernel_of("im2col", name, dtype) for name in ("im2col", "col2im") for dtype in ("float32", "float64")]
