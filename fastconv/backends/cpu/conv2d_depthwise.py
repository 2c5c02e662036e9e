"""Plans for depthwise convolution (one filter for each channel): which taps the pixels of a phase meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import depthwise as kernels
from ...kernels.cpu.conv2d.depthwise_tile import add_products, filter_line
from ...kernels.cpu.simd import REGISTERS, VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

PIXELS = 8 if REGISTERS == 32 else 6  # of a line at a time: their sums stay in registers
MOST_TAPS = 8  # of a row that share columns
MOST_SUMS = 10 if REGISTERS == 32 else 9  # of dw that stay in registers
PARTS = 16  # of the rows, with sums of their own: fixed, so that sums do not depend on the threads
PART_PIXELS = 256  # that are worth sums of their own


def declines(g: Conv2dGeometry) -> str | None:
    """Why these functions do not serve a problem, or None."""
    if g.G == 1 or not g.G == g.C == g.OC:
        return "not depthwise: a channel has more than its own filter"
    return None


def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _run(y, x, w, b, _forward_plan(g, y.itemsize, int(relu)))


def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    start = scratch("conv2d start", (g.C,), dx.dtype)
    start.fill(0)
    _run(dx, dy, w, start, _backward_plan(g, dx.itemsize))


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    lanes = VECTOR_BYTES // dw.itemsize
    parts = max(1, min(PARTS, g.N * g.OH, g.N * g.OH * g.OW // PART_PIXELS))
    sums = scratch("conv2d sums", (parts, g.KH * g.KW + 1, -(-g.C // lanes) * lanes), dw.dtype)
    p = (g.N, g.C, g.H, g.W, g.OH, g.OW, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW)
    forms = _weight_forms(g.KH, g.KW, lanes > g.C, dw.itemsize)
    kernels.conv2d_depthwise_weight(dw.reshape(-1), db, sums, dy.reshape(-1), x.reshape(-1), forms, p)


@dataclass(frozen=True)
class Plan:
    """The arguments of `conv2d_depthwise` that do not change from call to call."""

    rows: Array
    columns: Array
    p: tuple[int, ...]


def _run(y: Array, x: Array, w: Array, b: Array, plan: Plan) -> None:
    packed = scratch("conv2d filters", (w.size,), w.dtype)
    kernels.conv2d_depthwise(y.reshape(-1), x.reshape(-1), w.reshape(-1), b, packed, plan.rows, plan.columns, plan.p)


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry, item: int, act: int) -> Plan:
    rows = [(g.KH, 0, 1, -g.PH, g.SH, g.DH)]
    columns = [(g.KW, 0, 1, -g.PW, g.SW, g.DW)]
    return _plan(rows, columns, (g.N, g.C, g.OH, g.OW), (g.H, g.W, g.KH, g.KW, act), item)


@lru_cache(maxsize=1024)
def _backward_plan(g: Conv2dGeometry, item: int) -> Plan:
    rows = [_phase(phase + g.PH, g.KH, g.SH, g.DH) for phase in range(g.SH)]
    columns = [_phase(phase + g.PW, g.KW, g.SW, g.DW) for phase in range(g.SW)]
    return _plan(rows, columns, (g.N, g.C, g.H, g.W), (g.OH, g.OW, g.KH, g.KW, 0), item)


def _plan(
    rows: Sequence[tuple[int, ...]],
    columns: Sequence[tuple[int, ...]],
    out: tuple[int, ...],
    rest: tuple[int, ...],
    item: int,
) -> Plan:
    """Choose the forms: neighbours of a line share columns where their taps meet, any others run side by side."""
    C, J = out[1], out[3]
    masked = VECTOR_BYTES // item > C
    count = J // len(columns)  # of the shortest line
    pixels = -(-count // -(-count // PIXELS)) if count else 1
    lines = []
    for taps, *middle, step, dilation in columns:
        shares = 0 < taps <= MOST_TAPS and step % dilation == 0
        form = (taps, step // dilation) if shares else (0, 0)
        together = 0 if masked or not taps or not count else filter_line(pixels, *form, False, item).address
        lines.append((taps, *middle, step, dilation, together, shares))
    single = filter_line(1, 0, 0, masked, item).address
    p = (*out, len(rows), len(columns), *rest, pixels, single)
    return Plan(np.array([(*row, 0, 0) for row in rows], np.int64), np.array(lines, np.int64), p)


@lru_cache(maxsize=1024)
def _weight_forms(KH: int, KW: int, masked: bool, item: int) -> tuple[int, ...]:
    """Taps and rows of the filter at a time, and the forms for so many rows, for one, and for the bias alone."""
    taps = KW if KW <= MOST_TAPS else 1
    rows = max(1, min(KH, MOST_SUMS // taps))
    forms = (add_products(r, t, masked, item).address for r, t in ((rows, taps), (1, taps), (0, 0)))
    return taps, rows, *forms


def _phase(start: int, K: int, S: int, D: int) -> tuple[int, ...]:
    """The taps k with (start - k*D) / S whole, by rising place: number, first, step, place, 1, step of places."""
    met = [k for k in range(K) if (start - k * D) % S == 0][::-1]
    common = math.gcd(S, D)
    if not met:
        return 0, 0, 0, 0, 1, 1
    return len(met), met[0], -(S // common), (start - met[0] * D) // S, 1, D // common
