"""Batch normalisation on the GPU: checks, memory and launches; the loops are in kernels/cuda/batch_norm.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS, require_activation, require_batch_norm
from .linear import KINDS
from .memory import GpuMemory, kernel_of

LANES, LINES = 32, 8  # channels and rows of a block that adds, as in batch_norm.cu
DEPTH = 512  # rows of such a block at the least
MOST_BLOCKS = 2048  # along the rows
VECTORS = (4, 1)  # channels a thread
SUMS = ("batch_norm_moments", "batch_norm_join_moments", "batch_norm_gradient_sums", "batch_norm_join_gradients")


class GpuBatchNorm(GpuMemory):
    """The batch normalisation of the contract."""

    def batch_norm_statistics(
        self, x: Array, running_mean: Array | None, running_var: Array | None, *,
        momentum: float, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        op = "batch_norm"
        dtype = require_batch_norm(op, x, batch_statistics=True, running_mean=running_mean, running_var=running_var)
        mean, var = (self._result(op, out and out[i], x.shape[1:2], dtype) for i in range(2))
        running = [a if a is None else self._result(op, a, a.shape, dtype) for a in (running_mean, running_var)]
        parts, depth = self._sums("batch_norm_moments", x, (self._ordered(x),))
        args = (mean, var, *running, parts, np.float64(momentum), len(parts), mean.size, depth, _length(x))
        self._join("batch_norm_join_moments", x, args)
        return mean, var

    def batch_norm_forward(
        self, x: Array, mean: Array, var: Array, gamma: Array | None, beta: Array | None, *,
        eps: float, activation: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        require_activation("batch_norm", activation)
        dtype = require_batch_norm("batch_norm", x, mean=mean, var=var, gamma=gamma, beta=beta)
        y = self._result("batch_norm", out, x.shape, dtype)
        arrays, channels = (y, self._ordered(x)), self._channels(mean, var, gamma, beta)
        self._elements("batch_norm_forward", arrays, (*channels, dtype.type(eps)), (), KIND=KINDS.index(activation))
        return y

    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, var: Array, gamma: Array | None, *,
        eps: float, batch_statistics: bool, out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        op = "batch_norm_backward"
        dtype = require_batch_norm(op, x, dy=dy, batch_statistics=batch_statistics, mean=mean, var=var, gamma=gamma)
        dx = self._result(op, out and out[0], x.shape, dtype)
        dgamma, dbeta = (self._result(op, out and out[i], x.shape[1:2], dtype) for i in (1, 2))
        dy, x, (mean, var, gamma) = self._ordered(dy), self._ordered(x), self._channels(mean, var, gamma)
        parts, _ = self._sums("batch_norm_gradient_sums", dx, (dy, x, mean))
        self._join("batch_norm_join_gradients", dx, (dgamma, dbeta, parts, var, np.float64(eps), len(parts), mean.size))
        channels = (mean, var, gamma, dgamma, dbeta, dtype.type(eps))
        count = (dtype.type(_length(dx)),)
        self._elements("batch_norm_backward", (dx, dy, x), channels, count, CONSTANT=int(not batch_statistics))
        return dx, dgamma, dbeta

    def _channels(self, *arrays: Array | None) -> list[Array | None]:
        """Arrays of one number a channel, in the order of memory."""
        return [a if a is None else self._contiguous(a) for a in arrays]

    def _sums(self, name: str, x: Array, arrays: tuple[Array, ...]) -> tuple[Array, int]:
        """Start a kernel that leaves two sums a channel for every `depth` rows: (parts [blocks, 2, C], depth)."""
        C, rows = x.shape[1], int(_length(x))
        depth = max(DEPTH, -(-rows // MOST_BLOCKS))
        parts = self._device.empty((-(-rows // depth), 2, C), "float64")
        grid = (-(-C // LANES), len(parts))
        self._launch("batch_norm", name, grid, (LANES, LINES), (parts, *arrays, C, depth, _length(x)), dtype=x.dtype)
        return parts, depth

    def _join(self, name: str, x: Array, args: tuple[Any, ...]) -> None:
        self._launch("batch_norm", name, (-(-x.shape[1] // LANES),), (LANES, LINES), args, dtype=x.dtype)

    def _elements(
        self, name: str, arrays: tuple[Array, ...], channels: tuple[Any, ...], numbers: tuple[Any, ...], **define: int
    ) -> None:
        """Start a kernel that makes arrays[0] from the others, element by element."""
        result = arrays[0]
        C = result.shape[1]
        vector = next(v for v in VECTORS if C % v == 0 and (v == 1 or self._aligned(*arrays)))
        args = (*arrays, *channels, C, *numbers)
        self._launch_flat("batch_norm", name, result.size // vector, args, dtype=result.dtype, VECTOR=vector, **define)


def _length(x: Array) -> np.int64:
    """Elements of a channel."""
    return np.int64(x.size // x.shape[1])


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    file = "batch_norm"
    sums = [kernel_of(file, name, dtype) for name in SUMS for dtype in FLOATS]
    kinds = range(len(KINDS))
    rows = [("batch_norm_forward", {"KIND": kind}) for kind in kinds]
    rows += [("batch_norm_backward", {"CONSTANT": constant}) for constant in (0, 1)]
    return sums + [
        kernel_of(file, name, dtype, VECTOR=vector, **define)
        for name, define in rows
        for vector in VECTORS
        for dtype in FLOATS
    ]
