"""Convolution with one channel a group; the loops are in kernels/cuda/conv2d_depthwise.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ...kernels.cuda.source import Kernel
from ..algorithms import Algorithm
from ..base import Array
from .conv2d_implicit import sizes
from .linear import KINDS
from .memory import THREADS, kernel_of

RUN = 4  # pixels along a row that one thread sums
MOST_ACROSS = 64  # channels of a block
MOST_BLOCKS = 65535  # along y or z of a grid
TAPS = (7, 5, 3, 1)  # of a filter's row, summed by one thread where they are all of it
FEWEST_PIXELS = 64  # that a thread sums before its part is added to the others
BLOCKS_A_PROCESSOR = 8


def _declines(g: Conv2dGeometry) -> str | None:
    if g.G == 1 or g.C != g.G:
        return "only for groups of one channel"
    if max(g.KH * g.KW, -(-g.OC // MOST_ACROSS)) > MOST_BLOCKS:
        return f"more than {MOST_BLOCKS} taps, or blocks of {MOST_ACROSS} channels"
    return None


def _block(channels: int) -> tuple[int, int]:
    """Threads along channels and along pixels."""
    across = min(MOST_ACROSS, 1 << (channels - 1).bit_length())
    return across, THREADS // across


def _grid(block: tuple[int, int], channels: int, pixels: int) -> tuple[int, int]:
    return -(-pixels // block[1]), -(-channels // block[0])


def _filters_last(be: Any, w: Array) -> Array:
    return be._contiguous(w.transpose(1, 2, 3, 0))  # [KH, KW, 1, OC]


def _forward(be: Any, y: Array, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, activation: str | None) -> None:
    block = _block(g.OC)
    grid = _grid(block, g.OC, g.N * g.OH * -(-g.OW // RUN))
    args = (y, x, _filters_last(be, w), b, *sizes(g))
    kind = KINDS.index(activation)
    be._launch("conv2d_depthwise", "depthwise_forward", grid, block, args, dtype=y.dtype, KIND=kind, RUN=RUN)


def _backward_data(be: Any, dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    block = _block(g.C)
    grid = _grid(block, g.C, g.N * g.H * -(-g.W // RUN))
    args = (dx, dy, _filters_last(be, w), *sizes(g))
    be._launch("conv2d_depthwise", "depthwise_backward_data", grid, block, args, dtype=dx.dtype, RUN=RUN)


def _backward_weight(be: Any, dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    block, taps = _block(g.OC), next(n for n in TAPS if n in (g.KW, 1))
    pixels, runs = g.N * g.OH * g.OW, g.KH * (g.KW // taps)
    across = -(-g.OC // block[0])
    wanted = max(1, be._device.processors * BLOCKS_A_PROCESSOR // (across * runs))
    depth = max(FEWEST_PIXELS * block[1], -(-pixels // wanted))
    parts, part = -(-pixels // depth), g.OC * (g.KH * g.KW + 1)
    sums = be._device.empty((parts * part,), dw.dtype)
    filters_last = be._device.empty((g.KH, g.KW, g.OC), dw.dtype)
    args = (sums, sums[filters_last.size :], dy, x, *sizes(g), depth, np.int64(part))
    grid = (parts, across, runs)
    be._launch("conv2d_depthwise", "depthwise_backward_weight", grid, block, args, dtype=dw.dtype, TAPS=taps)
    be._sum_parts(filters_last, db, sums, None, parts, g.OC, KINDS.index(None))
    be._device.copy(dw, filters_last.transpose(2, 0, 1)[..., None])


DEPTHWISE = {
    direction: Algorithm("depthwise", "a filter for each channel: memory is the limit", _declines, run)
    for direction, run in (
        ("forward", _forward), ("backward_data", _backward_data), ("backward_weight", _backward_weight)
    )
}  # fmt: skip


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    file, both = "conv2d_depthwise", ("float32", "float64")
    return [
        *(kernel_of(file, "depthwise_forward", t, KIND=kind, RUN=RUN) for t in both for kind in range(len(KINDS))),
        *(kernel_of(file, "depthwise_backward_data", t, RUN=RUN) for t in both),
        *(kernel_of(file, "depthwise_backward_weight", t, TAPS=taps) for t in both for taps in TAPS),
    ]
