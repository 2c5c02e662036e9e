"""Pooling: the maximum or the mean of a window."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor
from ..backends.base import Array, Backend
from ..geometry import Padding, Pool2dGeometry, Size2


class MaxPool2d(Function):
    """The largest element of each window."""

    name = "max_pool2d"

    def forward(self, be: Backend, x: Array, *, geometry: Pool2dGeometry) -> Array:
        y, argmax = be.max_pool2d_forward(x, geometry)
        self.save(argmax, geometry)
        return y

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        argmax, g = self.saved
        return (be.max_pool2d_backward(dy, argmax, g),)


class AvgPool2d(Function):
    """The mean of each window."""

    name = "avg_pool2d"

    def forward(self, be: Backend, x: Array, *, geometry: Pool2dGeometry) -> Array:
        self.save(geometry)
        return be.avg_pool2d_forward(x, geometry)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        (g,) = self.saved
        return (be.avg_pool2d_backward(dy, g),)


def max_pool2d(
    x: Any, kernel_size: Size2, stride: Size2 | None = None, padding: Padding = 0, dilation: Size2 = 1,
    ceil_mode: bool = False, *, strict: bool = False,
) -> Tensor:  # fmt: skip
    """The maximum of each window of x (N, C, H, W); the stride defaults to the kernel's size.

    Padding counts as minus infinity and never wins; a NaN in a window gives NaN; of equal values the first gets the
    gradient. ceil_mode rounds the output size up.
    """
    x = as_tensor(x)
    g = Pool2dGeometry.from_shape(
        x.shape, kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode, strict=strict
    )
    return MaxPool2d.apply(x, geometry=g)


def avg_pool2d(
    x: Any, kernel_size: Size2, stride: Size2 | None = None, padding: Padding = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, *, strict: bool = False,
) -> Tensor:  # fmt: skip
    """The mean of each window of x (N, C, H, W); the stride defaults to the kernel's size.

    count_include_pad: divide by all taps inside the padded input, else only by those inside the input.
    """
    x = as_tensor(x)
    g = Pool2dGeometry.from_shape(
        x.shape, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad, strict=strict,
    )  # fmt: skip
    return AvgPool2d.apply(x, geometry=g)


def global_avg_pool2d(x: Any) -> Tensor:
    """The mean of each map: x (N, C, H, W) to (N, C, 1, 1) (Lin, Chen & Yan, arXiv 1312.4400)."""
    x = as_tensor(x)
    return avg_pool2d(x, x.shape[2:])


def global_max_pool2d(x: Any) -> Tensor:
    """The maximum of each map: x (N, C, H, W) to (N, C, 1, 1)."""
    x = as_tensor(x)
    return max_pool2d(x, x.shape[2:])
