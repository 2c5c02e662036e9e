"""Layers that act while training only."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..ops.dropout import dropout
from .module import Module


class Dropout(Module):
    """In training mode each element becomes 0 with probability p, else is scaled by 1 / (1 - p).

    inplace: as in PyTorch; the result is a new array all the same.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not isinstance(p, Real) or not 0 <= p < 1:
            raise ArgumentError(f"Dropout: p must be at least 0 and below 1, got {p!r}")
        self.p: float = p

    def forward(self, x: Any) -> Tensor:
        return dropout(x, self.p, self.training)

    def options(self) -> str:
        return f"p={self.p}"
