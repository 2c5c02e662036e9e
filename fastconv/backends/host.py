"""Arrays in the computer's main memory, channels-last under NCHW shapes, and the checks before a kernel sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, DTypeError, ShapeError
from .base import ACTIVATIONS, Backend

Array = npt.NDArray[Any]

DIRECTIONS = ("forward", "backward_data", "backward_weight")
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
FLOATS = (np.dtype("float32"), np.dtype("float64"))


class HostMemory(Backend):
    """The device functions of the contract for backends that compute on NumPy arrays."""

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        a = np.asarray(a, dtype)
        if a.ndim == 4:
            return as_channels_last(a).transpose(0, 3, 1, 2)
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
    """Uninitialised bytes that start on a cache line, so that no vector of a kernel lies across two."""
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
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


def result(op: str, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """`out` after a check that the kernel can write to it, or fresh memory."""
    if out is None:
        return empty(shape, dtype)
    require(op, "out", out, shape, dtype)
    require_writeable(op, "out", out)
    as_flat(out)
    return out


def require_reshape(a: Array, shape: Sequence[int]) -> tuple[int, ...]:
    """`shape` with a -1 filled in, if it holds as many elements as `a`."""
    shape = tuple(shape)
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known and a.size % known == 0:
        shape = tuple(a.size // known if n == -1 else n for n in shape)
    if math.prod(shape) != a.size or min(shape, default=0) < 0:
        raise ShapeError(f"reshape: {a.size} elements of shape {tuple(a.shape)} do not fit {shape}")
    return shape


def require(op: str, name: str, a: Array, shape: Sequence[int], dtype: Any) -> None:
    """Raise unless `a` has this shape and type: kernels do not check bounds."""
    if tuple(a.shape) != tuple(shape):
        raise ShapeError(f"{op}: {name} must have shape {tuple(shape)}, got {tuple(a.shape)}")
    if a.dtype != dtype:
        raise DTypeError(f"{op}: {name} must be {np.dtype(dtype)}, got {a.dtype}; convert it first")


def require_float(op: str, **arrays: Array | None) -> np.dtype[Any]:
    """The one floating type that all arrays share."""
    given = {name: a.dtype for name, a in arrays.items() if a is not None}
    kinds = set(given.values())
    if len(kinds) != 1 or not kinds <= set(FLOATS):
        listed = ", ".join(f"{name} {dtype}" for name, dtype in given.items())
        raise DTypeError(f"{op}: all arrays must be float32 or all float64, got {listed}; convert them first")
    return kinds.pop()


def require_activation(op: str, kind: str | None) -> None:
    """Raise ArgumentError for an activation that no backend has."""
    if kind is not None and kind not in ACTIVATIONS:
        raise ArgumentError(f"{op}: activation must be one of {', '.join(ACTIVATIONS)}, got {kind!r}")


def require_direction(direction: str) -> None:
    """Raise ArgumentError for a pass that convolution does not have."""
    if direction not in DIRECTIONS:
        raise ArgumentError(f"explain: direction must be one of {', '.join(DIRECTIONS)}, got {direction!r}")


def require_labels(op: str, labels: Array, n: int, classes: int) -> None:
    """Raise unless `labels` are n whole numbers from 0 to classes - 1."""
    if labels.shape != (n,):
        raise ShapeError(f"{op}: labels must have shape ({n},), one per row of the logits, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{op}: labels must be whole numbers, got {labels.dtype}")
    if n and not (labels.min() >= 0 and labels.max() < classes):
        raise ArgumentError(f"{op}: labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def require_rows(op: str, name: str, a: Array, labels: Array) -> None:
    """Raise unless `a` is (N, classes), with one label for each row."""
    if a.ndim != 2 or 0 in a.shape:
        raise ShapeError(f"{op}: {name} must have shape (N, classes) with at least one of each, got {a.shape}")
    require_labels(op, labels, *a.shape)


def require_product(a: Array, b: Array, trans_a: bool, trans_b: bool) -> tuple[int, int]:
    """The shape (M, N) of a (M, K) times b (K, N), each transposed first where asked."""
    for name, m in (("a", a), ("b", b)):
        if m.ndim != 2:
            raise ShapeError(f"matmul: {name} must have 2 axes, got shape {m.shape}")
    left, right = a.shape[::-1] if trans_a else a.shape, b.shape[::-1] if trans_b else b.shape
    if left[1] != right[0]:
        raise ShapeError(
            f"matmul: the inner sizes differ: {left} times {right}  "
            f"(a {a.shape}, trans_a={trans_a}; b {b.shape}, trans_b={trans_b})"
        )
    return left[0], right[1]


def require_linear(op: str, x: Array, w: Array) -> None:
    """Raise unless x is (N, IN) and w is (OUT, IN)."""
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"{op}: x must be (N, IN) and w (OUT, IN) with one IN, got x {x.shape} and w {w.shape}")
    if x.shape[0] == 0:
        raise ShapeError(f"{op}: an empty batch cannot be computed: skip it  (x {x.shape}; w {w.shape})")


def require_step(op: str, params: Sequence[Array], grads: Sequence[Array], *states: Sequence[Array]) -> None:
    """Raise unless every parameter has a gradient and states of its shape, all of one type, and can be written to."""
    for arrays in (grads, *states):
        if len(arrays) != len(params):
            raise ArgumentError(f"{op}: {len(params)} parameters need as many gradients and states, got {len(arrays)}")
    if not params:
        return
    dtype = require_float(op, **{f"parameter {i}": p for i, p in enumerate(params)})
    for i, p in enumerate(params):
        require(op, f"gradient {i}", grads[i], p.shape, dtype)
        for state in states:
            require(op, f"state {i}", state[i], p.shape, dtype)
        for a in (p, *(state[i] for state in states)):
            require_writeable(op, f"parameter {i} or its state", a)


def require_writeable(op: str, name: str, a: Array) -> None:
    """Raise for memory that NumPy protects: kernels would write to it all the same."""
    if not a.flags.writeable:
        raise ArgumentError(f"{op}: {name} is read-only; hand over a copy")
