"""What convolutions and matrix products of float32 arrays compute in: the choice that `fc.set_precision` makes.

Arrays stay float32 in memory, sums are float32, and updates never leave it (master weights): a lower precision rounds
the factors of products only, on their way into the GPU's matrix units. float64 arrays are computed in float64 always.
"""

from __future__ import annotations

from contextvars import ContextVar

from ..errors import ArgumentError, UnsupportedError
from .base import Backend

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

chosen: ContextVar[str] = ContextVar("fastconv_precision", default=PRECISIONS[0])


def get_precision() -> str:
    """What convolutions and matrix products compute in here: one of PRECISIONS."""
    return chosen.get()


def require_precision(precision: str, backend: Backend) -> None:
    """Raise unless `backend` computes in `precision`: ArgumentError where nobody could, else UnsupportedError."""
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    reason = backend.declines_precision(precision)
    if reason is not None:
        raise UnsupportedError(f"the {backend.name} backend cannot compute in {precision}: {reason}")
