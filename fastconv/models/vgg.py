"""VGG (Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556)."""

from __future__ import annotations

from typing import ClassVar

from ..errors import ArgumentError, ShapeError
from ..nn import Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers
from .sizes import scaled

FILTERS = (64, 128, 256, 512, 512)


class VGG(LectureNetwork):
    """Five blocks of 3x3 convolutions with padding 1, each with a 2x2 maximum after it; then 4096 - 4096 - classes.

    ReLU follows every layer but the last, dropout each of the two fully connected ones before it. What makes the
    variants is the number of convolutions in each block: see VGG11, VGG13, VGG16 and VGG19 (the paper's A, B, D and E;
    the numbers count the layers with weights).

    input_dim: (C, H, W), at least 32 x 32. head: 'linear', the paper's fully connected layers, or 'average', which
    takes each map's mean and one fully connected layer instead. width: a factor for the number of filters and hidden
    units. dropout: the share that is dropped.
    """

    convolutions: ClassVar[tuple[int, ...]]

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 224, 224), output_size: int = 1000, head: str = "linear",
        width: float = 1.0, dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers(type(self).__name__, "input_dim", input_dim, "C, H, W")
        if min(H, W) < 32:
            raise ShapeError(f"VGG: five poolings need images of 32x32 or more, input_dim is {(C, H, W)}")
        if head not in ("linear", "average"):
            raise ArgumentError(f"VGG: head must be 'linear' or 'average', got {head!r}")
        self.config = {
            "input_dim": [C, H, W], "output_size": output_size, "head": head, "width": width, "dropout": dropout,
        }  # fmt: skip
        for block, filters in enumerate(scaled("VGG", width, FILTERS), start=1):
            for i in range(1, self.convolutions[block - 1] + 1):
                conv = Conv2d(C, filters, 3, padding=1)
                start(conv, init.he)
                setattr(self, f"conv{block}_{i}", conv)
                setattr(self, f"relu{block}_{i}", ReLU())
                C = filters
            setattr(self, f"pool{block}", MaxPool2d(2, 2))
        if head == "average":
            self.average, self.flatten = GlobalAvgPool2d(), Flatten()
        else:
            F6, F7 = scaled("VGG", width, (4096, 4096))
            self.flatten = Flatten()
            self.dense6, self.relu6, self.dropout6 = Linear(C * (H // 32) * (W // 32), F6), ReLU(), Dropout(dropout)
            self.dense7, self.relu7, self.dropout7 = Linear(F6, F7), ReLU(), Dropout(dropout)
            start(self.dense6, init.he)
            start(self.dense7, init.he)
            C = F7
        self.output = Linear(C, output_size)
        start(self.output, init.xavier)


class VGG11(VGG):
    """The paper's network A: 1, 1, 2, 2 and 2 convolutions, 132,863,336 parameters. See VGG."""

    name = "vgg11"
    convolutions = (1, 1, 2, 2, 2)


class VGG13(VGG):
    """The paper's network B: 2, 2, 2, 2 and 2 convolutions, 133,047,848 parameters. See VGG."""

    name = "vgg13"
    convolutions = (2, 2, 2, 2, 2)


class VGG16(VGG):
    """The paper's network D: 2, 2, 3, 3 and 3 convolutions, 138,357,544 parameters. See VGG."""

    name = "vgg16"
    convolutions = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """The paper's network E: 2, 2, 4, 4 and 4 convolutions, 143,667,240 parameters. See VGG."""

    name = "vgg19"
    convolutions = (2, 2, 4, 4, 4)
