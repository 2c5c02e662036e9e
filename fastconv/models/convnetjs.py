"""The network of the ConvNetJS demonstration on CIFAR-10 (A. Karpathy, github.com/karpathy/convnetjs)."""

from __future__ import annotations

from ..errors import ShapeError
from ..nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers


class ConvNetJS(LectureNetwork):
    """conv 5x5, 16 - pool - conv 5x5, 20 - pool - conv 5x5, 20 - pool - classes.

    Padding 2 keeps every size, ReLU follows each convolution, pools are 2x2 maxima. input_dim: (C, H, W), at least
    8 x 8. Its page trains with Adadelta (rho 0.95, eps 1e-8), batches of 4 and a weight decay of 0.0001.
    22,466 parameters for 32x32 images of three channels.
    """

    name = "convnetjs"

    def __init__(self, input_dim: tuple[int, int, int] = (3, 32, 32), output_size: int = 10) -> None:
        super().__init__()
        C, H, W = whole_numbers("ConvNetJS", "input_dim", input_dim, "C, H, W")
        if min(H, W) < 8:
            raise ShapeError(f"ConvNetJS: three poolings need images of 8x8 or more, input_dim is {(C, H, W)}")
        self.config = {"input_dim": [C, H, W], "output_size": output_size}
        self.conv1, self.relu1, self.pool1 = Conv2d(C, 16, 5, padding=2), ReLU(), MaxPool2d(2)
        self.conv2, self.relu2, self.pool2 = Conv2d(16, 20, 5, padding=2), ReLU(), MaxPool2d(2)
        self.conv3, self.relu3, self.pool3 = Conv2d(20, 20, 5, padding=2), ReLU(), MaxPool2d(2)
        self.flatten = Flatten()
        self.scores = Linear(20 * (H // 8) * (W // 8), output_size)
        for layer in (self.conv1, self.conv2, self.conv3):
            start(layer, init.he)
        start(self.scores, init.xavier)
