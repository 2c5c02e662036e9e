"""k-max pooling on the GPU: checks, memory and launches; the loops are in kernels/cuda/k_max.cu."""

from __future__ import annotations

from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS
from ..k_max import PLACE, require_k_max, require_k_max_backward, rows_in_memory
from .counting import require_countable
from .memory import GpuMemory, kernel_of

NAMES = ("k_max_forward", "k_max_backward")


class GpuKMax(GpuMemory):
    """The k-max pooling of the contract."""

    def k_max_forward(
        self, x: Array, k: int, axis: int, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype, shape, axis = require_k_max(x, k, axis)
        y = self._result("k_max", out and out[0], shape, dtype)
        places = self._result("k_max", out and out[1], shape, PLACE)
        blocks, beside = rows_in_memory(shape, axis)
        require_countable("k_max", (beside, x.shape[axis]), f"x {tuple(x.shape)}, axis={axis}")
        args = (y, places, self._ordered(x), x.shape[axis], k, beside)
        self._launch_flat("k_max", NAMES[0], blocks * beside, args, dtype=dtype)
        return y, places

    def k_max_backward(self, dy: Array, places: Array, size: int, axis: int, *, out: Array | None = None) -> Array:
        dtype, shape, axis = require_k_max_backward(dy, places, size, axis)
        dx = self._result("k_max_backward", out, shape, dtype)
        blocks, beside = rows_in_memory(shape, axis)
        require_countable("k_max_backward", (beside, size), f"dx {shape}, axis={axis}")
        args = (dx, self._ordered(dy), self._ordered(places), size, dy.shape[axis], beside)
        self._launch_flat("k_max", NAMES[1], blocks * beside, args, dtype=dtype)
        return dx


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [kernel_of("k_max", name, dtype) for name in NAMES for dtype in FLOATS]
