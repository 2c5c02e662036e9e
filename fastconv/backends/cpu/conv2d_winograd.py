"""Winograd's F(4x4, 3x3) in all three passes: which problems it takes, when it pays, and its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.conv2d.winograd import PARTS, filters_size, tiles_size
from ...kernels.cpu.conv2d.winograd_transforms import (
    PIXELS,
    POINTS,
    TAPS,
    filter_form,
    filter_gradient_form,
    gradient_form,
    input_form,
    output_form,
)
from ...kernels.cpu.conv2d.winograd_weight import point_sizes
from ...kernels.cpu.micro import PACKED, ROWS, TABLE, best_width, block_of
from ...kernels.cpu.pack import pack
from ...kernels.cpu.simd import VECTOR_BYTES
from ..launch import launch, launches
from ..winograd import get_winograd
from ..workspace import scratch


class Costs(NamedTuple):
    """What the parts of a pass take, in multiply-adds of direct convolution.

    product: of the products. tile, filter: transforms of one channel of a tile, of one channel of a filter. call: the
    rest.
    """

    product: float
    tile: float
    filter: float
    call: float


Array = npt.NDArray[Any]
Map = tuple[int, int, int]  # rows, columns, channels

LANES = VECTOR_BYTES // 4
CHUNK_TILES = range(36, 72)  # whose products stay in the second-level cache
WEIGHT_TILES = 128  # of a chunk of backward-weight at most: V and Z of one point stay in the second-level cache
EVEN = 4  # chunks should come in multiples of it, so that some threads get as many each
# Fitted to 25 layers from 16 to 512 channels on AMD Zen 5, whose ratios (0.3 to 3.1) they meet within 6 % in the mean
# forward, within 25 % in backward-weight.
PASS, WEIGHT = Costs(1.25, 500, 200, 4e6), Costs(1.0, 700, 700, 6e6)
WORTH = 1.2  # times its own time that direct convolution has to take


def declines(g: Conv2dGeometry) -> str | None:
    """Why a problem cannot be computed so, or None."""
    if (g.KH, g.KW) != (TAPS, TAPS) or (g.SH, g.SW, g.DH, g.DW, g.G) != (1, 1, 1, 1, 1):
        return "only 3x3 filters without stride, dilation and groups"
    if g.C % LANES or g.OC % LANES:
        return f"channels in and out must be multiples of {LANES}, a vector"
    return None


def doubts(g: Conv2dGeometry) -> str | None:
    """Why forward and backward-data are left to direct convolution unless asked for, or None."""
    return _unless_worth(_gain(g, PASS))


def doubts_weight(g: Conv2dGeometry) -> str | None:
    """Why backward-weight is left to direct convolution unless asked for, or None."""
    if g.C < 2 * LANES:
        return f"runs on request only: {g.C} channels are a vector, whose products take twice as long as those of two"
    return _unless_worth(_gain(g, WEIGHT))


def _unless_worth(gain: float) -> str | None:
    if not get_winograd():
        return "runs on request only: switched off by fc.set_winograd(False)"
    if gain < WORTH:
        return f"runs on request only: {gain:.2f} times the speed of direct convolution predicted, {WORTH} is worth it"
    return None


@lru_cache(maxsize=1024)
def _gain(g: Conv2dGeometry, costs: Costs) -> float:
    """Predicted times of direct convolution's speed; that one leaves the padding out."""
    direct = g.N * g.C * g.OC * _taps(g.H, g.OH, g.PH) * _taps(g.W, g.OW, g.PW)
    tiles = g.N * -(-g.OH // PIXELS) * -(-g.OW // PIXELS)
    products = tiles * POINTS * g.C * g.OC * costs.product
    return direct / (products + tiles * (g.C + g.OC) * costs.tile + g.C * g.OC * costs.filter + costs.call)


def _taps(size: int, out: int, before: int) -> int:
    """How often the taps of one axis meet the image."""
    return sum(max(0, min(o - before + TAPS, size) - max(o - before, 0)) for o in range(out))


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _forward_plan(g).run(y, x, w, b, relu)


@launches
def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last: a forward pass over dy with the filters turned and transposed."""
    nothing = scratch("conv2d bias", (g.C,), dx.dtype)
    launch(nothing.fill, 0)
    _backward_data_plan(g).run(dx, dy, w, nothing)


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    rows, columns = grid = -(-g.OH // PIXELS), -(-g.OW // PIXELS)
    tiles, (width, last) = g.N * rows * columns, _widths(g.C)
    size = -(-tiles // -(-tiles // WEIGHT_TILES))
    names = ("pixels", "gradients", "sums")
    sizes = point_sizes(g.C, g.OC, size, width * LANES)
    room = (scratch(f"conv2d winograd {n}", (POINTS * s,), x.dtype) for n, s in zip(names, sizes, strict=True))
    totals = scratch("conv2d bias sums", (PARTS, g.OC), x.dtype)
    zeros = scratch("conv2d zeros", (max(g.C, g.OC),), x.dtype)
    zeros.fill(0)
    forms = input_form(width), gradient_form(), filter_gradient_form()
    micro = tuple(block_of(TABLE, x.itemsize, vectors) for vectors in (width, last))
    p = (g.N, g.H, g.W, g.C), (g.OH, g.OW, g.OC), (g.PH, g.PW), grid, size, forms, micro
    kernels.conv2d_winograd_weight(dw.reshape(-1), totals, dy.reshape(-1), x.reshape(-1), *room, zeros, p)
    np.add.reduce(totals, axis=0, out=db)


@dataclass(frozen=True)
class Plan:
    """The arguments of the kernel that do not change from call to call.

    p: see kernels/cpu/conv2d/winograd.py. taps, pack: how w is packed, as pack.py has it. widths: vectors of a whole
    block of columns and of the last. by_filters: how the work is cut.
    """

    p: tuple[Any, ...]
    taps: Array
    pack: tuple[int, int, int, int, int]
    widths: tuple[int, int]
    by_filters: bool
    room: int  # elements of transformed filters, or of transformed tiles

    def run(self, y: Array, x: Array, w: Array, bias: Array, relu: bool = False) -> None:
        """Fill y; all contiguous."""
        zeros = scratch("conv2d zeros", (x.shape[3],), x.dtype)
        launch(zeros.fill, 0)
        packed = scratch("conv2d filters", (w.size,), w.dtype)
        launch(pack, packed, w.reshape(-1), self.taps, self.pack)
        room = scratch("conv2d winograd", (self.room,), w.dtype)
        kernel = kernels.conv2d_winograd_by_filters if self.by_filters else kernels.conv2d_winograd_by_tiles
        forms = input_form(), filter_form(), output_form()
        micro = tuple(block_of(PACKED, y.itemsize, width) for width in self.widths)
        p = (*self.p, int(relu), forms, micro)
        launch(kernel, y.reshape(-1), x.reshape(-1), packed, bias, room, zeros, p)


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry) -> Plan:
    steps = TAPS * TAPS * g.C, 1
    taps = np.arange(TAPS * TAPS, dtype=np.int64) * g.C
    return _plan(g.N, (g.H, g.W, g.C), (g.OH, g.OW, g.OC), (g.PH, g.PW), taps, steps)


@lru_cache(maxsize=1024)
def _backward_data_plan(g: Conv2dGeometry) -> Plan:
    steps = 1, TAPS * TAPS * g.C
    taps = np.arange(TAPS * TAPS, dtype=np.int64)[::-1] * g.C
    pads = TAPS - 1 - g.PH, TAPS - 1 - g.PW
    return _plan(g.N, (g.OH, g.OW, g.OC), (g.H, g.W, g.C), pads, taps, steps)


def _plan(N: int, source: Map, target: Map, pads: tuple[int, int], taps: Array, steps: tuple[int, int]) -> Plan:
    """steps: elements of w from a channel of the target to the next, from one of the source to the next."""
    (_, _, C), (rows, columns, OC) = source, target
    grid = -(-rows // PIXELS), -(-columns // PIXELS)
    tiles, widths = N * grid[0] * grid[1], _widths(OC)
    width = widths[0]
    by_filters = tiles < OC
    size, columns_of_block = _chunk(tiles, ROWS[width]), width * LANES
    if by_filters:
        room = -(-tiles // size) * tiles_size(C, size)
    else:
        room = -(-OC // columns_of_block) * filters_size(C, columns_of_block)
    return Plan(
        ((N, *source), target, pads, grid, size),
        taps,
        (OC, C, *steps, width),
        widths,
        by_filters,
        room,
    )


def _widths(columns: int) -> tuple[int, int]:
    """Vectors of a whole block of columns and of the last."""
    width, vectors = best_width(columns, 4), columns // LANES
    return width, vectors - (-(-vectors // width) - 1) * width


def _chunk(tiles: int, rows: int) -> int:
    """Tiles of a chunk: whole blocks of the micro-kernel, about as many chunks for every thread."""
    sizes = [size for size in CHUNK_TILES if size % rows == 0]
    return min(reversed(sizes), key=lambda size: -(-tiles // (size * EVEN)) * size)
