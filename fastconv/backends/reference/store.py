"""What every operation of the specification does at its end, and how it treats NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..host import Array, result

# NaN and infinity are values like others: NumPy would warn of inf - inf and of 0 * inf.
silent = np.errstate(invalid="ignore", over="ignore")


def store(value: Array, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """`value` in `out`, or in fresh memory that lies as the engine wants it."""
    out = result("the reference backend", out, shape, dtype)
    out[...] = value
    return out
