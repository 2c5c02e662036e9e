"""The linear classifier: one fully connected layer on the pixels, whose rows are the templates of the classes."""

from __future__ import annotations

from ..nn import Flatten, Linear
from .lecture_interface import LectureNetwork, whole_numbers


class LinearClassifier(LectureNetwork):
    """scores = W x + b: no hidden layer. Its templates are drawn by `fc.plots.templates`.

    All weights start at 0: with one layer the loss is convex and needs no random start, which would stay visible in the
    templates. input_dim: (C, H, W). 7,850 parameters for 28x28 images of one channel, 30,730 for CIFAR-10.
    """

    name = "linear"

    def __init__(self, input_dim: tuple[int, int, int] = (1, 28, 28), output_size: int = 10) -> None:
        super().__init__()
        C, H, W = whole_numbers("LinearClassifier", "input_dim", input_dim, "C, H, W")
        self.config = {"input_dim": [C, H, W], "output_size": output_size}
        self.flatten, self.scores = Flatten(), Linear(C * H * W, output_size)
        for p in self.scores.parameters():
            p.data[...] = 0
