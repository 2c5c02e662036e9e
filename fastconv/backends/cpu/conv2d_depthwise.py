"""Plans for depthwise convolution (one filter for each channel): which taps the pixels of a phase meet."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import depthwise as kernels
from ...kernels.cpu.simd import VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

PARTS = 16  # of the rows, with sums of their own: fixed, so that sums do not depend on the threads
PART_PIXELS = 256  # that are worth sums of their own


def declines(g: Conv2dGeometry) -> str | None:
    """Why these functions do not serve a problem, or None."""
    if g.G == 1 or not g.G == g.C == g.OC:
        return "not depthwise: a channel has more than its own filter"
    return None


def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, act: int = 0) -> None:
    """y = act(b + conv(x, w)): y, x, w channels-last, act 0 (none) or 1 (ReLU)."""
    p = (g.N, g.C, g.OH, g.OW, 1, 1, g.H, g.W, g.KH, g.KW, act)
    _run(y, x, w, b, _forward_axes(g), p)


def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    start = scratch("conv2d start", (g.C,), dx.dtype)
    start.fill(0)
    p = (g.N, g.C, g.H, g.W, g.SH, g.SW, g.OH, g.OW, g.KH, g.KW, 0)
    _run(dx, dy, w, start, _backward_axes(g), p)


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    lanes = VECTOR_BYTES // dw.itemsize
    parts = max(1, min(PARTS, g.N * g.OH, g.N * g.OH * g.OW // PART_PIXELS))
    sums = scratch("conv2d sums", (parts, g.KH * g.KW + 1, -(-g.C // lanes) * lanes), dw.dtype)
    p = (g.N, g.C, g.H, g.W, g.OH, g.OW, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW)
    kernels.conv2d_depthwise_weight(dw.reshape(-1), db, sums, dy.reshape(-1), x.reshape(-1), p)


def _run(y: Array, x: Array, w: Array, b: Array, axes: tuple[Array, Array], p: tuple[int, ...]) -> None:
    packed = scratch("conv2d filters", (w.size,), w.dtype)
    kernels.conv2d_depthwise(y.reshape(-1), x.reshape(-1), w.reshape(-1), b, packed, *axes, p)


@lru_cache(maxsize=1024)
def _forward_axes(g: Conv2dGeometry) -> tuple[Array, Array]:
    rows = [(g.KH, 0, 1, -g.PH, g.SH, g.DH)]
    columns = [(g.KW, 0, 1, -g.PW, g.SW, g.DW)]
    return np.array(rows, np.int64), np.array(columns, np.int64)


@lru_cache(maxsize=1024)
def _backward_axes(g: Conv2dGeometry) -> tuple[Array, Array]:
    rows = [_phase(phase + g.PH, g.KH, g.SH, g.DH) for phase in range(g.SH)]
    columns = [_phase(phase + g.PW, g.KW, g.SW, g.DW) for phase in range(g.SW)]
    return np.array(rows, np.int64), np.array(columns, np.int64)


def _phase(start: int, K: int, S: int, D: int) -> tuple[int, ...]:
    """The taps k with (start - k*D) / S whole, places in dy ascending: number, first, step, place, 1, step of places."""
    met = [k for k in range(K) if (start - k * D) % S == 0][::-1]
    common = math.gcd(S, D)
    if not met:
        return 0, 0, 0, 0, 1, 1
    return len(met), met[0], -(S // common), (start - met[0] * D) // S, 1, D // common
