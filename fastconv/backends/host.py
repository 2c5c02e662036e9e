"""Arrays in the computer's main memory, channels-last under NCHW shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .base import Backend
from .checks import require, require_reshape, require_writeable

Array = npt.NDArray[Any]

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
PAGE = 4096
APART = 7 * ALIGNMENT  # from one large array's place in its page to the next one's: takes every line in turn

_turns = count()


class HostMemory(Backend):
    """The device functions of the contract for backends that compute on NumPy arrays."""

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        a = np.asarray(a, dtype)
        if a.ndim == 4:
            lying = a.transpose(0, 2, 3, 1)
            return a if lying.flags.c_contiguous else np.ascontiguousarray(lying).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(a).reshape(a.shape)  # NumPy makes (1,) of ()

    def to_numpy(self, a: Array) -> Array:
        return a

    def empty(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        return empty(shape, dtype)

    def zeros(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        a = empty(shape, dtype)
        a.fill(0)
        return a

    def reshape(self, a: Array, shape: Sequence[int], *, out: Array | None = None) -> Array:
        shape = require_reshape(a, shape)
        if out is None:
            return self.asarray(a.reshape(shape))
        result("reshape", out, shape, a.dtype)[...] = a.reshape(shape)
        return out

    def synchronize(self) -> None:
        pass


def empty(shape: Sequence[int], dtype: Any = "float32") -> Array:
    """Uninitialised memory from a cache line on; four axes are laid out channels-last."""
    dtype = np.dtype(dtype)
    flat = aligned(math.prod(shape) * dtype.itemsize).view(dtype)
    if len(shape) != 4:
        return flat.reshape(tuple(shape))
    n, c, h, w = shape
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Uninitialised bytes that start on a cache line, so that no vector of a kernel lies across two.

    Large arrays start on different lines of a page. The system hands out whole pages, and where a kernel reads one
    array and writes another at the same places of their pages, loads wait for stores that agree in the low 12 bits of
    the address (AMD Zen 5: depthwise forward of 1024 x 7 x 7 in 167 us, 114 with arrays apart).
    """
    apart = nbytes >= 16 * PAGE
    memory = np.empty(nbytes + (PAGE if apart else ALIGNMENT), np.uint8)
    address = memory.__array_interface__["data"][0]
    start = (next(_turns) * APART - address) % PAGE if apart else -address % ALIGNMENT
    return memory[start : start + nbytes]


def as_channels_last(a: Array) -> Array:
    """(N, C, H, W) seen as contiguous (N, H, W, C): without a copy where `a` already lies so."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1))


def as_flat(a: Array) -> Array:
    """The elements of `a` in the order of memory, as one axis; raises ShapeError where that would need a copy."""
    lying = a.transpose(0, 2, 3, 1) if a.ndim == 4 else a
    if not lying.flags.c_contiguous:
        raise ShapeError(f"an array of shape {a.shape} and strides {a.strides} does not lie channels-last in memory")
    return lying.reshape(-1)


def in_order(a: Array) -> Array:
    """The elements in the order of channels-last memory, as one axis, without a copy where they lie so."""
    return (as_channels_last(a) if a.ndim == 4 else np.ascontiguousarray(a)).reshape(-1)


def result(op: str, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """`out` after a check that the kernel can write to it, or fresh memory."""
    if out is None:
        return empty(shape, dtype)
    require(op, "out", out, shape, dtype)
    require_writeable(op, "out", out)
    as_flat(out)
    return out
