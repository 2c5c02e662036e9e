"""GoogLeNet (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv 1409.4842)."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..functional import concat, relu
from ..nn import Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, Module, ReLU, init
from .alexnet import local_response_norm
from .lecture_interface import LectureNetwork, start, true_or_false, whole_numbers
from .sizes import maps_after, scaled

# Table 1 of the paper: the six kernel counts of each inception module.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Inception(Module):
    """Four branches over the same maps, their outputs side by side: x (N, in_channels, H, W) to
    (N, n1x1 + n3x3 + n5x5 + n_pool, H, W).

        conv 1x1, n1x1
        conv 1x1, reduce3x3 - conv 3x3, n3x3
        conv 1x1, reduce5x5 - conv 5x5, n5x5
        max pool 3x3, stride 1 - conv 1x1, n_pool

    ReLU follows every convolution. The 1x1 convolutions before the larger ones are the bottlenecks: they leave few
    channels for the expensive filters to read.
    """

    def __init__(
        self, in_channels: int, n1x1: int, reduce3x3: int, n3x3: int, reduce5x5: int, n5x5: int, n_pool: int
    ) -> None:
        super().__init__()
        self.conv1x1 = Conv2d(in_channels, n1x1, 1)
        self.reduce3x3, self.conv3x3 = Conv2d(in_channels, reduce3x3, 1), Conv2d(reduce3x3, n3x3, 3, padding=1)
        self.reduce5x5, self.conv5x5 = Conv2d(in_channels, reduce5x5, 1), Conv2d(reduce5x5, n5x5, 5, padding=2)
        self.pool, self.projection = MaxPool2d(3, 1, padding=1), Conv2d(in_channels, n_pool, 1)
        self.out_channels = n1x1 + n3x3 + n5x5 + n_pool
        for _, layer in self.named_children():
            if isinstance(layer, Conv2d):
                start(layer, init.he)

    def forward(self, x: Any) -> Tensor:
        branches = [
            self.conv1x1(x),
            self.conv3x3(relu(self.reduce3x3(x))),
            self.conv5x5(relu(self.reduce5x5(x))),
            self.projection(self.pool(x)),
        ]
        return concat([relu(branch) for branch in branches], axis=1)


class GoogLeNet(LectureNetwork):
    """Two convolutional stages, nine inception modules, the mean of each map, one fully connected layer: 22 layers with
    weights on any path, and no others fully connected.

    Pools are 3x3 maxima with stride 2, their sizes rounded up. Left out are the paper's two auxiliary classifiers,
    which are attached while training only.

    input_dim: (C, H, W), at least 47 x 47. lrn: local response normalisation after the first pooling and before
    the second, as in the paper. width: a factor for every kernel count. dropout: the share of the means that is
    dropped. 6,998,552 parameters with 1000 classes, of which 5,973,552 are the convolutions'.
    """

    name = "googlenet"

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 224, 224), output_size: int = 1000, lrn: bool = False,
        width: float = 1.0, dropout: float = 0.4,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("GoogLeNet", "input_dim", input_dim, "C, H, W")
        self.config = {
            "input_dim": [C, H, W],
            "output_size": output_size,
            "lrn": true_or_false("GoogLeNet", "lrn", lrn),
            "width": width,
            "dropout": dropout,
        }
        N1, N2, N3 = scaled("GoogLeNet", width, (64, 64, 192))
        self.conv1, self.relu1, self.pool1 = Conv2d(C, N1, 7, 2, padding=3), ReLU(), MaxPool2d(3, 2, ceil_mode=True)
        if lrn:
            self.norm1 = local_response_norm()
        self.conv2, self.relu2 = Conv2d(N1, N2, 1), ReLU()
        self.conv3, self.relu3 = Conv2d(N2, N3, 3, padding=1), ReLU()
        if lrn:
            self.norm3 = local_response_norm()
        self.pool2 = MaxPool2d(3, 2, ceil_mode=True)
        for layer in (self.conv1, self.conv2, self.conv3):
            start(layer, init.he)
        channels = N3
        for name, counts in INCEPTIONS.items():
            module = Inception(channels, *scaled("GoogLeNet", width, counts))
            setattr(self, f"inception{name}", module)
            channels = module.out_channels
            if name in ("3b", "4e"):
                setattr(self, f"pool{name[0]}", MaxPool2d(3, 2, ceil_mode=True))
        maps_after("GoogLeNet", self.layers.values(), (C, H, W))
        self.average, self.flatten, self.dropout = GlobalAvgPool2d(), Flatten(), Dropout(dropout)
        self.output = Linear(channels, output_size)
        start(self.output, init.xavier)
