"""The fully connected (affine) map."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensors
from ..backends.base import Array, Backend
from ..errors import ShapeError


class Linear(Function):
    """y = x w^T + b"""

    name = "linear"

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return be.linear_forward(x, w, b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        x, w = self.saved
        return be.linear_backward(dy, x, w, needs_dx=self.needs_grad[0])


def linear(x: Any, w: Any, b: Any = None) -> Tensor:
    """y = x w^T + b with x (N, IN), w (OUT, IN) and b (OUT,) or None; returns (N, OUT)."""
    x, w, b = as_tensors(x, w, b)
    seen = f"x {x.shape} N,IN; w {w.shape} OUT,IN; b {None if b is None else b.shape} OUT"
    if x.ndim != 2 or w.ndim != 2:
        raise ShapeError(f"linear: x and w must have 2 axes; flatten images first  ({seen})")
    if x.shape[0] == 0:
        raise ShapeError(f"linear: the batch is empty  ({seen})")
    if x.shape[1] != w.shape[1]:
        raise ShapeError(f"linear: w expects {w.shape[1]} inputs, x has {x.shape[1]}  ({seen})")
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"linear: b must have shape ({w.shape[0]},)  ({seen})")
    return Linear.apply(x, w, b)
