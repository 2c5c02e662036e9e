"""Plans for backward-weight: how a block lies over dw, how pixels are cut, how many sums run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import conv2d_weight_by_channels, conv2d_weight_by_filters, conv2d_weight_by_pixels
from ...kernels.cpu.conv2d.weight import MR, VECTORS
from ...kernels.cpu.conv2d.weight_filters import ROWS
from ...kernels.cpu.micro import BESIDE, COLUMNS, PANELS, block_address
from ...kernels.cpu.pack import pad
from ...kernels.cpu.simd import VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

CHUNK_PIXELS = 512  # whose dy and x pass through the second-level cache together
PANEL_BYTES = 512 * 1024  # of dy or x that are packed at most at a time
SUMS_BYTES = 2_400_000  # of private sums that are worth their traffic
FEW_CHANNELS = 32  # are read in place, several taps at once, faster than packed tap by tap
FEW_FILTERS = 6  # fill so little of a vector that pixels fill it better
PARTS = 8  # pieces of work at least: fixed, so that sums do not depend on the threads


@dataclass(frozen=True)
class WeightPlan:
    """The arguments of a weight kernel for one group of channels."""

    table: Array  # taps [T, 2], or by filters the blocks
    p: tuple[Any, ...]
    shape: tuple[int, ...]  # of the sums
    filters: slice


def by_filters(g: Conv2dGeometry, item: int) -> bool:
    """Whether vectors lie along the filters: few channels, or filters that fill one vector at most."""
    return g.C // g.G <= FEW_CHANNELS or VECTOR_BYTES // item >= g.OC // g.G


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    if by_filters(g, x.itemsize):
        _by_filters(dw, db, dy, x, g)
    else:
        _by_channels(dw, db, dy, x, g)


def _by_channels(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    for plan in _channel_plans(g, x.itemsize):
        own_dw, own_db = dw[plan.filters].reshape(plan.shape[1:]), db[plan.filters]
        sums, bias_sums = own_dw[None], own_db[None]
        if plan.shape[0] > 1:
            sums = scratch("conv2d sums", plan.shape, dw.dtype)
            bias_sums = scratch("conv2d bias sums", plan.shape[:2], dw.dtype)
        conv2d_weight_by_channels(own_dw, own_db, sums, bias_sums, dy.reshape(-1), x.reshape(-1), plan.table, plan.p)


def _by_filters(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    if g.PW or g.PR:
        padded = scratch("conv2d padded", (g.N, g.H, g.W + g.PW + g.PR, g.C), x.dtype)
        pad(padded, x, (0, g.PW))
        x = padded
    for plan in _filter_plans(g, x.itemsize):
        groups, R, K = plan.shape
        sums = scratch("conv2d sums", plan.shape, dw.dtype)
        bias_sums = scratch("conv2d bias sums", (groups, K), dw.dtype)
        conv2d_weight_by_filters(
            dw[plan.filters].reshape(K, R), db[plan.filters], sums, bias_sums, dy.reshape(-1), x.reshape(-1),
            plan.table, plan.p,
        )  # fmt: skip


def declines_pixels(g: Conv2dGeometry) -> str | None:
    """Why `backward_weight_by_pixels` does not serve a problem, or None."""
    if g.C > 1 or (g.SH, g.SW, g.DH, g.DW) != (1, 1, 1, 1):
        return "more than one channel, a stride or a dilation: pixels of a row are not neighbours"
    if g.OC > FEW_FILTERS or g.OW < 8:
        return f"{g.OC} filters over rows of {g.OW}: vectors are fuller along the filters"
    return None


def backward_weight_by_pixels(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db of one channel and few filters, from dy and x, all channels-last."""
    shape = g.N, g.H + g.PH + g.PB, g.W + g.PW + g.PR
    if shape[1:] != (g.H, g.W):
        padded = scratch("conv2d padded", (*shape, 1), x.dtype)
        pad(padded, x, (g.PH, g.PW))
        x = padded
    groups = min(PARTS, g.N)
    sums = scratch("conv2d sums", (groups, g.OC, g.KH * g.KW), dw.dtype)
    bias_sums = scratch("conv2d bias sums", (groups, g.OC), dw.dtype)
    conv2d_weight_by_pixels(sums, bias_sums, dy, x.reshape(shape), (g.KH, g.KW))
    np.add.reduce(sums, axis=0, out=dw.reshape(g.OC, -1))
    np.add.reduce(bias_sums, axis=0, out=db)


