"""The convolution layer."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..errors import ArgumentError, UnsupportedError
from ..geometry import Padding, Size2, pair, whole_number
from ..ops.conv2d import conv2d
from . import init
from .module import Module, Parameter, refuse_device


class Conv2d(Module):
    """Filters that slide over images: x (N, in_channels, H, W) to (N, out_channels, OH, OW).

    kernel_size, stride, dilation: a number or (height, width). padding: a number, (height, width), (top, bottom, left,
    right), 'same' or 'valid'. weight (out_channels, in_channels / groups, KH, KW) and bias (out_channels,) start
    uniform within 1 / sqrt(fan in), as in PyTorch.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size2, stride: Size2 = 1, padding: Padding = 0,
        dilation: Size2 = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_mode != "zeros":
            raise UnsupportedError(f"Conv2d: padding_mode {padding_mode!r} is not implemented; only 'zeros' is")
        refuse_device("Conv2d", device)
        in_channels, out_channels, groups = (
            whole_number("Conv2d", name, n)
            for name, n in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups))
        )
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"Conv2d: in_channels (={in_channels}) and out_channels (={out_channels}) must be positive multiples "
                f"of groups (={groups})"
            )
        KH, KW = pair("Conv2d", "kernel_size", kernel_size)
        if min(KH, KW) < 1:
            raise ArgumentError(f"Conv2d: kernel_size must be at least 1, got {(KH, KW)}")
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        fan_in = in_channels // groups * KH * KW
        self.weight = Parameter(init.uniform((out_channels, in_channels // groups, KH, KW), fan_in**-0.5, dtype))
        self.bias = Parameter(init.uniform((out_channels,), fan_in**-0.5, dtype)) if bias else None

    def filters(self) -> Tensor:
        """The filters (out_channels, in_channels / groups, KH, KW)."""
        return self.weight

    def forward(self, x: Any) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        N, _, OH, OW = y_shape
        return N * OH * OW * self.weight.size

    def options(self) -> str:
        OC, C, KH, KW = self.weight.shape
        return (
            f"{C * self.groups}, {OC}, kernel_size=({KH}, {KW}), stride={self.stride}, padding={self.padding!r}, "
            f"dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        )
