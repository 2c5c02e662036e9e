"""Softmax cross-entropy on the GPU: checks and memory; the loops are in kernels/cuda/loss.cu.

A label outside 0 .. classes-1 cannot be refused without waiting for the GPU: it makes the loss, and its row of the
gradient, NaN.
"""

from __future__ import annotations

from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS, require_float, require_row_shapes
from .memory import GpuMemory, kernel_of

WARP = 32
WARPS = 8  # of a block, as in loss.cu
WIDE = 1024  # classes from which a row gets a whole block
NAMES = ("softmax_rows", "mean_of_rows", "softmax_cross_entropy_backward")


class GpuLoss(GpuMemory):
    """The loss part of the contract."""

    def softmax_cross_entropy_forward(
        self, logits: Array, labels: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("softmax_cross_entropy", logits=logits)
        require_row_shapes("softmax_cross_entropy", "logits", logits, labels)
        mean = self._result("softmax_cross_entropy", out and out[0], (), dtype)
        prob = self._result("softmax_cross_entropy", out and out[1], logits.shape, dtype)
        rows, classes = logits.shape
        losses = self._device.empty((rows,), "float64")
        block = (WARP, WARPS) if classes < WIDE else (WARP * WARPS, 1)
        grid = (min(-(-rows // block[1]), 2**16),)
        args = (prob, losses, self._ordered(logits), self._labels(labels), rows, classes)
        self._launch("loss", "softmax_rows", grid, block, args, dtype=dtype)
        self._launch("loss", "mean_of_rows", (1,), (WARP * WARPS,), (mean, losses, rows), dtype=dtype)
        return mean, prob

    def softmax_cross_entropy_backward(self, prob: Array, labels: Array, *, out: Array | None = None) -> Array:
        dtype = require_float("softmax_cross_entropy_backward", prob=prob)
        require_row_shapes("softmax_cross_entropy_backward", "prob", prob, labels)
        dx = self._result("softmax_cross_entropy_backward", out, prob.shape, dtype)
        args = (dx, self._ordered(prob), self._labels(labels), *prob.shape)
        self._launch_flat("loss", "softmax_cross_entropy_backward", prob.size, args, dtype=dtype)
        return dx

    def _labels(self, labels: Array) -> Array:
        return self._ordered(labels.astype("int64", copy=False))


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [kernel_of("loss", name, dtype) for name in NAMES for dtype in FLOATS]
