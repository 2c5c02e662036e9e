"""Operations that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor, as_tensors
from ..backends.base import Array, Backend, along
from ..errors import ArgumentError, ShapeError


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


def flatten(x: Any, start_dim: int = 1) -> Tensor:
    """All axes from `start_dim` on as one, in the order of [C, H, W]: (N, 16, 5, 5) becomes (N, 400)."""
    x = as_tensor(x)
    return x.reshape((*x.shape[:start_dim], -1))
