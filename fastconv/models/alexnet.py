"""AlexNet (Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012)."""

from __future__ import annotations

from ..errors import ArgumentError
from ..geometry import whole_number
from ..nn import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU, init
from .lecture_interface import LectureNetwork, start, true_or_false, whole_numbers
from .sizes import maps_after, scaled


def local_response_norm() -> LocalResponseNorm:
    """The normalisation of the paper's section 3.3, whose alpha is 0.0001 for each of the five maps."""
    return LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


class AlexNet(LectureNetwork):
    """conv 11x11/4 - pool - conv 5x5 - pool - 3 x conv 3x3 - pool - 4096 - 4096 - classes.

    Pools are 3x3 maxima with stride 2, so that they overlap; ReLU follows every layer but the last, dropout each of the
    two fully connected ones before it. Layers bear the numbers of the lectures' table: C1, S2, C3, S4, C5, C6, C7, S8,
    F9, F10 and the output. The paper trains with batches of 128, momentum 0.9, rate 0.01 and weight decay 0.0005.

    input_dim: (C, H, W). stride: that of the first convolution; with 1 images of 32x32 are large enough. groups: 2
    splits C3, C6 and C7 in halves that do not see each other, as the paper's two GPUs did. lrn: local response
    normalisation after the first two ReLUs, as in the paper; it went out of use. width: a factor for the number of
    filters and hidden units. dropout: the share that is dropped.
    62,378,344 parameters as in the lectures' table, 60,965,224 with two groups.
    """

    name = "alexnet"

    def __init__(
        self, input_dim: tuple[int, int, int] = (3, 227, 227), output_size: int = 1000, stride: int = 4,
        groups: int = 1, lrn: bool = False, width: float = 1.0, dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("AlexNet", "input_dim", input_dim, "C, H, W")
        if whole_number("AlexNet", "groups", groups) < 1:
            raise ArgumentError(f"AlexNet: groups must be at least 1, got {groups}")
        self.config = {
            "input_dim": [C, H, W], "output_size": output_size, "stride": stride, "groups": groups,
            "lrn": true_or_false("AlexNet", "lrn", lrn), "width": width, "dropout": dropout,
        }  # fmt: skip
        N1, N3, N5, N6, N7 = scaled("AlexNet", width, (96, 256, 384, 384, 256), multiple_of=groups)
        F9, F10 = scaled("AlexNet", width, (4096, 4096))
        self.c1, self.relu1 = Conv2d(C, N1, 11, stride), ReLU()
        if lrn:
            self.norm1 = local_response_norm()
        self.s2 = MaxPool2d(3, 2)
        self.c3, self.relu3 = Conv2d(N1, N3, 5, padding="same", groups=groups), ReLU()
        if lrn:
            self.norm3 = local_response_norm()
        self.s4 = MaxPool2d(3, 2)
        self.c5, self.relu5 = Conv2d(N3, N5, 3, padding="same"), ReLU()
        self.c6, self.relu6 = Conv2d(N5, N6, 3, padding="same", groups=groups), ReLU()
        self.c7, self.relu7, self.s8 = Conv2d(N6, N7, 3, padding="same", groups=groups), ReLU(), MaxPool2d(3, 2)
        _, H8, W8 = maps_after("AlexNet", self.layers.values(), (C, H, W))
        self.flatten = Flatten()
        self.f9, self.relu9, self.dropout9 = Linear(N7 * H8 * W8, F9), ReLU(), Dropout(dropout)
        self.f10, self.relu10, self.dropout10 = Linear(F9, F10), ReLU(), Dropout(dropout)
        self.output = Linear(F10, output_size)
        for layer in (self.c1, self.c3, self.c5, self.c6, self.c7, self.f9, self.f10):
            start(layer, init.he)
        start(self.output, init.xavier)
