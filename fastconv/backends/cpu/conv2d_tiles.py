"""Forward and backward-data by tiles of pixels by channels, and backward-data of few channels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.micro import COLUMNS, PACKED, ROWS_2, blocks_for
from ...kernels.cpu.pack import pack, packed_size
from ...kernels.cpu.simd import VECTOR_BYTES
from ..launch import launch, launches
from ..workspace import scratch
from .conv2d_plan import Map, Pass, TilePlan, tile_plan
from .conv2d_regions import backward_data_lines, forward_lines

Array = npt.NDArray[Any]

MERGED_CHANNELS = 16  # below this many channels, a filter's row is one run over a padded copy of x
NARROW_CHANNELS = 12  # below this many channels, backward-data lays its vectors along a filter's row
NARROW_PIXELS = 256  # of one row of some images, whose products stay in the first-level cache


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _forward_plan(g, x.itemsize).run(y, x, w, b, relu)


@launches
def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    _backward_data_plan(g, dy.itemsize).run(dx, dy, w)


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry, item: int) -> TilePlan:
    CG, KG = g.C // g.G, g.OC // g.G
    steps = g.KW * CG, CG, g.KH * g.KW * CG, 1
    merged = g.C < MERGED_CHANNELS and g.G == 1 and g.DW == 1
    p = Pass(g.N, Map(g.H, g.W, g.G, CG), Map(g.OH, g.OW, g.G, KG), *forward_lines(g), steps)
    return tile_plan(p, item, merged)


@lru_cache(maxsize=1024)
def _backward_data_plan(g: Conv2dGeometry, item: int) -> TilePlan:
    CG, KG = g.C // g.G, g.OC // g.G
    steps = g.KW * CG, CG, 1, g.KH * g.KW * CG
    p = Pass(g.N, Map(g.OH, g.OW, g.G, KG), Map(g.H, g.W, g.G, CG), *backward_data_lines(g), steps)
    return tile_plan(p, item)


def declines_narrow(g: Conv2dGeometry) -> str | None:
    """Why `backward_data_narrow` does not serve a problem, or None."""
    if g.G > 1 or g.DW > 1:
        return "groups or dilation along the row: a filter's row is not one piece of memory"
    if g.C >= NARROW_CHANNELS:
        return f"{g.C} channels fill vectors of their own"
    return None


@launches
def backward_data_narrow(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx of few channels, from dy and w, all channels-last."""
    columns = g.KW * g.C
    packed = scratch("conv2d filters", (packed_size(g.KH * g.OC, columns, w.itemsize),), w.dtype)
    offsets, steps = _filter_rows(g)
    launch(pack, packed, w.reshape(-1), offsets, (columns, g.OC, *steps, COLUMNS))
    start = scratch("conv2d start", (COLUMNS * VECTOR_BYTES // w.itemsize,), w.dtype)
    launch(start.fill, 0)
    images = max(1, min(ROWS_2, NARROW_PIXELS // g.OW))
    micro = blocks_for(PACKED, w.itemsize)
    p = ((g.N, g.H, g.W, g.OH, g.OW), (g.C, g.OC, g.KH, g.KW), (g.SH, g.SW, g.PH, g.PW, g.DH), images, micro)
    launch(kernels.conv2d_backward_data_narrow, dx.reshape(-1), dy.reshape(-1), packed, start, p)


@lru_cache(maxsize=1024)
def _filter_rows(g: Conv2dGeometry) -> tuple[Array, tuple[int, int]]:
    """Where each filter row (kh) starts in w, and the steps of a column (kw, c) and of a filter."""
    row = g.KW * g.C
    return np.arange(g.KH, dtype=np.int64) * row, (1, g.KH * row)
