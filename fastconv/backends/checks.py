"""The checks before a kernel sees an array: kernels check no bounds. They read shapes and types only, so that they
hold for the arrays of every device; `require_labels` reads values and is for the host's memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..geometry import Conv2dGeometry
from .base import ACTIVATIONS

Array = Any  # numpy.ndarray or cupy.ndarray

DIRECTIONS = ("forward", "backward_data", "backward_weight")
FLOATS = (np.dtype("float32"), np.dtype("float64"))


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


def require_channels(op: str, **arrays: Array) -> np.dtype[Any]:
    """The one floating type of arrays of one shape, (N, C, H, W) or (N, C), with at least one channel."""
    dtype = require_float(op, **arrays)
    *others, (name, x) = arrays.items()
    if x.ndim not in (2, 4) or not x.shape[1]:
        raise ShapeError(f"{op}: {name} must be (N, C, H, W) or (N, C) with at least one channel, got {tuple(x.shape)}")
    for other, a in others:
        require(op, other, a, x.shape, dtype)
    return dtype


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
    _require_label_shapes(op, labels, n)
    if n and not (labels.min() >= 0 and labels.max() < classes):
        raise ArgumentError(f"{op}: labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def _require_label_shapes(op: str, labels: Array, n: int) -> None:
    if labels.shape != (n,):
        raise ShapeError(f"{op}: labels must have shape ({n},), one per row of the logits, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{op}: labels must be whole numbers, got {labels.dtype}")


def require_rows(op: str, name: str, a: Array, labels: Array) -> None:
    """Raise unless `a` is (N, classes), with a label from 0 to classes - 1 for each row."""
    require_row_shapes(op, name, a, labels)
    require_labels(op, labels, *a.shape)


def require_row_shapes(op: str, name: str, a: Array, labels: Array) -> None:
    """As require_rows, without a look at the labels' values, which would wait for a GPU."""
    if a.ndim != 2 or 0 in a.shape:
        raise ShapeError(f"{op}: {name} must have shape (N, classes) with at least one of each, got {a.shape}")
    _require_label_shapes(op, labels, len(a))


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


def require_conv2d(op: str, g: Conv2dGeometry, **arrays: Array | None) -> np.dtype[Any]:
    """The one floating type of a convolution's arrays (x, w, b, dy), each of the shape that `g` gives it."""
    dtype = require_float(op, **arrays)
    shapes = {"x": g.x_shape, "w": g.w_shape, "b": (g.OC,), "dy": g.y_shape}
    for name, a in arrays.items():
        if a is not None:
            require(op, name, a, shapes[name], dtype)
    return dtype


def require_batch_norm(
    op: str, x: Array, *, dy: Array | None = None, batch_statistics: bool = False, **channels: Array | None
) -> np.dtype[Any]:
    """The one floating type of x (N, C) or (N, C, H, W), dy of its shape, and arrays (C,).

    batch_statistics: they are taken from x, which must have more than one element of a channel.
    """
    dtype = require_float(op, x=x, dy=dy, **channels)
    if x.ndim not in (2, 4) or x.size == 0:
        raise ShapeError(f"{op}: x must be (N, C) or (N, C, H, W) with at least one element, got {tuple(x.shape)}")
    C = x.shape[1]
    if batch_statistics and x.size == C:
        raise ShapeError(
            f"{op}: one element of a channel has no variance: use larger batches, or model.eval()  (x {tuple(x.shape)})"
        )
    if dy is not None:
        require(op, "dy", dy, x.shape, dtype)
    for name, a in channels.items():
        if a is not None and tuple(a.shape) != (C,):
            raise ShapeError(f"{op}: {name} must have shape ({C},), got {tuple(a.shape)}  (x {tuple(x.shape)})")
    return dtype


def require_linear(op: str, x: Array, w: Array, *, b: Array | None = None, dy: Array | None = None) -> np.dtype[Any]:
    """The one floating type of x (N, IN), w (OUT, IN), b (OUT) and dy (N, OUT)."""
    dtype = require_float(op, x=x, w=w, b=b, dy=dy)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"{op}: x must be (N, IN) and w (OUT, IN) with one IN, got x {x.shape} and w {w.shape}")
    if x.shape[0] == 0:
        raise ShapeError(f"{op}: an empty batch cannot be computed: skip it  (x {x.shape}; w {w.shape})")
    if b is not None:
        require(op, "b", b, w.shape[:1], dtype)
    if dy is not None:
        require(op, "dy", dy, (x.shape[0], w.shape[0]), dtype)
    return dtype


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
    """Raise for memory that NumPy protects: kernels would write to it all the same. A GPU's is never protected."""
    if not getattr(a.flags, "writeable", True):
        raise ArgumentError(f"{op}: {name} is read-only; hand over a copy")
