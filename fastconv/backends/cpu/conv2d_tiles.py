"""Plans for the tiled convolution kernel: which pixels, which taps, which blocks; made once for a geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.micro import COLUMNS, PACKED, ROWS_2, blocks_for
from ...kernels.cpu.pack import pack, packed_size, pad
from ...kernels.cpu.simd import VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

MERGED_CHANNELS = 16  # below this many channels, a filter's row is one run over a padded copy of x
WEIGHT_BYTES = 384 * 1024  # of packed filters that a chunk goes through: they stay in the second-level cache
CHUNK_FLOPS = 4e6  # work of a chunk
NARROW_CHANNELS = 12  # below this many channels, backward-data lays its vectors along a filter's row
NARROW_PIXELS = 256  # of one row of some images, whose products stay in the first-level cache


@dataclass(frozen=True)
class Source:
    """A channels-last map that is read: its size, and the pixels that one step of the grid moves in it."""

    N: int
    H: int
    W: int
    C: int
    RS: int
    CS: int


@dataclass(frozen=True)
class Grid:
    """The pixels of a channels-last map that are written: I x J of them, from (row, column) in steps of (SI, SJ)."""

    I: int
    J: int
    H: int
    W: int
    C: int
    row: int = 0
    column: int = 0
    SI: int = 1
    SJ: int = 1


@dataclass(frozen=True)
class Tap:
    """One run of the reduction: `length` elements from a pixel's own place moved by (row, column) and `element`."""

    row: int
    column: int
    length: int


@dataclass(frozen=True)
class TilePlan:
    """The arguments of `conv2d_tiles` that do not change from call to call."""

    taps: Array
    runs: Array
    p: tuple[tuple[int, ...], ...]
    longest: int

    def run(self, y: Array, x: Array, packed: Array, bias: Array | None, act: int) -> None:
        """y, x: flat; packed: filters in blocks; bias: one per column."""
        columns, blocks = self.p[5][:2]
        width = COLUMNS * VECTOR_BYTES // y.itemsize
        start = scratch("conv2d start", (blocks * width,), y.dtype)
        start.fill(0)
        if bias is not None:
            start[:columns] = bias
        zeros = scratch("conv2d zeros", (self.longest,), y.dtype)
        zeros.fill(0)
        p = *self.p, act, blocks_for(PACKED, y.itemsize)
        kernels.conv2d_tiles(y, x, packed, start, zeros, self.taps, self.runs, p)


