"""ResNet (He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..autograd.tensor import Tensor
from ..functional import relu
from ..nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from .lecture_interface import LectureNetwork, start, whole_numbers
from .sizes import scaled

FILTERS = (64, 128, 256, 512)
Shortcut = Callable[[int, int, int], Module]  # of in_channels, out_channels, stride


def projection(in_channels: int, out_channels: int, stride: int) -> Module:
    """The shortcut past a block: x itself, or a 1x1 convolution of it where the block changes its shape (option B)."""
    if stride == 1 and in_channels == out_channels:
        return Identity()
    return Sequential(conv=Conv2d(in_channels, out_channels, 1, stride, bias=False), norm=BatchNorm2d(out_channels))


class BasicBlock(Module):
    """relu(shortcut(x) + F(x)), F two 3x3 convolutions, the first with the stride: (N, in_channels, H, W) to
    (N, channels, H / stride, W / stride).

    The sum lets the gradient pass the block unchanged. Batch normalisation follows each convolution, ReLU the first.
    shortcut: makes the module that x goes through, see `projection`.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, shortcut: Shortcut = projection) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(channels)
        self.shortcut = shortcut(in_channels, channels, stride)

    def forward(self, x: Any) -> Tensor:
        y = relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return relu(y + self.shortcut(x))


class Bottleneck(Module):
    """relu(shortcut(x) + F(x)), F a 1x1 convolution to few channels, a 3x3 one, and a 1x1 one to four times as many:
    (N, in_channels, H, W) to (N, 4 channels, H / stride, W / stride).

    Batch normalisation follows each convolution, ReLU the first two. The first has the stride, as in the authors' own
    models (PyTorch's give it to the second). shortcut: as BasicBlock's.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, shortcut: Shortcut = projection) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = Conv2d(in_channels, channels, 1, stride, bias=False)
        self.norm1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(channels)
        self.conv3 = Conv2d(channels, out_channels, 1, bias=False)
        self.norm3 = BatchNorm2d(out_channels)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Any) -> Tensor:
        y = relu(self.norm1(self.conv1(x)))
        y = relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return relu(y + self.shortcut(x))


class ResNet(LectureNetwork):
    """conv 7x7/2 - pool 3x3/2 - four stages of residual blocks - the mean of each map - classes (the paper's table 1).

    Images of 224x224 are pooled to 56x56 before the first block; each further stage begins with stride 2 and doubles
    the filters. Weights start as He et al. drew them; there is no dropout. What makes the variants is the kind and the
    number of blocks: see ResNet18, ResNet34, ResNet50, ResNet101 and ResNet152. The paper trains with batches of 256,
    momentum 0.9, weight decay 0.0001 and rate 0.1, divided by 10 when the error stops falling.

    input_dim: (C, H, W). width: a factor for the number of filters.
    """

    block: ClassVar[type[BasicBlock] | type[Bottleneck]]
    blocks: ClassVar[tuple[int, int, int, int]]

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 224, 224), output_size: int = 1000, width: float = 1.0
    ) -> None:
        super().__init__()
        C, H, W = whole_numbers(type(self).__name__, "input_dim", input_dim, "C, H, W")
        self.config = {"input_dim": [C, H, W], "output_size": output_size, "width": width}
        filters = scaled("ResNet", width, FILTERS)
        self.conv1, self.norm1, self.relu1 = (
            Conv2d(C, filters[0], 7, 2, padding=3, bias=False), BatchNorm2d(filters[0]), ReLU(),
        )  # fmt: skip
        self.pool1 = MaxPool2d(3, 2, padding=1)
        channels = filters[0]
        for stage, (count, maps) in enumerate(zip(self.blocks, filters, strict=True), start=2):
            for i in range(1, count + 1):
                stride = 2 if i == 1 and stage > 2 else 1
                setattr(self, f"conv{stage}_{i}", self.block(channels, maps, stride))
                channels = self.block.expansion * maps
        self.average, self.flatten = GlobalAvgPool2d(), Flatten()
        self.output = Linear(channels, output_size)
        start_residual(self)


def start_residual(network: Module) -> None:
    """Give every convolution He et al.'s first weights, and the last layer Xavier's."""
    for _, layer in network.named_modules():
        if isinstance(layer, Conv2d):
            start(layer, init.he)
        elif isinstance(layer, Linear):
            start(layer, init.xavier)


class ResNet18(ResNet):
    """2, 2, 2 and 2 basic blocks, 11,689,512 parameters. See ResNet."""

    name = "resnet18"
    block, blocks = BasicBlock, (2, 2, 2, 2)


class ResNet34(ResNet):
    """3, 4, 6 and 3 basic blocks, 21,797,672 parameters. See ResNet."""

    name = "resnet34"
    block, blocks = BasicBlock, (3, 4, 6, 3)


class ResNet50(ResNet):
    """3, 4, 6 and 3 bottlenecks, 25,557,032 parameters. See ResNet."""

    name = "resnet50"
    block, blocks = Bottleneck, (3, 4, 6, 3)


class ResNet101(ResNet):
    """3, 4, 23 and 3 bottlenecks, 44,549,160 parameters. See ResNet."""

    name = "resnet101"
    block, blocks = Bottleneck, (3, 4, 23, 3)


class ResNet152(ResNet):
    """3, 8, 36 and 3 bottlenecks, 60,192,808 parameters: ILSVRC 2015's winner. See ResNet."""

    name = "resnet152"
    block, blocks = Bottleneck, (3, 8, 36, 3)
