"""Plans for depthwise convolution (one filter for each channel): pieces without dilation, and how they are cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import depthwise as kernels
from ...kernels.cpu.conv2d.depthwise_tile import filter_walk, product_walk
from ...kernels.cpu.simd import REGISTERS, VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

MOST_TAPS = 7  # of a row or column of the filter in a piece: their code is written out
MOST_PIXELS = 7  # of a column that is walked down: divides the widths 7, 14, 28, 56, 112
FILTERS = 9 if REGISTERS == 32 else 3  # vectors of the filter that keep a register; others are read where they are met
SUMS = 15 if REGISTERS == 32 else 9  # of dw that stay in registers
# Neighbours that lie a multiple of so many bytes apart fall on the same lines of the first-level cache. Walks that
# write them stop after some rows, before their stores displace one another; after one row where the phases of a
# strided backward-data leave little to compute for a store.
ALIAS = 2048
BAND, PHASE_BAND = 5, 1
PARTS = 8  # of the images, with sums of dw of their own: fixed, so that sums do not depend on the threads
CHUNKS = 16  # pieces of work for the threads, where there is work for so many
CHUNK = 32768  # multiply-adds that are worth a chunk
SPLIT = 4  # vectors of channels at least in a part of them


def declines(g: Conv2dGeometry) -> str | None:
    """Why these functions do not serve a problem, or None."""
    if g.G == 1 or not g.G == g.C == g.OC:
        return "not depthwise: a channel has more than its own filter"
    return None


def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _run(y, x, w, b, _forward_plan(g, y.itemsize), int(relu))


def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    start = scratch("conv2d start", (g.C,), dx.dtype)
    start.fill(0)
    _run(dx, dy, w, start, _backward_plan(g, dx.itemsize))


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    plan = _weight_plan(g, dw.itemsize)
    sums = scratch("conv2d sums", plan.sums, dw.dtype)
    kernels.conv2d_depthwise_weight(
        dw.reshape(-1), db, sums, dy.reshape(-1), x.reshape(-1), plan.pieces, plan.p
    )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The arguments of a kernel that do not change from call to call; sums: the shape of its scratch."""

    pieces: Array
    p: tuple[int, ...]
    sums: tuple[int, ...] = ()


@dataclass(frozen=True)
class Axis:
    """One axis of a piece: its pixels in y, its taps in the filter, and x thinned out to the places that they meet.

    x's places are residue, residue + lattice, ...: `size` of them; the first tap of the first pixel is at the one
    numbered `place`, and each pixel `stride` further.
    """

    first: int
    step: int
    count: int
    tap: int
    tap_step: int
    taps: int
    residue: int
    lattice: int
    size: int
    place: int
    stride: int
    again: bool = False  # whether an earlier piece has the same pixels with other taps


def _run(y: Array, x: Array, w: Array, b: Array, plan: Plan, act: int = 0) -> None:
    packed = scratch("conv2d filters", (w.size,), w.dtype)
    kernels.conv2d_depthwise(
        y.reshape(-1), x.reshape(-1), w.reshape(-1), b, packed, plan.pieces, (*plan.p, act)
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry, item: int) -> Plan:
    rows = _thinned(0, 1, g.OH, (0, 1, g.KH), -g.PH, g.SH, g.DH, g.H)
    columns = _thinned(0, 1, g.OW, (0, 1, g.KW), -g.PW, g.SW, g.DW, g.W)
    return _plan(list(rows), list(columns), (g.N, g.C, g.OH, g.OW), (g.H, g.W, g.KW), item)


@lru_cache(maxsize=1024)
def _backward_plan(g: Conv2dGeometry, item: int) -> Plan:
    rows = _phases(g.H, g.PH, g.KH, g.SH, g.DH, g.OH)
    columns = _phases(g.W, g.PW, g.KW, g.SW, g.DW, g.OW)
    return _plan(list(rows), list(columns), (g.N, g.C, g.H, g.W), (g.OH, g.OW, g.KW), item)


