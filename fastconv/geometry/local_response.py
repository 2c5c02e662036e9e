"""The window and the constants of local response normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from ..errors import ArgumentError
from .options import whole_number

SMALLEST = 2.0**-126  # the smallest float32 with all its digits


@dataclass(frozen=True)
class LocalResponse:
    """b[c] = a[c] / (k + alpha / size * sum of a[j]^2)^beta, where j runs over `size` channels around c.

    The window is c - size // 2 .. c + (size - 1) // 2, as far as there are channels: PyTorch's, alpha's meaning too.
    Krizhevsky, Sutskever & Hinton 2012, section 3.3, do not divide by the window's size: their n = 5, alpha = 1e-4,
    beta = 0.75, k = 2 are size=5, alpha=5e-4, beta=0.75, k=2 here.

    Raises:
        ArgumentError: size below 1, alpha below 0, beta or k not positive, or one of them not finite.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self) -> None:
        op, seen = "local_response_norm", f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
        object.__setattr__(self, "size", whole_number(op, "size", self.size))
        if self.size < 1:
            raise ArgumentError(f"{op}: size, the channels of a window, must be at least 1  ({seen})")
        if not all(isinstance(number, Real) for number in (self.alpha, self.beta, self.k)):
            raise ArgumentError(f"{op}: alpha, beta and k must be numbers  ({seen})")
        if not (0 <= self.alpha < math.inf and 0 < self.beta < math.inf and SMALLEST <= self.k < math.inf):
            raise ArgumentError(
                f"{op}: alpha must be at least 0, beta above 0 and k at least {SMALLEST:.2g}, all finite  ({seen})"
            )

    def taps(self, C: int) -> tuple[int, int]:
        """How many channels before and after its own a window can meet among C."""
        return min(self.size // 2, C - 1), min((self.size - 1) // 2, C - 1)

    @property
    def factor(self) -> float:
        """What the sum of squares is multiplied with."""
        return self.alpha / self.size
