"""Plans for backward-weight: how a block lies over dw, how pixels are cut, how many sums run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.micro import COLUMNS, PANELS, ROWS_2, TABLE, block_address, blocks_for
from ...kernels.cpu.pack import pad
from ...kernels.cpu.simd import VECTOR_BYTES
from ..workspace import scratch

Array = npt.NDArray[Any]

CHUNK_PIXELS = 512  # whose dy and x pass through the second-level cache together
SUMS_BYTES = 2_400_000  # of private sums that are worth their traffic
FEW_FILTERS = 6  # fill so little of a vector that pixels fill it better
PARTS = 8  # pieces of work at least: fixed, so that sums do not depend on the threads


@dataclass(frozen=True)
class WeightPlan:
    """The arguments of a weight kernel for one group of channels."""

    table: Array  # taps [T, 2], or by filters the rows' offsets in x
    p: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]  # of the sums
    filters: slice


def by_filters(g: Conv2dGeometry, item: int) -> bool:
    """Whether vectors lie along the filters: where the channels of a group are too few to fill one."""
    return VECTOR_BYTES // item > g.C // g.G


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    filters_along = by_filters(g, x.itemsize)
    if filters_along and (g.PH or g.PW or g.PB or g.PR):
        padded = scratch("conv2d padded", (g.N, g.H + g.PH + g.PB, g.W + g.PW + g.PR, g.C), x.dtype)
        pad(padded, x, (g.PH, g.PW))
        x = padded
    run = kernels.conv2d_weight_by_filters if filters_along else kernels.conv2d_weight_by_channels
    item = x.itemsize
    wide, narrow = ((n, ROWS_2, block_address(PANELS, item, n, ROWS_2)) for n in (COLUMNS, 1))
    micro = blocks_for(TABLE, item) if filters_along else (narrow, wide)
    for plan in _plans(g, item):
        flat = dw[plan.filters].reshape(g.OC // g.G, -1)
        if plan.shape[0] == 1 and not filters_along:
            own = flat.reshape(plan.shape), db[plan.filters].reshape(1, -1)
            run(*own, dy.reshape(-1), x.reshape(-1), plan.table, (*plan.p, micro))
            continue
        sums = scratch("conv2d sums", plan.shape, dw.dtype)
        bias_sums = scratch("conv2d bias sums", (plan.shape[0], g.OC // g.G), dw.dtype)
        run(sums, bias_sums, dy.reshape(-1), x.reshape(-1), plan.table, (*plan.p, micro))
        by_filter = sums.transpose(0, 2, 1) if filters_along else sums.reshape(plan.shape[0], *flat.shape)
        np.add.reduce(by_filter, axis=0, out=flat)
        np.add.reduce(bias_sums, axis=0, out=db[plan.filters])


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
    kernels.conv2d_weight_by_pixels(sums, bias_sums, dy, x.reshape(shape), (g.KH, g.KW))
    np.add.reduce(sums, axis=0, out=dw.reshape(g.OC, -1))
    np.add.reduce(bias_sums, axis=0, out=db)


@lru_cache(maxsize=1024)
def _plans(g: Conv2dGeometry, item: int) -> list[WeightPlan]:
    CG, KG = g.C // g.G, g.OC // g.G
    positions = [(kh * g.DH, kw * g.DW) for kh in range(g.KH) for kw in range(g.KW)]
    size = max(1, CHUNK_PIXELS // g.OW)
    groups = max(1, min(PARTS, SUMS_BYTES // (KG * CG * len(positions) * item), -(-g.N * g.OH // size)))
    # As many chunks in each group, all of about the same size.
    size = -(-g.N * g.OH // (groups * -(-g.N * g.OH // (groups * size))))
    if by_filters(g, item):
        H, W = g.H + g.PH + g.PB, g.W + g.PW + g.PR
        rows = [((r * W + c) * g.C + channel) * item for r, c in positions for channel in range(CG)]
        table = np.array(rows + rows[-1:] * ROWS_2, np.int64)
        shape: tuple[int, ...] = groups, len(rows), KG
    else:
        H, W = g.H, g.W
        table = np.array([(r - g.PH, c - g.PW) for r, c in positions], np.int64)
        shape = groups, KG, len(positions), CG
    return [
        WeightPlan(
            table,
            ((g.N, H, W, g.OH, g.OW), (g.SH, g.SW), (g.OC, g.C), (n * KG, n * CG), (-(-PARTS // groups), size)),
            shape, slice(n * KG, (n + 1) * KG),
        )
        for n in range(g.G)
    ]  # fmt: skip
