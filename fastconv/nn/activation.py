"""Activations as layers."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..errors import UnsupportedError
from ..ops import loss, pointwise
from .module import Module


class ReLU(Module):
    """0 for x < 0, x for x >= 0. inplace: as in PyTorch; the result is a new array all the same."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Any) -> Tensor:
        return pointwise.relu(x)


class LeakyReLU(Module):
    """negative_slope * x for x < 0, x for x >= 0. inplace: see ReLU."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return pointwise.leaky_relu(x, self.negative_slope)

    def options(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))"""

    def forward(self, x: Any) -> Tensor:
        return pointwise.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return pointwise.tanh(x)


class ScaledTanh(Module):
    """1.7159 tanh(2/3 x), which takes 1 to 1 and -1 to -1: the activation of LeNet-5 in 1998."""

    def forward(self, x: Any) -> Tensor:
        return pointwise.scaled_tanh(x)


class Softmax(Module):
    """Positive numbers that add up to 1 in each row of x (N, classes): along dim=1, the only one."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if dim not in (None, 1, -1):
            raise UnsupportedError(f"Softmax: only dim=1 is implemented, the classes of (N, classes); got {dim!r}")

    def forward(self, x: Any) -> Tensor:
        return loss.softmax(x)
