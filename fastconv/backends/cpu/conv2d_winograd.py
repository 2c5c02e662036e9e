"""Winograd's F(4x4, 3x3) and F(2x2, 5x5) in all three passes: what they take, when they pay, their arguments."""

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
    EDGE,
    POINTS,
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
from ..launch import fixed, lasting, launch, launches, prepare
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
Images = tuple[int, int, int, int]  # number, rows, columns, channels
Grid = tuple[int, int, int]  # tiles down, tiles across, side of one

LANES = VECTOR_BYTES // 4
CHUNK_TILES = range(36, 72)  # whose products stay in the second-level cache
WEIGHT_TILES = 128  # of a chunk of backward-weight at most
GROUP_TILES = 32  # at least, of a group with sums of its own
SUMS_BYTES = 5_000_000  # of private sums that are worth their traffic
LEAST_TILES = 12  # of a chunk where four of them meet fixed filters
EVEN = 4  # chunks should come in multiples of it, so that some threads get as many each
SIZES = 3, 5  # of filters
# Fitted to 35 layers from 16 to 512 channels on AMD Zen 5, whose ratios (0.7 to 2.7) they meet within 8 % in the mean
# forward and in backward-data, within 18 % in backward-weight.
PASS = {3: Costs(1.3, 300, 350, 5.5e6), 5: Costs(1.2, 350, 1000, 4e6)}
WEIGHT = {3: Costs(1.2, 500, 300, 4e6), 5: Costs(1.3, 400, 300, 4e6)}
# Of filters that are transformed once; `filter` is the time to read them. Fitted to 13 layers, the products in whole
# blocks of rows: predicted 1.0 to 2.2, measured 1.0 to 2.0.
FIXED = Costs(1.1, 350, 310, 0)
WORTH = 1.2  # times its own time that direct convolution has to take


def declines(g: Conv2dGeometry) -> str | None:
    """Why a problem cannot be computed so, or None."""
    if g.KH != g.KW or g.KH not in SIZES or (g.SH, g.SW, g.DH, g.DW, g.G) != (1, 1, 1, 1, 1):
        return "only 3x3 and 5x5 filters without stride, dilation and groups"
    if g.C % LANES or g.OC % LANES:
        return f"channels in and out must be multiples of {LANES}, a vector"
    return None


def doubts(g: Conv2dGeometry) -> str | None:
    """Why forward is left to direct convolution unless asked for, or None."""
    return _unless_worth(_gain(g, PASS[g.KH], _grid(g.OH, g.OW, g.KH)))


def doubts_fixed(g: Conv2dGeometry) -> str | None:
    """Why forward with filters that keep their values is left to direct convolution unless asked for, or None."""
    rows, columns, _ = grid = _grid(g.OH, g.OW, g.KH)
    return _unless_worth(_gain(g, FIXED, grid, _rows_of_few(g.N * rows * columns, g.OC)))


def doubts_data(g: Conv2dGeometry) -> str | None:
    """Why backward-data is left to direct convolution unless asked for, or None."""
    return _unless_worth(_gain(g, PASS[g.KH], _grid(g.H, g.W, g.KH)))


def doubts_weight(g: Conv2dGeometry) -> str | None:
    """Why backward-weight is left to direct convolution unless asked for, or None."""
    if g.C < 2 * LANES:
        return f"runs on request only: {g.C} channels are a vector, whose products take twice as long as those of two"
    return _unless_worth(_gain(g, WEIGHT[g.KH], _grid(g.OH, g.OW, g.KH)))


def _unless_worth(gain: float) -> str | None:
    if not get_winograd():
        return "runs on request only: switched off by fc.set_winograd(False)"
    if gain < WORTH:
        return f"runs on request only: {gain:.2f} times the speed of direct convolution predicted, {WORTH} is worth it"
    return None


