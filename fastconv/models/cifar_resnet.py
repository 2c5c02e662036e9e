"""ResNet for CIFAR-10 (He, Zhang, Ren & Sun, arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..autograd.tensor import Tensor
from ..functional import avg_pool2d, concat
from ..nn import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Identity, Linear, Module, ReLU
from .lecture_interface import LectureNetwork, whole_numbers
from .resnet import BasicBlock, start_residual
from .sizes import scaled


class ZeroPadding(Module):
    """A shortcut without parameters (option A): every stride-th pixel of x, and maps of zeros for the new channels."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Any) -> Tensor:
        x = avg_pool2d(x, 1, self.stride)
        N, _, H, W = x.shape
        return concat([x, x.constant(np.zeros((N, self.new_channels, H, W)))], axis=1)

    def options(self) -> str:
        return f"{self.new_channels}, stride={self.stride}"


def zero_padding(in_channels: int, out_channels: int, stride: int) -> Module:
    """The shortcut past a block: x itself, or its `ZeroPadding` where the block changes its shape."""
    if stride == 1 and in_channels == out_channels:
        return Identity()
    return ZeroPadding(out_channels - in_channels, stride)


class CifarResNet(LectureNetwork):
    """conv 3x3 - three stages of basic blocks with 16, 32 and 64 filters - the mean of each map - classes.

    With n blocks a stage there are 6n + 2 layers with weights. The second and third stage begin with stride 2: 32x32,
    16x16, 8x8. The paper trains with batches of 128, momentum 0.9, weight decay 0.0001 and rate 0.1, divided by 10
    after 32,000 and 48,000 of 64,000 steps, on images that are flipped and shifted by up to 4 pixels; test errors 8.75,
    7.51, 7.17, 6.97 and 6.43 % with 20, 32, 44, 56 and 110 layers.

    input_dim: (C, H, W). width: a factor for the number of filters.
    """

    blocks: ClassVar[int]

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 32, 32), output_size: int = 10, width: float = 1.0
    ) -> None:
        super().__init__()
        C, H, W = whole_numbers(type(self).__name__, "input_dim", input_dim, "C, H, W")
        self.config = {"input_dim": [C, H, W], "output_size": output_size, "width": width}
        filters = scaled("CifarResNet", width, (16, 32, 64))
        channels = filters[0]
        self.conv1, self.norm1, self.relu1 = (
            Conv2d(C, channels, 3, padding=1, bias=False), BatchNorm2d(channels), ReLU(),
        )  # fmt: skip
        for stage, maps in enumerate(filters, start=2):
            for i in range(1, self.blocks + 1):
                stride = 2 if i == 1 and stage > 2 else 1
                setattr(self, f"conv{stage}_{i}", BasicBlock(channels, maps, stride, zero_padding))
                channels = maps
        self.average, self.flatten = GlobalAvgPool2d(), Flatten()
        self.output = Linear(channels, output_size)
        start_residual(self)


class ResNet20(CifarResNet):
    """Three blocks a stage, 269,722 parameters. See CifarResNet."""

    name, blocks = "resnet20", 3


class ResNet32(CifarResNet):
    """Five blocks a stage, 464,154 parameters. See CifarResNet."""

    name, blocks = "resnet32", 5


class ResNet44(CifarResNet):
    """Seven blocks a stage, 658,586 parameters. See CifarResNet."""

    name, blocks = "resnet44", 7


class ResNet56(CifarResNet):
    """Nine blocks a stage, 853,018 parameters. See CifarResNet."""

    name, blocks = "resnet56", 9


class ResNet110(CifarResNet):
    """Eighteen blocks a stage, 1,727,962 parameters. See CifarResNet."""

    name, blocks = "resnet110", 18
