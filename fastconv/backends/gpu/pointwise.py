"""Activations and dropout on the GPU: checks and memory; the loops are in kernels/cuda/pointwise.cu."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...kernels.cuda.source import Kernel
from ..base import ACTIVATIONS, Array
from ..checks import FLOATS, require, require_activation, require_float
from .graph import refreshing
from .memory import GpuMemory, kernel_of

PACK = 4  # elements that a thread takes at once


class GpuPointwise(GpuMemory):
    """The pointwise part of the contract."""

    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, x=x)
        y = self._result(kind, out, x.shape, dtype)
        self._pointwise("activation_forward", (y, self._ordered(x)), dtype.type(slope), KIND=ACTIVATIONS.index(kind))
        return y

    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        require_activation("activation", kind)
        dtype = require_float(kind, dy=dy, y=y)
        require(kind, "dy", dy, y.shape, dtype)
        dx = self._result(kind, out, y.shape, dtype)
        arrays = (dx, self._ordered(dy), self._ordered(y))
        self._pointwise("activation_backward", arrays, dtype.type(slope), KIND=ACTIVATIONS.index(kind))
        return dx

    def dropout(self, x: Array, p: float, seed: int, *, out: Array | None = None) -> Array:
        dtype = require_float("dropout", x=x)
        if not 0 <= p < 1:
            raise ArgumentError(f"dropout: p must be at least 0 and below 1, got {p}")
        y = self._result("dropout", out, x.shape, dtype)
        # u = bits / 2^24 >= p, said in whole numbers; the product is exact.
        threshold = math.ceil(p * 2**24)
        drawn_from = self._numbers([seed % 2**64], "uint64")
        if refreshing():
            return y
        self._pointwise("dropout", (y, self._ordered(x)), drawn_from, dtype.type(1 / (1 - p)), threshold)
        return y

    def _pointwise(self, name: str, arrays: tuple[Array, ...], *numbers: Any, **defines: int) -> None:
        """Start a kernel that makes arrays[0] from the others, which have its size and type."""
        result = arrays[0]
        packs = result.size // PACK if self._aligned(*arrays) else 0
        args = (*arrays, *numbers, np.int64(packs))
        self._launch_flat("pointwise", name, result.size, args, dtype=result.dtype, width=PACK, **defines)


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    activations = [
        kernel_of("pointwise", name, dtype, KIND=kind)
        for name, dtype, kind in product(("activation_forward", "activation_backward"), FLOATS, range(len(ACTIVATIONS)))
    ]
    return activations + [kernel_of("pointwise", "dropout", dtype) for dtype in FLOATS]