def _plan(rows: list[Axis], columns: list[Axis], out: tuple[int, ...], source: tuple[int, ...], item: int) -> Plan:
    """The pieces of forward or backward-data: `out` is what is written, `source` the size of what is read, and KW."""
    N, C, I, J = out
    H, W, KW = source
    pixel, most = C * item, max(axis.count for axis in rows)
    band = most if pixel * columns[0].step % ALIAS else BAND if len(columns) == 1 else PHASE_BAND
    pairs = product(*([b for axis in axes for b in _blocks(axis, MOST_TAPS)] for axes in (rows, columns)))
    table = []
    for r, c in pairs:
        masked = pixel < VECTOR_BYTES or ((r.again or c.again) and pixel % VECTOR_BYTES > 0)
        form = partial(_address, filter_walk, masked, item)
        table.append(_piece(r, c, (pixel, J, W), (KW * pixel, pixel), form, FILTERS))
    work = N * C * sum(r.count * r.taps * c.count * c.taps for r, c in product(rows, columns))
    bands, splits = _cut(N, C, most, work, -(-most // band), item)
    return Plan(np.array(table, np.int64), (N, C, I * J * pixel, H * W * pixel, bands, splits))


@lru_cache(maxsize=1024)
def _weight_plan(g: Conv2dGeometry, item: int) -> Plan:
    pixel, lanes = g.C * item, VECTOR_BYTES // item
    pitch = -(-g.C // lanes) * lanes
    rows = _thinned(0, 1, g.OH, (0, 1, g.KH), -g.PH, g.SH, g.DH, g.H)
    columns = [b for a in _thinned(0, 1, g.OW, (0, 1, g.KW), -g.PW, g.SW, g.DW, g.W) for b in _blocks(a, MOST_TAPS)]
    most = max(1, SUMS // max(c.taps for c in columns))
    form = partial(_address, product_walk, lanes > g.C, item)
    table = [
        _piece(r, c, (pixel, g.OW, g.W), (g.KW * pitch * item, pitch * item), form, SUMS)
        for r, c in product([b for a in rows for b in _blocks(a, most)], columns)
    ]
    bands = min(g.OH, -(-PARTS // g.N))
    parts = min(PARTS, g.N * bands)
    splits = _splits(g.C, CHUNKS // parts, item)
    p = (g.N, g.C, g.OH * g.OW * pixel, g.H * g.W * pixel, bands, splits)
    return Plan(np.array(table, np.int64), p, (parts, g.KH * g.KW + 1, pitch))


def _cut(N: int, C: int, rows: int, work: int, bands: int, item: int) -> tuple[int, int]:
    """Into how many parts the rows and the channels of an image go."""
    wanted = min(CHUNKS, work // CHUNK)
    splits = _splits(C, -(-wanted // (N * bands)), item)
    return min(rows, max(bands, -(-wanted // (N * splits)))), splits


def _splits(C: int, wanted: int, item: int) -> int:
    return max(1, min(wanted, C * item // VECTOR_BYTES // SPLIT))


def _address(walk: Callable[..., Any], masked: bool, item: int, pixels: int, *shape: int) -> int:
    """Where the form for columns of so many pixels is; 0 for none."""
    return walk(pixels, *shape, masked, item).address if pixels else 0


def _piece(
    r: Axis, c: Axis, sizes: tuple[int, ...], steps: tuple[int, int], form: Callable[..., int], held: int
) -> tuple[int, ...]:
    """A row of the kernels' table.

    sizes: bytes of a pixel, pixels of a row of y, of x. steps: of the filter's rows and columns. form: gives the
    address for (pixels, KH, KW, SH, SW). held: how many taps keep registers that do not move with the rows.
    """
    pixel, y_width, x_width = sizes
    KH, KW = (r.taps, c.taps) if r.taps and c.taps else (0, 0)
    SH = r.stride if KH and r.count > 1 else max(KH, 1)
    SW = c.stride if KH else 1
    moving = max(1, -(-KH // SH))
    room = max(1, min(MOST_PIXELS, (REGISTERS - 2 - min(held, KH * KW)) // moving))
    number = -(-c.count // room)
    pixels = -(-c.count // number)
    narrow = number * pixels - c.count
    shape = KH, KW, SH, SW
    return (
        pixels, form(pixels, *shape), pixels - 1, form(pixels - 1 if narrow else 0, *shape), narrow,
        (r.first * y_width + c.first) * pixel, r.step * y_width * pixel, c.step * pixel, r.count, c.count,
        ((r.residue + r.place * r.lattice) * x_width + c.residue + c.place * c.lattice) * pixel,
        r.lattice * x_width * pixel, c.lattice * pixel, r.place, r.size, c.place, c.size, SH, SW,
        r.tap * steps[0] + c.tap * steps[1], r.tap_step * steps[0], c.tap_step * steps[1], r.again or c.again,
    )  # fmt: skip


def _thinned(
    first: int, step: int, count: int, taps: tuple[int, int, int], place: int, stride: int, dilation: int, size: int
) -> Iterator[Axis]:
    """`count` pixels whose taps (first, step, number of them) lie `dilation` apart: an axis for each residue that
    x's places leave."""
    dilation = dilation if taps[2] > 1 else 1
    common = math.gcd(stride, dilation)
    every = dilation // common
    for k in range(min(every, count)):
        number, residue = divmod(place + k * stride, dilation)
        yield Axis(
            first + k * step, every * step, -(-(count - k) // every), *taps,
            residue, dilation, max(0, -(-(size - residue) // dilation)), number, stride // common,
        )  # fmt: skip


def _phases(count: int, pad: int, K: int, S: int, D: int, size: int) -> Iterator[Axis]:
    """The axes of backward-data: pixels of dx that meet the same taps k, those with (pixel + pad - k*D) / S whole."""
    common = math.gcd(S, D)
    for phase in range(min(S, count)):
        met = [k for k in range(K) if (phase + pad - k * D) % S == 0][::-1]
        taps = (met[0], -(S // common), len(met)) if met else (0, 0, 0)
        place = (phase + pad - met[0] * D) // S if met else 0
        yield from _thinned(phase, S, -(-(count - phase) // S), taps, place, 1, D // common, size)


def _blocks(axis: Axis, most: int) -> Iterator[Axis]:
    """The same pixels with `most` of the taps at a time."""
    parts = max(1, -(-axis.taps // most))
    for k in range(parts):
        done, end = k * axis.taps // parts, (k + 1) * axis.taps // parts
        yield replace(
            axis, tap=axis.tap + done * axis.tap_step, taps=end - done, place=axis.place + done, again=k > 0
        )  # fmt: skip
