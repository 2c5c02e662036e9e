"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998), 6-16-120-84."""

from __future__ import annotations

from ..errors import ArgumentError
from ..nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Tanh, init
from .lecture_interface import LectureNetwork, start, whole_numbers

ACTIVATIONS = {"tanh": (Tanh, init.xavier), "relu": (ReLU, init.he)}
POOLINGS = {"avg": AvgPool2d, "max": MaxPool2d}


class LeNet5(LectureNetwork):
    """conv 5x5 - pool 2x2 - conv 5x5 - pool 2x2 - 120 - 84 - classes, an activation after each but the last.

    input_dim: (C, H, W) with 28x28 images, padded to 32x32 by the first convolution, or 32x32 ones. activation: 'tanh'
    (the original) or 'relu'. pooling: 'avg' (the original) or 'max'. channels: maps of the two convolutions; (32, 64)
    with 'max' is the lectures' improved network. C5 is a convolution whose 5x5 filters cover the whole 5x5 map: the
    same as a fully connected layer of 400 inputs, which is how it is computed.
    61,706 parameters with one input channel, 62,006 with three.
    """

    name = "lenet5"

    def __init__(
        self, input_dim: tuple[int, int, int] = (1, 28, 28), output_size: int = 10, activation: str = "tanh",
        pooling: str = "avg", channels: tuple[int, int] = (6, 16),
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("LeNet5", "input_dim", input_dim, "C, H, W")
        C1, C3 = whole_numbers("LeNet5", "channels", channels, "C1, C3")
        if (H, W) not in ((28, 28), (32, 32)):
            raise ArgumentError(f"LeNet5: images must be 28x28 or 32x32, input_dim is {tuple(input_dim)} C,H,W")
        if activation not in ACTIVATIONS or pooling not in POOLINGS:
            raise ArgumentError(
                f"LeNet5: activation must be one of {', '.join(ACTIVATIONS)} and pooling one of {', '.join(POOLINGS)}, "
                f"got {activation!r} and {pooling!r}"
            )
        self.config = {
            "input_dim": list(input_dim), "output_size": output_size, "activation": activation,
            "pooling": pooling, "channels": list(channels),
        }  # fmt: skip
        act, first_weights = ACTIVATIONS[activation]
        pool = POOLINGS[pooling]
        self.c1, self.act1, self.s2 = Conv2d(C, C1, 5, padding=2 if H == 28 else 0), act(), pool(2, 2)
        self.c3, self.act3, self.s4 = Conv2d(C1, C3, 5), act(), pool(2, 2)
        self.flatten = Flatten()
        self.c5, self.act5 = Linear(C3 * 5 * 5, 120), act()
        self.f6, self.act6 = Linear(120, 84), act()
        self.output = Linear(84, output_size)
        for layer in (self.c1, self.c3, self.c5, self.f6, self.output):
            start(layer, first_weights)
