"""Activations and dropout on the CPU: checks and memory; the loops are in kernels/cpu/pointwise.py."""

from __future__ import annotations

import math

import numpy as np

from ...errors import ArgumentError
from ...kernels.cpu import pointwise as kernels
from ..checks import require, require_activation, require_float
from ..host import Array, HostMemory, as_flat, in_order, result
from ..launch import launch, launches

KINDS = {
    "relu": kernels.RELU,
    "leaky_relu": kernels.LEAKY_RELU,
    "sigmoid": kernels.SIGMOID,
    "tanh": kernels.TANH,
}


class CpuPointwise(HostMemory):
    """The pointwise part of the contract."""

    @launches
    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, x=x)
        y = result(kind, out, x.shape, dtype)
        launch(kernels.activation_forward, as_flat(y), in_order(x), KINDS[kind], float(slope))
        return y

    @launches
    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, dy=dy, y=y)
        require(kind, "dy", dy, y.shape, dtype)
        dx = result(kind, out, y.shape, dtype)
        launch(kernels.activation_backward, as_flat(dx), in_order(dy), in_order(y), KINDS[kind], float(slope))
        return dx

    @launches
    def dropout(self, x: Array, p: float, seed: int, *, out: Array | None = None) -> Array:
        dtype = require_float("dropout", x=x)
        if not 0 <= p < 1:
            raise ArgumentError(f"dropout: p must be at least 0 and below 1, got {p}")
        y = result("dropout", out, x.shape, dtype)
        # u = bits / 2^24 >= p, said in whole numbers; the product is exact.
        threshold = np.uint64(math.ceil(p * 2**24))
        launch(kernels.dropout, as_flat(y), in_order(x), 1 / (1 - p), np.uint64(seed % 2**64), threshold)
        return y
