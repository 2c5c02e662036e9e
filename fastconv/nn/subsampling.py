"""Trainable subsampling, the pooling of LeNet-5 in 1998."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..geometry import Size2, pair, whole_number
from ..ops.conv2d import conv2d
from ..ops.pool2d import avg_pool2d
from . import init
from .module import Module, Parameter


class Subsampling2d(Module):
    """weight[c] * (the sum of each window) + bias[c]: x (N, channels, H, W) to (N, channels, OH, OW).

    One weight and one bias a map: 2 * channels parameters. The weights start at 1 / window, so that the layer starts as
    average pooling, and the biases at 0. The stride defaults to the kernel's size.

    S2 and S4 of LeNet-5 (LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, section II.B), where an
    activation follows.
    """

    def __init__(self, channels: int, kernel_size: Size2 = 2, stride: Size2 | None = None, dtype: Any = None) -> None:
        super().__init__()
        self.channels = whole_number("Subsampling2d", "channels", channels)
        KH, KW = pair("Subsampling2d", "kernel_size", kernel_size)
        if min(self.channels, KH, KW) < 1:
            raise ArgumentError(
                f"Subsampling2d: channels and kernel_size must be at least 1, got {channels} and {kernel_size}"
            )
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.window = KH * KW
        self.weight = Parameter(init.ones((self.channels,), dtype) / self.window)
        self.bias = Parameter(init.zeros((self.channels,), dtype))

    def forward(self, x: Any) -> Tensor:
        means = avg_pool2d(x, self.kernel_size, self.stride)
        per_map = self.weight.reshape(self.channels, 1, 1, 1) * self.window  # mean * window is the sum
        return conv2d(means, per_map, self.bias, groups=self.channels)

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        N, C, OH, OW = y_shape
        return N * C * OH * OW

    def options(self) -> str:
        return f"{self.channels}, kernel_size={self.kernel_size}, stride={self.stride}"