def tile_plan(
    source: Source, grid: Grid, taps: list[Tap], columns: int, item: int, x0: int = 0, y0: int = 0
) -> TilePlan:
    """Cut a problem into chunks.

    x0, y0: first channel read and written (groups).
    """
    s, g = source, grid
    lanes = VECTOR_BYTES // item
    depth = sum(t.length for t in taps)
    blocks = -(-columns // (COLUMNS * lanes))
    x_row, y_row = s.W * s.C * item, g.W * g.C * item
    runs = np.empty((COLUMNS, len(taps), 3), np.int64)
    for nv in range(1, COLUMNS + 1):
        done = 0
        for k, t in enumerate(taps):
            runs[nv - 1, k] = t.row * x_row + t.column * s.C * item, done * nv * lanes * item, t.length
            done += t.length
    per_chunk = max(1, min(blocks, WEIGHT_BYTES // max(1, depth * COLUMNS * lanes * item)))
    flops_per_pixel = 2 * max(depth, 1) * min(columns, per_chunk * COLUMNS * lanes)
    pixels = s.N * g.I * g.J
    size = max(1, math.ceil(min(CHUNK_FLOPS / flops_per_pixel, pixels / 2) / ROWS_2)) * ROWS_2
    rows, steps = [t.row for t in taps] or [0], [t.column for t in taps] or [0]
    p = (
        (s.N, g.I, g.J),
        (x0 * item, s.H * x_row, s.RS * x_row, s.CS * s.C * item),
        ((y0 + (g.row * g.W + g.column) * g.C) * item, g.H * y_row, g.SI * y_row, g.SJ * g.C * item),
        (s.H, s.W, s.RS, s.CS),
        (min(rows), max(rows), min(steps), max(steps)),
        (columns, blocks, depth * COLUMNS * lanes * item, size, per_chunk),
    )  # fmt: skip
    positions = np.array([(t.row, t.column) for t in taps], np.int64).reshape(len(taps), 2)
    return TilePlan(positions, runs, p, max((t.length for t in taps), default=0))


@dataclass(frozen=True)
class Piece:
    """One launch: a plan, and how its filters are packed from the flat w."""

    plan: TilePlan
    first: int  # element of w that the piece's filters start at
    offsets: Array
    p: tuple[int, int, int, int]  # columns, rows per offset, step of a column, step of a row
    bias: slice

    def run(self, y: Array, x: Array, w: Array, bias: Array | None, act: int) -> None:
        columns, rows = self.p[:2]
        packed = scratch("conv2d filters", (packed_size(len(self.offsets) * rows, columns, w.itemsize),), w.dtype)
        if packed.size:
            pack(packed, w[self.first :], self.offsets, self.p)
        self.plan.run(y, x, packed, None if bias is None else bias[self.bias], act)


def merges_rows(g: Conv2dGeometry) -> bool:
    """Whether a filter's row is read as one run, from a copy of x with its padding."""
    return g.C < MERGED_CHANNELS and g.G == 1 and g.DW == 1


def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    if merges_rows(g) and (g.PH or g.PW or g.PB or g.PR):
        padded = scratch("conv2d padded", (g.N, g.H + g.PH + g.PB, g.W + g.PW + g.PR, g.C), x.dtype)
        pad(padded, x, (g.PH, g.PW))
        x = padded
    for piece in _forward_pieces(g, x.itemsize):
        piece.run(y.reshape(-1), x.reshape(-1), w.reshape(-1), b, int(relu))


def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    for piece in _backward_data_pieces(g, dy.itemsize):
        piece.run(dx.reshape(-1), dy.reshape(-1), w.reshape(-1), None, 0)


@lru_cache(maxsize=1024)
def _forward_pieces(g: Conv2dGeometry, item: int) -> list[Piece]:
    CG, KG, T = g.C // g.G, g.OC // g.G, g.KH * g.KW
    if merges_rows(g):
        source = Source(g.N, g.H + g.PH + g.PB, g.W + g.PW + g.PR, g.C, g.SH, g.SW)
        taps = [Tap(kh * g.DH, 0, g.KW * g.C) for kh in range(g.KH)]
    else:
        source = Source(g.N, g.H, g.W, g.C, g.SH, g.SW)
        taps = [Tap(kh * g.DH - g.PH, kw * g.DW - g.PW, CG) for kh in range(g.KH) for kw in range(g.KW)]
    grid = Grid(g.OH, g.OW, g.OH, g.OW, g.OC)
    whole = np.zeros(1, np.int64)
    return [
        Piece(
            tile_plan(source, grid, taps, KG, item, n * CG, n * KG),
            n * KG * T * CG, whole, (KG, T * CG, T * CG, 1), slice(n * KG, (n + 1) * KG),
        )
        for n in range(g.G)
    ]  # fmt: skip


@lru_cache(maxsize=1024)
def _backward_data_pieces(g: Conv2dGeometry, item: int) -> list[Piece]:
    """One piece for each group and each phase: the pixels of dx that meet the same taps."""
    CG, KG, T = g.C // g.G, g.OC // g.G, g.KH * g.KW
    source = Source(g.N, g.OH, g.OW, g.OC, 1, 1)
    pieces = []
    for n in range(g.G):
        for row in range(min(g.SH, g.H)):
            for column in range(min(g.SW, g.W)):
                rows = _phase_taps(row + g.PH, g.KH, g.DH, g.SH)
                columns = _phase_taps(column + g.PW, g.KW, g.DW, g.SW)
                taps = [Tap(r, c, KG) for _, r in rows for _, c in columns]
                offsets = np.array([(kh * g.KW + kw) * CG for kh, _ in rows for kw, _ in columns], np.int64)
                grid = Grid(-(-(g.H - row) // g.SH), -(-(g.W - column) // g.SW), g.H, g.W, g.C, row, column, g.SH, g.SW)
                plan = tile_plan(source, grid, taps, CG, item, n * KG, n * CG)
                pieces.append(Piece(plan, n * KG * T * CG, offsets, (CG, KG, 1, T * CG), slice(0)))
    return pieces


def _phase_taps(start: int, K: int, D: int, S: int) -> list[tuple[int, int]]:
    """The taps k that pixels of a phase meet, with the step in dy: oh = i + (start - k*D) / S where that is whole."""
    return [(k, (start - k * D) // S) for k in range(K) if (start - k * D) % S == 0]


def declines_narrow(g: Conv2dGeometry) -> str | None:
    """Why `backward_data_narrow` does not serve a problem, or None."""
    if g.G > 1 or g.DW > 1:
        return "groups or dilation along the row: a filter's row is not one piece of memory"
    if g.C >= NARROW_CHANNELS:
        return f"{g.C} channels fill vectors of their own"
    return None


def backward_data_narrow(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx of few channels, from dy and w, all channels-last."""
    columns = g.KW * g.C
    packed = scratch("conv2d filters", (packed_size(g.KH * g.OC, columns, w.itemsize),), w.dtype)
    offsets, steps = _filter_rows(g)
    pack(packed, w.reshape(-1), offsets, (columns, g.OC, *steps))
    start = scratch("conv2d start", (COLUMNS * VECTOR_BYTES // w.itemsize,), w.dtype)
    start.fill(0)
    images = max(1, min(ROWS_2, NARROW_PIXELS // g.OW))
    micro = blocks_for(PACKED, w.itemsize)
    p = ((g.N, g.H, g.W, g.OH, g.OW), (g.C, g.OC, g.KH, g.KW), (g.SH, g.SW, g.PH, g.PW, g.DH), images, micro)
    kernels.conv2d_backward_data_narrow(dx.reshape(-1), dy.reshape(-1), packed, start, p)


@lru_cache(maxsize=1024)
def _filter_rows(g: Conv2dGeometry) -> tuple[Array, tuple[int, int]]:
    """Where each filter row (kh) starts in w, and the steps of a column (kw, c) and of a filter."""
    row = g.KW * g.C
    return np.arange(g.KH, dtype=np.int64) * row, (1, g.KH * row)