@lru_cache(maxsize=1024)
def _gain(g: Conv2dGeometry, costs: Costs, grid: Grid, rows: int | None = None) -> float:
    """Predicted times of direct convolution's speed; that one leaves the padding out.

    rows: of the products, where they are more than tiles.
    """
    direct = g.N * g.C * g.OC * _taps(g.H, g.OH, g.PH, g.KH) * _taps(g.W, g.OW, g.PW, g.KW)
    tiles = g.N * grid[0] * grid[1]
    products = (rows or tiles) * POINTS * g.C * g.OC * costs.product
    return direct / (products + tiles * (g.C + g.OC) * costs.tile + g.C * g.OC * costs.filter + costs.call)


def _rows_of_few(tiles: int, columns: int) -> int:
    """Rows of whole blocks that take the tiles of all chunks."""
    size = _few_tiles(tiles)
    if size is None:
        return tiles
    block = ROWS[_widths(columns, size)[0]]
    return -(-tiles // size) * -(-size // block) * block


def _taps(size: int, out: int, before: int, taps: int) -> int:
    """How often the taps of one axis meet the image."""
    return sum(max(0, min(o - before + taps, size) - max(o - before, 0)) for o in range(out))


def _grid(rows: int, columns: int, taps: int) -> Grid:
    """Tiles down and across an image of so many pixels, and the side of one."""
    side = EDGE + 1 - taps
    return -(-rows // side), -(-columns // side), side


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _forward_plan(g, fixed()).run(y, x, w, b, relu)


@launches
def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last: a forward pass over dy with the filters turned and transposed."""
    nothing = scratch("conv2d bias", (g.C,), dx.dtype)
    launch(nothing.fill, 0)
    _backward_data_plan(g).run(dx, dy, w, nothing)


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    plan = _weight_plan(g)
    rooms = (scratch(f"conv2d winograd {name}", (size,), x.dtype) for name, size in plan.rooms)
    totals = scratch("conv2d bias sums", (PARTS, g.OC), x.dtype)
    zeros = scratch("conv2d zeros", (max(g.C, g.OC),), x.dtype)
    zeros.fill(0)
    width, last = plan.widths
    forms = input_form(plan.p[3][2], width), gradient_form(plan.p[3][2]), filter_gradient_form(g.KH)
    micro = tuple(block_of(TABLE, x.itemsize, vectors) for vectors in (width, last))
    kernel = kernels.conv2d_winograd_weight_by_groups if plan.by_groups else kernels.conv2d_winograd_weight_by_points
    kernel(dw.reshape(-1), totals, dy.reshape(-1), x.reshape(-1), *rooms, zeros, (*plan.p, forms, micro))
    np.add.reduce(totals, axis=0, out=db)


@dataclass(frozen=True)
class WeightPlan:
    """The arguments of the backward-weight kernels that do not change from call to call.

    p: see kernels/cpu/conv2d/winograd_weight.py. widths: vectors of a whole block of columns and of the last.
    by_groups: how the work is cut. rooms: names and elements of scratch.
    """

    p: tuple[Any, ...]
    widths: tuple[int, int]
    by_groups: bool
    rooms: tuple[tuple[str, int], ...]


@lru_cache(maxsize=1024)
def _weight_plan(g: Conv2dGeometry) -> WeightPlan:
    rows, columns, _ = grid = _grid(g.OH, g.OW, g.KH)
    tiles, (width, last) = g.N * rows * columns, _widths(g.C)
    by_groups = tiles >= PARTS * GROUP_TILES and PARTS * POINTS * 4 * g.C * g.OC <= SUMS_BYTES
    own = -(-tiles // PARTS) if by_groups else tiles
    size = -(-own // -(-own // WEIGHT_TILES))
    v, z, m = point_sizes(g.C, g.OC, size, width * LANES)
    shared = () if by_groups else (("pixels", POINTS * v), ("gradients", POINTS * z))
    rooms = *shared, ("sums", (PARTS if by_groups else 1) * POINTS * m)
    p = (g.N, g.H, g.W, g.C), (g.OH, g.OW, g.OC), (g.PH, g.PW), grid, size
    return WeightPlan(p, (width, last), by_groups, rooms)


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
        zeros = lasting("conv2d zeros", (x.shape[3],), x.dtype)
        prepare(zeros.fill, 0)
        packed = scratch("conv2d filters", (w.size,), w.dtype)
        prepare(pack, packed, w.reshape(-1), self.taps, self.pack)
        side = self.p[3][2]
        forms = input_form(side), filter_form(EDGE + 1 - side), output_form(side)
        micro = tuple(block_of(PACKED, y.itemsize, width) for width in self.widths)
        p = (*self.p, int(relu), forms, micro)
        room = lasting("conv2d winograd", (self.room,), w.dtype)
        if self.by_filters:
            launch(kernels.conv2d_winograd_by_filters, y.reshape(-1), x.reshape(-1), packed, bias, room, zeros, p)
        else:
            prepare(kernels.conv2d_winograd_filters, room, packed, p)
            launch(kernels.conv2d_winograd_by_tiles, y.reshape(-1), x.reshape(-1), room, bias, zeros, p)


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry, fixed: bool = False) -> Plan:
    steps = g.KH * g.KW * g.C, 1
    taps = np.arange(g.KH * g.KW, dtype=np.int64) * g.C
    grid = _grid(g.OH, g.OW, g.KH)
    return _plan((g.N, g.H, g.W, g.C), (g.OH, g.OW, g.OC), (g.PH, g.PW), grid, taps, steps, fixed)


@lru_cache(maxsize=1024)
def _backward_data_plan(g: Conv2dGeometry) -> Plan:
    steps = 1, g.KH * g.KW * g.C
    taps = np.arange(g.KH * g.KW, dtype=np.int64)[::-1] * g.C
    pads = g.KH - 1 - g.PH, g.KW - 1 - g.PW
    grid = _grid(g.H, g.W, g.KH)
    return _plan((g.N, g.OH, g.OW, g.OC), (g.H, g.W, g.C), pads, grid, taps, steps)


def _plan(
    source: Images, target: Map, pads: tuple[int, int], grid: Grid, taps: Array, steps: tuple[int, int],
    fixed: bool = False,
) -> Plan:  # fmt: skip
    """steps: elements of w from a channel of the target to the next, from one of the source to the next.

    fixed: whether w keeps its values, so that its transforms cost nothing.
    """
    (N, _, _, C), (_, _, OC) = source, target
    tiles = N * grid[0] * grid[1]
    by_filters, few = tiles < OC and not fixed, _few_tiles(tiles) if fixed else None
    widths = _widths(OC, few)
    width = widths[0]
    size, columns_of_block = few or _chunk(tiles, ROWS[width]), width * LANES
    if by_filters:
        room = -(-tiles // size) * tiles_size(C, size)
    else:
        room = -(-OC // columns_of_block) * filters_size(C, columns_of_block)
    return Plan(
        (source, target, pads, grid, size),
        taps,
        (OC, C, *steps, width),
        widths,
        by_filters,
        room,
    )


def _few_tiles(tiles: int) -> int | None:
    """Tiles of a chunk where so few are halved or quartered, else None."""
    if tiles > EVEN * CHUNK_TILES.start:
        return None
    return -(-tiles // (EVEN if tiles >= EVEN * LEAST_TILES else 2))


def _widths(columns: int, rows: int | None = None) -> tuple[int, int]:
    """Vectors of a whole block of columns and of the last, for products of so many rows where these are few."""
    width, vectors = best_width(columns, 4, rows), columns // LANES
    return width, vectors - (-(-vectors // width) - 1) * width


def _chunk(tiles: int, rows: int) -> int:
    """Tiles of a chunk: whole blocks of the micro-kernel, about as many chunks for every thread."""
    sizes = [size for size in CHUNK_TILES if size % rows == 0]
    return min(reversed(sizes), key=lambda size: -(-tiles // (size * EVEN)) * size)
