"""Operations that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor, as_tensors
from ..backends.base import Array, Backend, along
from ..errors import ArgumentError, ShapeError
from ..geometry import Padding
from ..geometry.options import frozen


class Concat(Function):
    """Arrays side by side along one axis."""

    name = "concat"

    def forward(self, be: Backend, *arrays: Array, axis: int) -> Array:
        self.save(axis, [a.shape[axis] for a in arrays])
        return be.concat(arrays, axis)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        axis, sizes = self.saved
        return tuple(be.asarray(part) for part in along(dy, axis, sizes))


def concat(tensors: Sequence[Any], axis: int = 1) -> Tensor:
    """Tensors side by side along `axis`; along the channels (1) it is an inception module's depth concatenation."""
    parts = as_tensors(*tensors)
    if not parts:
        raise ArgumentError("concat: at least one tensor is needed")
    first = parts[0].shape
    if not -len(first) <= axis < len(first):
        raise ArgumentError(f"concat: axis {axis} is out of range for shape {first}")
    axis %= len(first)
    if any(p.shape[:axis] + p.shape[axis + 1 :] != first[:axis] + first[axis + 1 :] for p in parts):
        shapes = ", ".join(str(p.shape) for p in parts)
        raise ShapeError(f"concat: all sizes except along axis {axis} must agree, got {shapes}")
    return Concat.apply(*parts, axis=axis)


def pad(x: Any, padding: Padding, value: float = 0.0) -> Tensor:
    """Rows and columns of `value` around the images x (N, C, H, W).

    padding: a number, (height, width) or (top, bottom, left, right). Convolution pads with zeros by itself.

    Raises:
        ShapeError, ArgumentError: x has other than 4 axes, or the padding is negative or none.
    """
    x = as_tensor(x)
    if x.ndim != 4:
        raise ShapeError(f"pad: x must be (N, C, H, W), got {x.shape}")
    for axis, before, after in _borders(padding):
        if before:
            x = concat([_filled(x, axis, before, value), x], axis)
        if after:
            x = concat([x, _filled(x, axis, after, value)], axis)
    return x


def _filled(x: Tensor, axis: int, count: int, value: float) -> Tensor:
    """A block of `value`, as large as x but for `count` along `axis`."""
    return x.constant(np.full((*x.shape[:axis], count, *x.shape[axis + 1 :]), value))


def _borders(padding: Any) -> list[tuple[int, int, int]]:
    """(axis, how many before, how many after) for the rows and the columns."""
    sides = frozen("pad", "padding", padding)
    if isinstance(sides, int):
        sides = (sides, sides)
    if isinstance(sides, tuple) and len(sides) == 2:
        sides = (sides[0], sides[0], sides[1], sides[1])
    if not isinstance(sides, tuple) or len(sides) != 4 or min(sides) < 0:
        raise ArgumentError(f"pad: padding must be 1, 2 or 4 whole numbers from 0, got {padding!r}")
    return [(2, sides[0], sides[1]), (3, sides[2], sides[3])]


def reshape(x: Any, shape: Sequence[int]) -> Tensor:
    """The same elements, in the order of the logical indices, under another shape; one size may be -1."""
    return as_tensor(x).reshape(tuple(shape))


def flatten(x: Any, start_dim: int = 1) -> Tensor:
    """All axes from `start_dim` on as one, in the order of [C, H, W]: (N, 16, 5, 5) becomes (N, 400)."""
    x = as_tensor(x)
    return x.reshape((*x.shape[:start_dim], -1))
