"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..geometry import whole_number
from ..ops.linear import linear
from . import init
from .module import Module, Parameter, refuse_device


class Linear(Module):
    """y = x weight^T + bias: x (N, in_features) to (N, out_features).

    weight (out_features, in_features) and bias (out_features,) start uniform within 1 / sqrt(in_features).
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: None = None, dtype: Any = None
    ) -> None:
        super().__init__()
        refuse_device("Linear", device)
        in_features = whole_number("Linear", "in_features", in_features)
        out_features = whole_number("Linear", "out_features", out_features)
        if min(in_features, out_features) < 1:
            raise ArgumentError(f"Linear: both sizes must be at least 1, got {in_features} and {out_features}")
        self.weight = Parameter(init.uniform((out_features, in_features), in_features**-0.5, dtype))
        self.bias = Parameter(init.uniform((out_features,), in_features**-0.5, dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return linear(x, self.weight, self.bias)

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return x_shape[0] * self.weight.size

    def options(self) -> str:
        OUT, IN = self.weight.shape
        return f"{IN}, {OUT}, bias={self.bias is not None}"
