"""Whether 3x3 and 5x5 convolutions of float32 may use Winograd's algorithm: the choice that `fc.set_winograd` makes.

It takes a quarter or a third of the multiplications and rounds more: numbers pass through transforms before and after.
"""

from __future__ import annotations

from contextvars import ContextVar

chosen: ContextVar[bool] = ContextVar("fastconv_winograd", default=True)


def get_winograd() -> bool:
    """Whether convolutions in here may use Winograd's algorithm."""
    return chosen.get()