@lru_cache(maxsize=1024)
def _channel_plans(g: Conv2dGeometry, item: int) -> list[WeightPlan]:
    CG, KG = g.C // g.G, g.OC // g.G
    taps = np.array([(kh * g.DH - g.PH, kw * g.DW - g.PW) for kh in range(g.KH) for kw in range(g.KW)], np.int64)
    shape = _groups(g, CHUNK_PIXELS, item), KG, len(taps), CG
    parts = _parts(*shape[1:], PARTS // shape[0], item)
    packed = max(-(-KG // parts[0]), -(-CG // parts[1]) if len(taps) == 1 else 1) * item  # bytes of a pixel
    size = _rows(g, shape[0], min(CHUNK_PIXELS, PANEL_BYTES // packed))
    blocks = tuple((n, MR, block_address(PANELS, item, n, MR)) for n in range(1, VECTORS + 1))
    sizes = (g.N, g.H, g.W, g.OH, g.OW), (g.SH, g.SW), (g.OC, g.C)
    return [
        WeightPlan(taps, (*sizes, (n * KG, n * CG), (*parts, size), blocks), shape, slice(n * KG, (n + 1) * KG))
        for n in range(g.G)
    ]


@lru_cache(maxsize=1024)
def _filter_plans(g: Conv2dGeometry, item: int) -> list[WeightPlan]:
    CG, KG = g.C // g.G, g.OC // g.G
    shape = _groups(g, CHUNK_PIXELS, item), g.KH * g.KW * CG, KG
    cut = PARTS // shape[0], _rows(g, shape[0], CHUNK_PIXELS)
    blocks = np.array(_blocks(g, item), np.int64)
    sizes = (g.N, g.H, g.W + g.PW + g.PR, g.OH, g.OW), (g.SH, g.SW), (g.OC, g.C)
    return [WeightPlan(blocks, (*sizes, (n * KG, n * CG), cut), shape, slice(n * KG, (n + 1) * KG)) for n in range(g.G)]


def _groups(g: Conv2dGeometry, pixels: int, item: int) -> int:
    """How many sums run side by side: a power of two, so that pieces of work are shared out evenly."""
    size = g.OC // g.G * (g.C // g.G) * g.KH * g.KW * item
    most = min(PARTS, SUMS_BYTES // size, -(-g.N * g.OH * g.OW // pixels), g.N * g.OH)
    return 1 << max(1, most).bit_length() - 1


def _rows(g: Conv2dGeometry, groups: int, pixels: int) -> int:
    """Output rows a chunk: as many chunks in each group, all of about the same size."""
    rows = g.N * g.OH
    return -(-rows // (groups * -(-rows // (groups * max(1, pixels // g.OW)))))


def _parts(K: int, T: int, C: int, number: int, item: int) -> tuple[int, int]:
    """Into how many parts the filters and the channels go: all about as large, and little is packed more than once.

    A part costs its multiply-adds, two vectors a cycle, and packing: for a pixel a cycle for each tile of filters, 1.5
    for each vector of x.
    """
    tiles, vectors = -(-K // MR), -(-C * item // VECTOR_BYTES)

    def cycles(k_parts: int) -> float:
        own_tiles, own_vectors = -(-tiles // k_parts), -(-vectors // (number // k_parts))
        return own_tiles * MR * own_vectors * T / 2 + own_tiles + 1.5 * own_vectors * T

    k_parts = min((2**k for k in range(number.bit_length())), key=cycles)
    return k_parts, number // k_parts


def _blocks(g: Conv2dGeometry, item: int) -> list[tuple[int, ...]]:
    """Rows of the table of conv2d_weight_by_filters: neighbours in x, shared out evenly."""
    CG, vectors = g.C // g.G, -(-(g.OC // g.G) * item // VECTOR_BYTES)
    in_one = g.G == 1 and g.DW == 1
    length = g.KW * CG if in_one else CG
    number = -(-length // ROWS[min(vectors, COLUMNS)])
    widths = [n for n in (COLUMNS, 1) if n <= vectors]
    blocks: list[tuple[int, ...]] = []
    for kh in range(g.KH):
        for kw in range(1 if in_one else g.KW):
            for i in range(number):
                first, rows = i * length // number, (i + 1) * length // number - i * length // number
                addresses = [block_address(BESIDE, item, n, rows) for n in widths]
                row, moved = (kh * g.KW + kw) * CG + first, (kw * g.DW * g.C + first) * item
                blocks.append((row, kh * g.DH - g.PH, moved, rows, addresses[0], addresses[-1]))
    return blocks
