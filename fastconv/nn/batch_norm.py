"""Layers that normalise each channel over the batch."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor, as_tensors
from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from ..ops.batch_norm import batch_norm
from . import init
from .module import Buffer, Module, Parameter


class _BatchNorm(Module):
    axes: tuple[str, ...]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, dtype: Any = None
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        channels = whole_number(kind, "num_features", num_features)
        if channels < 1:
            raise ArgumentError(f"{kind}: num_features must be at least 1, got {channels}")
        if not isinstance(momentum, int | float) or not 0 <= momentum <= 1:
            raise ArgumentError(f"{kind}: momentum must be from 0 to 1, got {momentum!r}")
        if not isinstance(eps, int | float) or not eps >= 0:
            raise ArgumentError(f"{kind}: eps must be at least 0, got {eps!r}")
        self.eps, self.momentum = eps, momentum
        zeros, ones = init.zeros((channels,), dtype), init.ones((channels,), dtype)
        self.weight = Parameter(ones) if affine else None
        self.bias = Parameter(zeros) if affine else None
        self.running_mean, self.running_var = Buffer(zeros), Buffer(ones)

    def forward(self, x: Any) -> Tensor:
        x, _ = as_tensors(x, self.running_mean)
        if x.ndim != len(self.axes):
            raise ShapeError(f"{type(self).__name__}: x must be ({', '.join(self.axes)}), got shape {x.shape}")
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )

    def options(self) -> str:
        return f"{self.running_mean.size}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}"


class BatchNorm2d(_BatchNorm):
    """Each channel of images (N, num_features, H, W) with mean 0 and variance 1, then times weight, plus bias.

    While training, over the batch and the image, and running_mean and running_var move by `momentum` of the way towards
    that mean and variance; in evaluation mode with these two. weight starts as ones, bias as zeros; affine=False leaves
    both out (Ioffe & Szegedy, arXiv 1502.03167; PyTorch's names and defaults).
    """

    axes = ("N", "C", "H", "W")


class BatchNorm1d(_BatchNorm):
    """As BatchNorm2d, for rows (N, num_features)."""

    axes = ("N", "C")
