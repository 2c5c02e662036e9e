"""LeNet-5 layer by layer as its authors published it in 1998."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..nn import RBF, Conv2d, Flatten, Linear, ScaledTanh, SparseConv2d, Subsampling2d, Tanh
from .digit_codes import digit_codes
from .lecture_interface import LectureNetwork, whole_numbers

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 sees.
CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
ACTIVATIONS = {"scaled_tanh": ScaledTanh, "tanh": Tanh}


class LeNet5Original(LectureNetwork):
    """C1 conv 5x5 - S2 subsampling - C3 conv 5x5 by a table - S4 subsampling - C5 120 - F6 84 - 10 RBF units.

    An activation follows each layer from C1 to F6. The parameters of C1, S2, C3, S4, C5 and F6 are 156 + 12 + 1,516 +
    32 + 48,120 + 10,164 = 60,000. The RBF units measure the distance of F6 from fixed 7x12 pictures of the digits;
    the network returns minus these distances, so that the likeliest digit has the largest score and softmax gives
    probabilities.

    Train it with the paper's loss, `fc.nn.MAPLoss`, as `fastconv train` does: F6 goes to -1 and 1, and after 10 epochs
    99.0 % of MNIST's test images are read. With plain cross-entropy F6 hardly leaves 0, and 1 % fewer are.

    input_dim: (C, H, W) with 28x28 images, padded to 32x32 by C1, or 32x32 ones. output_size: the first so many digits.
    activation: 'scaled_tanh' (the paper's equation 6) or 'tanh' (the lectures' table).

    LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE
    86(11), 1998, section II.B. What differs here: pixels go from 0 to 1, not from -0.1 to 1.175, and first weights are
    uniform within 1 / sqrt(inputs), not 2.4 / inputs.
    """

    name = "lenet5_original"

    def __init__(
        self, input_dim: tuple[int, int, int] = (1, 28, 28), output_size: int = 10, activation: str = "scaled_tanh"
    ) -> None:
        super().__init__()
        C, H, W = whole_numbers("LeNet5Original", "input_dim", input_dim, "C, H, W")
        if (H, W) not in ((28, 28), (32, 32)):
            raise ArgumentError(f"LeNet5Original: images must be 28x28 or 32x32, input_dim is {(C, H, W)} C,H,W")
        if activation not in ACTIVATIONS:
            raise ArgumentError(
                f"LeNet5Original: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        if output_size not in range(1, 11):
            raise ArgumentError(f"LeNet5Original: its RBF units know the digits, 1 to 10 of them, not {output_size!r}")
        self.config = {"input_dim": [C, H, W], "output_size": output_size, "activation": activation}
        act = ACTIVATIONS[activation]
        self.c1, self.act1 = Conv2d(C, 6, 5, padding=2 if H == 28 else 0), act()
        self.s2, self.act2 = Subsampling2d(6), act()
        self.c3, self.act3 = SparseConv2d(6, CONNECTIONS, 5), act()
        self.s4, self.act4 = Subsampling2d(16), act()
        self.flatten = Flatten()
        self.c5, self.act5 = Linear(16 * 5 * 5, 120), act()
        self.f6, self.act6 = Linear(120, 84), act()
        self.output = RBF(84, output_size, digit_codes()[:output_size])

    def forward(self, x: Any) -> Any:
        return -super().forward(x)
