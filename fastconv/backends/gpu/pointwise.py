"""Activations and dropout on the GPU: checks and memory; the loops are in kernels/cuda/pointwise.cu."""

from __future__ import annotations

from ..base import ACTIVATIONS, Array
from ..checks import require, require_activation, require_float
from .memory import GpuMemory


class GpuPointwise(GpuMemory):
    """The pointwise part of the contract."""

    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, x=x)
        y = self._result(kind, out, x.shape, dtype)
        args = (y, self._ordered(x), dtype.type(slope))
        self._launch_flat("pointwise", "activation_forward", x.size, args, dtype=dtype, KIND=ACTIVATIONS.index(kind))
        return y

    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, dy=dy, y=y)
        require(kind, "dy", dy, y.shape, dtype)
        dx = self._result(kind, out, y.shape, dtype)
        args = (dx, self._ordered(dy), self._ordered(y), dtype.type(slope))
        self._launch_flat("pointwise", "activation_backward", y.size, args, dtype=dtype, KIND=ACTIVATIONS.index(kind))
        return dx
