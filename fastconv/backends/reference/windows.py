"""Sliding windows in NumPy: one strided slice of the padded input for each tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry, Pool2dGeometry
from ..host import Array

Geometry = Conv2dGeometry | Pool2dGeometry


def taps(g: Geometry) -> Iterator[tuple[int, int, slice, slice]]:
    """Each filter position with the rows and columns of the padded input that it meets."""
    for kh in range(g.KH):
        for kw in range(g.KW):
            top, left = kh * g.DH, kw * g.DW
            yield kh, kw, slice(top, top + (g.OH - 1) * g.SH + 1, g.SH), slice(left, left + (g.OW - 1) * g.SW + 1, g.SW)


def padded_size(g: Geometry) -> tuple[int, int]:
    """Large enough for every window: with ceil_mode the last one may reach beyond the padding."""
    rows = (g.OH - 1) * g.SH + (g.KH - 1) * g.DH + 1
    cols = (g.OW - 1) * g.SW + (g.KW - 1) * g.DW + 1
    return max(g.PH + g.H + g.PB, rows), max(g.PW + g.W + g.PR, cols)


def padded(x: Array, g: Geometry, value: Any) -> Array:
    """x with `value` around it."""
    rows, cols = padded_size(g)
    xp = np.full((g.N, g.C, rows, cols), value, x.dtype)
    xp[:, :, g.PH : g.PH + g.H, g.PW : g.PW + g.W] = x
    return xp


def padded_zeros(g: Geometry, dtype: Any) -> Array:
    """Zeros of the padded size, to add gradients to."""
    return np.zeros((g.N, g.C, *padded_size(g)), dtype)


def unpadded(xp: Array, g: Geometry) -> Array:
    """The part that is not padding."""
    return xp[:, :, g.PH : g.PH + g.H, g.PW : g.PW + g.W]
