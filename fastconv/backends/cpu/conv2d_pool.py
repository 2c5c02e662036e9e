"""Convolution, activation and 2 x 2 pooling as one, forward and backward; what the kernels decline, the parts do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...errors import ShapeError
from ...geometry import Conv2dGeometry, Pool2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.conv2d.activation import NONE
from ...kernels.cpu.conv2d.pooled_tile import LANES
from ...kernels.cpu.conv2d.pooled_weight import PERMUTES
from ...kernels.cpu.simd import REGISTERS
from ..checks import require, require_activation, require_float
from ..host import Array, HostMemory, as_channels_last, as_flat, result
from ..launch import launch, launches, made_of_calls
from ..workspace import scratch
from .pointwise import KINDS

ACCUMULATORS = 24 if REGISTERS == 32 else 12
POSITIONS = 30 if REGISTERS == 32 else 14  # of the filter, a vector each, that a block of dw holds
FILTER_BYTES = 384 * 1024  # of a block of filters: it stays in the second-level cache
BAND_FLOPS = 2e6  # work of a band
PARTS = 16  # of the images, each with sums of its own: fixed, so that sums do not depend on the threads
IMAGE_BYTES = 512 * 1024  # of an image's pixels as backward reads them: they stay in the second-level cache
GRADIENT_STEPS = 6  # the time of reading a vector of the gradient, in multiply-adds
SUMS_BYTES = 2_400_000  # of private sums that are worth their traffic

# Every size of a tile is code of its own, compiled when it is first needed: few sizes, so that new shapes find theirs.
SIZES = (1, 2, 3, 4, 5, 7, 8, 10, 12)
BLOCKS = ((1, 1), (1, 4), (1, 10), (1, 15), (1, 30), (3, 3), (3, 8), (5, 5), (5, 6))
PIXELS = 12 if REGISTERS == 32 else 5  # of a tile of backward-data

Tile = tuple[tuple[int, ...], ...]
_NOTHING = np.empty(0, np.float32)


class CpuConv2dPool(HostMemory):
    """The part of the contract that fuses a convolution with what follows it."""

    @launches
    def conv2d_pool_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        op = "conv2d_pool"
        require_activation(op, activation)
        dtype = require_float(op, x=x, w=w, b=b)
        _require_chain(op, g, pool)
        if dtype != "float32" or declines(g, pool, kind) is not None:
            made_of_calls()
            return super().conv2d_pool_forward(x, w, b, g, pool, kind=kind, activation=activation, out=out)
        require(op, "x", x, g.x_shape, dtype)
        require(op, "w", w, g.w_shape, dtype)
        if b is None:
            b = scratch("conv2d bias", (g.OC,), dtype)
            launch(b.fill, 0)
        require(op, "b", b, (g.OC,), dtype)
        y = result(op, out and out[0], pool.y_shape, dtype)
        kept = result(op, out and out[1], *_kept(pool, kind))
        plan = forward_plan(g, pool, activation)
        packed = scratch("conv2d filters", (plan.packed,), dtype)
        start = scratch("conv2d start", (plan.start,), dtype)
        launch(
            kernels.conv2d_pool_forward,
            as_flat(y),
            as_flat(kept),
            _flat(x),
            _flat(w),
            b.reshape(-1),
            packed,
            start,
            plan.tile,
            plan.p,
        )
        return y, kept

    @launches
    def conv2d_pool_backward(
        self, dy: Array, y: Array, kept: Array, x: Array, w: Array, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, needs_dx: bool = True,
        out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        op = "conv2d_pool_backward"
        require_activation(op, activation)
        dtype = require_float(op, dy=dy, y=y, x=x, w=w)
        _require_chain(op, g, pool)
        if dtype != "float32" or declines_backward(g, pool, kind) is not None:
            made_of_calls()
            return super().conv2d_pool_backward(
                dy, y, kept, x, w, g, pool, kind=kind, activation=activation, needs_dx=needs_dx, out=out
            )
        require(op, "dy", dy, pool.y_shape, dtype)
        require(op, "y", y, pool.y_shape, dtype)
        require(op, "kept", kept, *_kept(pool, kind))
        require(op, "x", x, g.x_shape, dtype)
        require(op, "w", w, g.w_shape, dtype)
        dx = result(op, out and out[0], g.x_shape, dtype) if needs_dx else None
        dw = result(op, out and out[1], g.w_shape, dtype)
        db = result(op, out and out[2], (g.OC,), dtype)
        alone = PERMUTES and kind == "max" and not needs_dx
        plan = backward_plan(g, pool, activation, alone, needs_dx)
        sums = scratch("conv2d sums", plan.sums, dtype)
        given = _flat(dy), _flat(y), _flat(kept), _flat(x)
        if alone:
            launch(
                kernels.conv2d_pool_weight_of_largest, as_flat(dw), db, sums, *given, plan.tile, (0,) * plan.act, plan.p
            )
        else:
            packed = scratch("conv2d filters", (plan.packed,), dtype)
            results = _NOTHING if dx is None else as_flat(dx), as_flat(dw), db
            launch(kernels.conv2d_pool_backward, *results, sums, packed, *given, _flat(w), plan.tile, plan.act, plan.p)
        return dx, dw, db


@dataclass(frozen=True)
class BackwardPlan:
    """The arguments of a backward kernel that do not change from call to call."""

    tile: Tile
    act: int
    p: tuple[int, ...]
    sums: tuple[int, ...]
    packed: int


@dataclass(frozen=True)
class ForwardPlan:
    """The arguments of the forward kernel that do not change from call to call."""

    tile: Tile
    p: tuple[int, ...]
    packed: int
    start: int


def declines(g: Conv2dGeometry, pool: Pool2dGeometry, kind: str) -> str | None:
    """Why the kernels cannot serve a problem, or None."""
    if (g.SH, g.SW, g.DH, g.DW, g.G) != (1, 1, 1, 1, 1):
        return "stride, dilation and groups go one after the other"
    if (pool.KH, pool.KW, pool.SH, pool.SW, pool.DH, pool.DW) != (2, 2, 2, 2, 1, 1):
        return "only windows of 2 x 2 side by side lie inside a tile"
    if pool.PH or pool.PW or (pool.OH, pool.OW) != (g.OH // 2, g.OW // 2):
        return "windows reach beyond the map"
    if kind == "avg" and (g.OH % 2 or g.OW % 2):
        return "a row or column that no window covers would have to be kept"
    if g.KH * (g.KW + 1) * g.C * 2 * LANES * 4 > FILTER_BYTES:
        return "a block of filters does not stay in the second-level cache"
    return None


@lru_cache(maxsize=1024)
def forward_plan(g: Conv2dGeometry, pool: Pool2dGeometry, activation: str | None) -> ForwardPlan:
    """How many windows and vectors a tile has, and how many rows of windows a band."""
    neighbours = _neighbours(g)
    vectors = 1 if g.OC <= LANES else 2
    windows = _even_share(pool.OW, ACCUMULATORS * neighbours // (4 * vectors))
    act = NONE if activation is None else KINDS[activation]
    tile = (tuple(2 * i * g.C * 4 for i in range(windows)), (0,) * vectors, (0,) * neighbours, (0,) * act)
    flops_per_row = g.flops / (g.N * pool.OH)
    rows = max(1, min(pool.OH, int(BAND_FLOPS / flops_per_row)))
    blocks = -(-g.OC // (vectors * LANES))
    p = (g.N, g.C, g.H, g.W, g.OC, g.KH, g.KW, g.PH, g.PW, pool.OH, pool.OW, rows)
    depth = g.KH * (g.KW + neighbours - 1) * g.C
    return ForwardPlan(tile, p, blocks * depth * vectors * LANES, blocks * vectors * LANES)


def declines_backward(g: Conv2dGeometry, pool: Pool2dGeometry, kind: str) -> str | None:
    """Why the backward kernels cannot serve a problem, or None."""
    pixels = (2 * pool.OH + g.KH) * (2 * pool.OW + g.KW)
    if 16 * pixels * g.C > IMAGE_BYTES or 4 * pixels * g.OC > IMAGE_BYTES:
        return "an image does not stay in the second-level cache"
    if 4 * PARTS * g.OC * g.KH * g.KW * g.C > SUMS_BYTES:
        return "private sums cost more than they save"
    return declines(g, pool, kind)


@lru_cache(maxsize=1024)
def backward_plan(
    g: Conv2dGeometry, pool: Pool2dGeometry, activation: str | None, alone: bool, needs_dx: bool
) -> BackwardPlan:
    """How blocks of filter positions are laid over dw, and tiles of pixels over the map.

    alone: dw of a max pooling, without dx, straight from the largest pixels.
    """
    neighbours = 1 if alone else _neighbours(g)
    columns = (g.KW + neighbours - 1) * g.C
    R, Q = _block(g.KH, columns, ACCUMULATORS + 1 if alone else POSITIONS)
    blocks = -(-g.OC // LANES)
    vectors = 1 if g.KW * g.C <= LANES or not needs_dx else 2
    pixels = _even_share(2 * pool.OW, PIXELS) if needs_dx else 2
    act = NONE if activation is None else KINDS[activation]
    da_pixel = 4 * blocks * LANES // neighbours
    tile = ((0,) * R, (0,) * Q, (0,) * neighbours, tuple(i * da_pixel for i in range(pixels)), (0,) * vectors)
    p = (g.N, g.C, g.H, g.W, g.OC, g.KH, g.KW, g.PH, g.PW, pool.OH, pool.OW)
    sums = (min(PARTS, g.N), blocks, -(-g.KH // R) * -(-columns // Q), R * Q + 1, LANES)
    packed = -(-g.KW * g.C // (vectors * LANES)) * vectors * LANES * g.KH * g.OC
    return BackwardPlan(tile, act, p, sums, packed)


def _neighbours(g: Conv2dGeometry) -> int:
    """Pixels that share a vector: two where half of one holds all channels."""
    return 2 if 2 * g.OC <= LANES else 1


def _even_share(n: int, most: int) -> int:
    """n cut into as few pieces of at most `most` as possible: the size of a piece, or the next one in SIZES below."""
    return max(size for size in SIZES if size <= -(-n // -(-n // most)))


def _block(rows: int, columns: int, most: int) -> tuple[int, int]:
    """The block that covers rows x columns of a filter in the least time: each block reads the gradient again."""
    blocks = [(R, Q) for R, Q in BLOCKS if rows >= R and columns >= Q and most >= R * Q]
    return min(blocks, key=lambda s: -(-rows // s[0]) * -(-columns // s[1]) * (s[0] * s[1] + GRADIENT_STEPS))


def _require_chain(op: str, g: Conv2dGeometry, pool: Pool2dGeometry) -> None:
    if pool.x_shape != g.y_shape:
        raise ShapeError(f"{op}: the pooling takes {pool.x_shape}, the convolution gives {g.y_shape}  ({g}; {pool})")


def _kept(pool: Pool2dGeometry, kind: str) -> tuple[tuple[int, ...], str]:
    """Shape and type of what forward keeps: the argmax, or the map."""
    return (pool.y_shape, pool.argmax_dtype) if kind == "max" else (pool.x_shape, "float32")


def _flat(a: Array) -> Array:
    return (as_channels_last(a) if a.ndim == 4 else a).reshape(-1)
