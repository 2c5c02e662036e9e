"""Pooling layers; they have no parameters."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError, UnsupportedError
from ..geometry import Padding, Size2, whole_number
from ..ops.k_max import k_max_pool
from ..ops.pool2d import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d
from .module import Module


class MaxPool2d(Module):
    """The maximum of each window: x (N, C, H, W) to (N, C, OH, OW); the stride defaults to the kernel's size."""

    def __init__(
        self, kernel_size: Size2, stride: Size2 | None = None, padding: Padding = 0, dilation: Size2 = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if return_indices:
            raise UnsupportedError("MaxPool2d: return_indices is not implemented")
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Any) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def options(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: x (N, C, H, W) to (N, C, OH, OW); the stride defaults to the kernel's size."""

    def __init__(
        self, kernel_size: Size2, stride: Size2 | None = None, padding: Padding = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if divisor_override is not None:
            raise UnsupportedError("AvgPool2d: divisor_override is not implemented")
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad

    def forward(self, x: Any) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def options(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, "
            f"ceil_mode={self.ceil_mode}, count_include_pad={self.count_include_pad}"
        )


class GlobalMaxPool2d(Module):
    """The maximum of each map: (N, C, H, W) to (N, C, 1, 1)."""

    def forward(self, x: Any) -> Tensor:
        return global_max_pool2d(x)


class GlobalAvgPool2d(Module):
    """The mean of each map: (N, C, H, W) to (N, C, 1, 1)."""

    def forward(self, x: Any) -> Tensor:
        return global_avg_pool2d(x)


class KMaxPool(Module):
    """The k largest values along an axis, in their original order (Kalchbrenner et al., arXiv 1404.2188, section 3.2).

    With the last axis, as in the paper, each row of a map is pooled: (N, C, H, W) to (N, C, H, k).
    """

    def __init__(self, k: int, axis: int = -1) -> None:
        super().__init__()
        if whole_number("KMaxPool", "k", k) < 1:
            raise ArgumentError(f"KMaxPool: k must be at least 1, got {k}")
        self.k, self.axis = k, whole_number("KMaxPool", "axis", axis)

    def forward(self, x: Any) -> Tensor:
        return k_max_pool(x, self.k, self.axis)

    def options(self) -> str:
        return f"k={self.k}, axis={self.axis}"
