"""What k-max pooling asks of its arrays on every backend, and how its rows lie in memory."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from .checks import require, require_float

Array = Any  # numpy.ndarray or cupy.ndarray

PLACE = "int32"
MOST = 2**31 - 1


def require_k_max(x: Array, k: int, axis: int) -> tuple[Any, tuple[int, ...], int]:
    """The floating type of x, the shape of the result, and the axis counted from the first."""
    dtype = require_float("k_max", x=x)
    axis = _axis("k_max", x, axis)
    if whole_number("k_max", "k", k) < 1:
        raise ArgumentError(f"k_max: k must be at least 1, got {k}  (x {tuple(x.shape)})")
    if not k <= x.shape[axis] <= MOST:
        raise ShapeError(
            f"k_max: {k} values cannot be taken from {x.shape[axis]}  (x {tuple(x.shape)}, k={k}, axis={axis})"
        )
    return dtype, (*x.shape[:axis], k, *x.shape[axis + 1 :]), axis


def require_k_max_backward(dy: Array, places: Array, size: int, axis: int) -> tuple[Any, tuple[int, ...], int]:
    """The floating type of dy, the shape of dx, and the axis counted from the first."""
    op = "k_max_backward"
    dtype = require_float(op, dy=dy)
    require(op, "places", places, dy.shape, PLACE)
    axis = _axis(op, dy, axis)
    if not dy.shape[axis] <= size <= MOST:
        raise ShapeError(
            f"{op}: {dy.shape[axis]} values cannot come from {size}  (dy {tuple(dy.shape)}, size={size}, axis={axis})"
        )
    return dtype, (*dy.shape[:axis], size, *dy.shape[axis + 1 :]), axis


def rows_in_memory(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    """How many blocks of memory have rows along `axis`, and how many rows lie side by side in each."""
    lying = tuple(shape)
    if len(lying) == 4:
        n, c, h, w = lying
        lying, axis = (n, h, w, c), (0, 3, 1, 2)[axis]
    return math.prod(lying[:axis]), math.prod(lying[axis + 1 :])


def _axis(op: str, a: Array, axis: int) -> int:
    if not -a.ndim <= whole_number(op, "axis", axis) < a.ndim:
        raise ArgumentError(f"{op}: there is no axis {axis} in an array of {a.ndim} axes  (shape {tuple(a.shape)})")
    return axis % a.ndim
