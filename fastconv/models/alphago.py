"""AlphaGo's policy network (Silver et al., "Mastering the game of Go with deep neural networks and tree search",
Nature 529, 2016, Methods: "Neural network architecture")."""

from __future__ import annotations

from typing import Any

from ..autograd.mode import no_grad
from ..autograd.tensor import Tensor, as_tensor
from ..errors import ArgumentError
from ..functional import softmax
from ..geometry import whole_number
from ..nn import Conv2d, Flatten, Module, Parameter, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers


class PositionBias(Module):
    """A bias of its own for every place: x (N, places) + bias (places,), from zeros."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.bias = Parameter(init.zeros((places,)))

    def forward(self, x: Any) -> Tensor:
        return as_tensor(x) + self.bias

    def options(self) -> str:
        return str(self.bias.size)


class AlphaGoPolicy(LectureNetwork):
    """From 48 planes that describe a Go position to a score for each of the board's places; no pooling anywhere.

    conv 5x5 - 11 x conv 3x3 - conv 1x1, one map - a bias for each place. Padding keeps every size, ReLU follows each
    convolution but the last. The scores (N, H*W) are what cross-entropy against the place of the move that was played
    takes; softmax over them gives `move_probabilities`.

    input_dim: (planes, H, W). filters: of the twelve first convolutions. convolutions: how many of these there are.
    3,882,793 parameters.
    """

    name = "alphago"

    def __init__(
        self, input_dim: tuple[int, int, int] = (48, 19, 19), output_size: int | None = None, filters: int = 192,
        convolutions: int = 12,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("AlphaGoPolicy", "input_dim", input_dim, "planes, H, W")
        if output_size not in (None, H * W):
            raise ArgumentError(f"AlphaGoPolicy: a board of {H}x{W} has {H * W} places, output_size is {output_size}")
        if whole_number("AlphaGoPolicy", "convolutions", convolutions) < 1:
            raise ArgumentError(f"AlphaGoPolicy: convolutions must be at least 1, got {convolutions}")
        self.config = {"input_dim": [C, H, W], "filters": filters, "convolutions": convolutions}
        for i in range(1, convolutions + 1):
            conv = Conv2d(C, filters, 5 if i == 1 else 3, padding="same")
            start(conv, init.he)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"relu{i}", ReLU())
            C = filters
        self.moves = Conv2d(C, 1, 1, bias=False)
        start(self.moves, init.xavier)
        self.flatten, self.places = Flatten(), PositionBias(H * W)

    def move_probabilities(self, x: Any) -> Tensor:
        """(N, H, W): for each place of the board how likely the next move is there."""
        x = as_tensor(x)
        with no_grad():
            return softmax(self(x)).reshape((x.shape[0], *x.shape[2:]))
