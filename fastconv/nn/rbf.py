"""Euclidean radial basis function units: how far an input is from each of some centers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.tensor import Tensor, as_tensors
from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from ..ops.linear import linear
from . import init
from .module import Buffer, Module, Parameter


class RBF(Module):
    """y_j = sum over i of (x_i - centers[j, i])^2: x (N, in_features) to (N, out_features); 0 is a perfect match.

    centers: (out_features, in_features), saved but not trained; None for trained ones that start at random -1 and 1.
    As scores of classes take -y: the nearest center's is the largest, and softmax makes probabilities of them.

    The output of LeNet-5 (LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, equation 7).
    """

    def __init__(self, in_features: int, out_features: int, centers: Any = None, dtype: Any = None) -> None:
        super().__init__()
        shape = whole_number("RBF", "out_features", out_features), whole_number("RBF", "in_features", in_features)
        if min(shape) < 1:
            raise ArgumentError(f"RBF: both sizes must be at least 1, got {in_features} and {out_features}")
        self.centers: Parameter | Buffer
        if centers is None:
            self.centers = Parameter(np.where(init.uniform(shape, 1, dtype) < 0, -1, 1).astype(dtype or "float32"))
        else:
            kind = init.zeros((), dtype).dtype
            try:
                self.centers = Buffer(np.asarray(centers, kind))
            except (TypeError, ValueError) as error:
                raise ArgumentError(f"RBF: centers must be an array of numbers of shape {shape}: {error}") from None
        if self.centers.shape != shape:
            raise ShapeError(f"RBF: centers must be (out_features, in_features), {shape}, got {self.centers.shape}")

    def forward(self, x: Any) -> Tensor:
        x, w = as_tensors(x, self.centers)
        if x.ndim != 2 or x.shape[1] != w.shape[1]:
            raise ShapeError(f"RBF: x must be (N, {w.shape[1]}), got shape {x.shape}")
        # |x - w|^2 = |x|^2 - 2 x.w + |w|^2
        return (x * x).sum(1, keepdims=True) - linear(x, w) * 2.0 + (w * w).sum(1)

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return x_shape[0] * self.centers.size

    def options(self) -> str:
        OUT, IN = self.centers.shape
        return f"{IN}, {OUT}, centers {'trained' if self.centers.requires_grad else 'fixed'}"
