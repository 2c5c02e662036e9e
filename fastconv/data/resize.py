"""Rectangles of images, resampled to one size.

    y[i, j] = bilinear value of x at (top + (i + 1/2) h / OH - 1/2, left + (j + 1/2) w / OW - 1/2)

Pixels are squares whose centres lie at the halves; beyond the rectangle its border pixels go on. That is the rule of
torch.nn.functional.interpolate(mode="bilinear", align_corners=False): no smoothing comes before a reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def resize_rectangles(
    x: Array, top: Array, left: Array, height: Array, width: Array, size: tuple[int, int]
) -> npt.NDArray[Any]:
    """One rectangle of each image of x (N, C, H, W), as (N, C, *size) channels-last.

    top, left, height, width: whole numbers (N,), rectangles inside the image, at least one pixel each way.
    """
    rows = x.transpose(0, 2, 3, 1)  # [N, H, W, C]
    image = np.arange(len(x))[:, None]
    above, below, weight = _neighbours(top, height, size[0], x.dtype)
    rows = _mix(rows[image, above], rows[image, below], weight[:, :, None, None])  # [N, OH, W, C]
    image, line = image[:, :, None], np.arange(size[0])[None, :, None]
    before, after, weight = _neighbours(left, width, size[1], x.dtype)
    rows = _mix(rows[image, line, before[:, None]], rows[image, line, after[:, None]], weight[:, None, :, None])
    return rows.transpose(0, 3, 1, 2)


def _neighbours(start: Array, extent: Array, count: int, dtype: Any) -> tuple[Array, Array, Array]:
    """For `count` places along a side: the pixel before, the one after and the latter's weight, each (N, count)."""
    place = (np.arange(count) + 0.5) * extent[:, None] / count - 0.5
    place = np.clip(place, 0, extent[:, None] - 1)
    before = np.floor(place).astype(np.intp)
    after = np.minimum(before + 1, extent[:, None] - 1)
    return start[:, None] + before, start[:, None] + after, (place - before).astype(dtype)


def _mix(a: Array, b: Array, weight: Array) -> Array:
    return a + (b - a) * weight
