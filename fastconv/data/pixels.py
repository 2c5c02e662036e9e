"""From bytes to the numbers that a network takes: float32 from 0 to 1, channels-last in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def unit_floats(parts: Sequence[npt.NDArray[Any]], brightest: int) -> npt.NDArray[np.float32]:
    """The images of all `parts`, each (n, C, H, W), divided by `brightest`: one (N, C, H, W), channels-last."""
    _, channels, height, width = parts[0].shape
    x = np.empty((sum(map(len, parts)), height, width, channels), np.float32)
    start = 0
    for part in parts:
        rows = np.ascontiguousarray(part.transpose(0, 2, 3, 1))  # [n, H, W, C]
        np.divide(rows, np.float32(brightest), dtype=np.float32, out=x[start : start + len(rows)])
        start += len(rows)
    return x.transpose(0, 3, 1, 2)


def channels_last(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`x` (N, C, H, W) with memory contiguous as (N, H, W, C), not copied where it lies so; other shapes C-order."""
    if x.ndim != 4:
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def enlarge(x: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """Every pixel of `x` (N, C, H, W) repeated scale x scale times: (N, C, scale H, scale W)."""
    if scale == 1:
        return x
    rows = x.transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    return rows.transpose(0, 3, 1, 2)
