"""ZFNet (Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901)."""

from __future__ import annotations

from ..nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers
from .sizes import maps_after, scaled


class ZFNet(LectureNetwork):
    """AlexNet that looks closer: 7x7 filters with stride 2 first, and more filters in layers 3, 4 and 5.

    conv 7x7/2, 96 - pool - conv 5x5/2, 256 - pool - conv 3x3, 512 - 1024 - 512 - pool - 4096 - 4096 - classes. Pools
    are 3x3 maxima with stride 2, their sizes rounded up: 110, 55, 26, 13 and 6 for images of 224x224. ReLU follows
    every layer but the last, dropout each of the two fully connected ones before it.

    input_dim: (C, H, W), at least 63 x 63. filters: of layers 3, 4 and 5; (384, 384, 256) is the network of the
    paper's figure 3, the defaults its larger one. width: a factor for the number of filters and hidden units. dropout:
    the share that is dropped. 107,627,624 parameters; 62,357,608 in figure 3.
    """

    name = "zfnet"

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 224, 224), output_size: int = 1000,
        filters: tuple[int, int, int] = (512, 1024, 512), width: float = 1.0, dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("ZFNet", "input_dim", input_dim, "C, H, W")
        filters_345 = whole_numbers("ZFNet", "filters", filters, "filters of layer 3, 4, 5")
        self.config = {
            "input_dim": [C, H, W], "output_size": output_size, "filters": list(filters_345), "width": width,
            "dropout": dropout,
        }  # fmt: skip
        N1, N2, N3, N4, N5, F6, F7 = scaled("ZFNet", width, (96, 256, *filters_345, 4096, 4096))
        self.conv1, self.relu1, self.pool1 = Conv2d(C, N1, 7, 2, padding=1), ReLU(), MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.relu2, self.pool2 = Conv2d(N1, N2, 5, 2), ReLU(), MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.relu3 = Conv2d(N2, N3, 3, padding=1), ReLU()
        self.conv4, self.relu4 = Conv2d(N3, N4, 3, padding=1), ReLU()
        self.conv5, self.relu5, self.pool5 = Conv2d(N4, N5, 3, padding=1), ReLU(), MaxPool2d(3, 2)
        _, H5, W5 = maps_after("ZFNet", self.layers.values(), (C, H, W))
        self.flatten = Flatten()
        self.dense6, self.relu6, self.dropout6 = Linear(N5 * H5 * W5, F6), ReLU(), Dropout(dropout)
        self.dense7, self.relu7, self.dropout7 = Linear(F6, F7), ReLU(), Dropout(dropout)
        self.dense8 = Linear(F7, output_size)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.dense6, self.dense7):
            start(layer, init.he)
        start(self.dense8, init.xavier)
