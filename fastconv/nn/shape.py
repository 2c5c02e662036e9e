"""Layers that only rearrange."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..ops.shape import flatten
from .module import Module


class Flatten(Module):
    """All axes from start_dim on as one: (N, 16, 5, 5) becomes (N, 400), in the order of [C, H, W]."""

    def __init__(self, start_dim: int = 1) -> None:
        super().__init__()
        self.start_dim = start_dim

    def forward(self, x: Any) -> Tensor:
        return flatten(x, self.start_dim)

    def options(self) -> str:
        return f"start_dim={self.start_dim}"


class Identity(Module):
    """Its input, unchanged."""

    def forward(self, x: Any) -> Any:
        return x
