"""The network that the lectures build in Keras for MNIST (A. Géron, Hands-On Machine Learning, 2nd ed., chapter 14)."""

from __future__ import annotations

from ..errors import ShapeError
from ..nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers


class KerasMnist(LectureNetwork):
    """conv 7x7, 64 - pool - 2 x conv 3x3, 128 - pool - 2 x conv 3x3, 256 - pool - 128 - 64 - classes.

    Twice as many maps after each pool; padding keeps every size, ReLU follows every layer but the last, dropout each of
    the two fully connected ones before it. input_dim: (C, H, W), at least 8 x 8. dropout: the share that is dropped.
    1,413,834 parameters for 28x28 images of one channel.
    """

    name = "keras_mnist"

    def __init__(
        self, input_dim: tuple[int, int, int] = (1, 28, 28), output_size: int = 10, dropout: float = 0.5
    ) -> None:
        super().__init__()
        C, H, W = whole_numbers("KerasMnist", "input_dim", input_dim, "C, H, W")
        if min(H, W) < 8:
            raise ShapeError(f"KerasMnist: three poolings need images of 8x8 or more, input_dim is {(C, H, W)}")
        self.config = {"input_dim": [C, H, W], "output_size": output_size, "dropout": dropout}
        self.conv1, self.relu1, self.pool1 = Conv2d(C, 64, 7, padding="same"), ReLU(), MaxPool2d(2)
        self.conv2, self.relu2 = Conv2d(64, 128, 3, padding="same"), ReLU()
        self.conv3, self.relu3, self.pool2 = Conv2d(128, 128, 3, padding="same"), ReLU(), MaxPool2d(2)
        self.conv4, self.relu4 = Conv2d(128, 256, 3, padding="same"), ReLU()
        self.conv5, self.relu5, self.pool3 = Conv2d(256, 256, 3, padding="same"), ReLU(), MaxPool2d(2)
        self.flatten = Flatten()
        self.dense1, self.relu6, self.dropout1 = Linear(256 * (H // 8) * (W // 8), 128), ReLU(), Dropout(dropout)
        self.dense2, self.relu7, self.dropout2 = Linear(128, 64), ReLU(), Dropout(dropout)
        self.dense3 = Linear(64, output_size)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.dense1, self.dense2):
            start(layer, init.he)
        start(self.dense3, init.xavier)
