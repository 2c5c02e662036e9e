"""Activations and dropout by their formulas."""

from __future__ import annotations

import numpy as np

from ...errors import ArgumentError
from ..checks import require, require_activation, require_float
from ..host import Array, HostMemory, empty
from .store import silent, store


class ReferencePointwise(HostMemory):
    """The pointwise part of the contract."""

    @silent
    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        dtype = require_float(kind, x=x)
        require_activation("activation", kind)
        if kind == "relu":
            y = np.where(x <= 0, 0, x)
        elif kind == "leaky_relu":
            y = np.where(x < 0, dtype.type(slope) * x, x)
        elif kind == "sigmoid":
            y = 1 / (1 + np.exp(-x))
        else:
            y = np.tanh(x)
        return store(y, out, x.shape, dtype)

    @silent
    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        dtype = require_float(kind, dy=dy, y=y)
        require(kind, "dy", dy, y.shape, dtype)
        require_activation("activation", kind)
        if kind == "relu":
            dx = np.where(y <= 0, 0, dy)
        elif kind == "leaky_relu":
            dx = np.where(y < 0, dtype.type(slope) * dy, dy)
        elif kind == "sigmoid":
            dx = dy * y * (1 - y)
        else:
            dx = dy * (1 - y * y)
        return store(dx, out, y.shape, dtype)

    def dropout(self, x: Array, p: float, seed: int, *, out: Array | None = None) -> Array:
        dtype = require_float("dropout", x=x)
        if not 0 <= p < 1:
            raise ArgumentError(f"dropout: p must be at least 0 and below 1, got {p}")
        in_memory_order = empty(x.shape, dtype)
        in_memory_order[...] = x
        flat = (in_memory_order.transpose(0, 2, 3, 1) if x.ndim == 4 else in_memory_order).reshape(-1)
        flat[...] = np.where(_uniform(seed, flat.size) >= p, flat * dtype.type(1 / (1 - p)), 0)
        return store(in_memory_order, out, x.shape, dtype)


def _uniform(seed: int, n: int) -> Array:
    """n draws from [0, 1): splitmix64 (Steele, Lea & Flood 2014) of the element's place, its upper 24 bits."""
    z = np.uint64(seed % 2**64) + np.arange(1, n + 1, dtype="uint64") * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype("float64") / 2**24
