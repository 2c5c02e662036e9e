"""Softmax cross-entropy on the CPU: checks and memory; the loops are in kernels/cpu/loss.py."""

from __future__ import annotations

import numpy as np

from ...kernels.cpu import loss as kernels
from ..checks import require_float, require_rows
from ..host import Array, HostMemory, as_flat, result
from ..launch import launch, launches
from ..workspace import scratch


class CpuLoss(HostMemory):
    """The loss part of the contract."""

    @launches
    def softmax_cross_entropy_forward(
        self, logits: Array, labels: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("softmax_cross_entropy", logits=logits)
        launch(require_rows, "softmax_cross_entropy", "logits", logits, labels)
        mean = result("softmax_cross_entropy", None if out is None else out[0], (), dtype)
        prob = result("softmax_cross_entropy", None if out is None else out[1], logits.shape, dtype)
        losses = scratch("softmax_cross_entropy losses", (len(labels),), "float64")
        given = np.ascontiguousarray(logits), np.ascontiguousarray(labels)
        launch(kernels.softmax_cross_entropy_forward, as_flat(mean), prob, losses, *given)
        return mean, prob

    @launches
    def softmax_cross_entropy_backward(self, prob: Array, labels: Array, *, out: Array | None = None) -> Array:
        dtype = require_float("softmax_cross_entropy_backward", prob=prob)
        launch(require_rows, "softmax_cross_entropy_backward", "prob", prob, labels)
        dx = result("softmax_cross_entropy_backward", out, prob.shape, dtype)
        launch(kernels.softmax_cross_entropy_backward, dx, np.ascontiguousarray(prob), np.ascontiguousarray(labels))
        return dx
