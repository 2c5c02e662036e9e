"""Local response normalisation on the GPU: checks and launches; the loops are in kernels/cuda/local_response.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UnsupportedError
from ...geometry import LocalResponse
from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS, require_channels
from .memory import BLOCKS_A_PROCESSOR, THREADS, WIDEST_ACCESS, GpuMemory, kernel_of

NAMES = ("local_response_norm_forward", "local_response_norm_backward")
SHARED = 48 * 1024  # bytes of shared memory that every GPU gives a block


class GpuLocalResponse(GpuMemory):
    """The local response normalisation of the contract."""

    def local_response_norm_forward(self, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm", x=x)
        y = self._result("local_response_norm", out, x.shape, dtype)
        self._launch_flat("local_response", NAMES[0], x.size, (y, self._ordered(x), *_problem(x, r)), dtype=dtype)
        return y

    def local_response_norm_backward(self, dy: Array, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm_backward", dy=dy, x=x)
        dx = self._result("local_response_norm_backward", out, x.shape, dtype)
        needed = (THREADS + sum(r.taps(x.shape[1]))) * dtype.itemsize
        shared = -(-needed // WIDEST_ACCESS) * WIDEST_ACCESS
        if shared > SHARED:
            raise UnsupportedError(
                f"local_response_norm_backward: the GPU takes windows of up to {SHARED // dtype.itemsize - THREADS} "
                f"channels; choose a smaller size or the cpu backend  (x {tuple(x.shape)}; size={r.size})"
            )
        if x.size:
            blocks = min(-(-x.size // THREADS), BLOCKS_A_PROCESSOR * self._device.processors)
            args = (dx, self._ordered(dy), self._ordered(x), *_problem(x, r), np.int64(x.size))
            self._launch("local_response", NAMES[1], (blocks,), (THREADS,), args, dtype=dtype, shared=shared)
        return dx


def _problem(x: Array, r: LocalResponse) -> tuple[Any, ...]:
    """The kernels' numbers: C, the channels before and after in a window, factor, k and beta."""
    C, number = x.shape[1], x.dtype.type
    return C, *r.taps(C), number(r.factor), number(r.k), number(r.beta)


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [kernel_of("local_response", name, dtype) for name in NAMES for dtype in FLOATS]
