"""Pooling on the CPU: checks and memory; the loops are in kernels/cpu/pool2d."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...geometry import Pool2dGeometry
from ...kernels.cpu import pool2d as kernels
from ..checks import require, require_float
from ..host import Array, HostMemory, as_channels_last, as_flat, result
from ..launch import launch, launches
from ..workspace import scratch

CHUNKS = 32  # of the rows of dx where windows overlap: fixed, so that little scratch is enough


class CpuPool2d(HostMemory):
    """The pooling part of the contract."""

    @launches
    def max_pool2d_forward(
        self, x: Array, g: Pool2dGeometry, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("max_pool2d", x=x)
        require("max_pool2d", "x", x, g.x_shape, dtype)
        y = result("max_pool2d", out and out[0], g.y_shape, dtype)
        argmax = result("max_pool2d", out and out[1], g.y_shape, g.argmax_dtype)
        launch(kernels.max_pool2d_forward, as_flat(y), as_flat(argmax), _flat(x), _problem(g))
        return y, argmax

    @launches
    def max_pool2d_backward(self, dy: Array, argmax: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("max_pool2d_backward", dy=dy)
        require("max_pool2d_backward", "dy", dy, g.y_shape, dtype)
        require("max_pool2d_backward", "argmax", argmax, g.y_shape, g.argmax_dtype)
        dx = result("max_pool2d_backward", out, g.x_shape, dtype)
        launch(kernels.max_pool2d_backward, as_flat(dx), _flat(dy), _flat(argmax), _moves(g), *_found(g), _problem(g))
        return dx

    @launches
    def avg_pool2d_forward(self, x: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d", x=x)
        require("avg_pool2d", "x", x, g.x_shape, dtype)
        y = result("avg_pool2d", out, g.y_shape, dtype)
        launch(kernels.avg_pool2d_forward, as_flat(y), _flat(x), _problem(g), _counted(g))
        return y

    @launches
    def avg_pool2d_backward(self, dy: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d_backward", dy=dy)
        require("avg_pool2d_backward", "dy", dy, g.y_shape, dtype)
        dx = result("avg_pool2d_backward", out, g.x_shape, dtype)
        launch(kernels.avg_pool2d_backward, as_flat(dx), _flat(dy), *_found(g), _problem(g), _counted(g))
        return dx


def _flat(a: Array) -> Array:
    return as_channels_last(a).reshape(-1)


def _problem(g: Pool2dGeometry) -> tuple[int, ...]:
    return g.N, g.C, g.H, g.W, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.OH, g.OW


def _found(g: Pool2dGeometry) -> tuple[Array, Array]:
    """Scratch for the windows over a pixel, a row for each chunk: notes of them, their places and counts."""
    most = ((g.KH - 1) * g.DH // g.SH + 1) * ((g.KW - 1) * g.DW // g.SW + 1)
    chunks, room = min(CHUNKS, g.N * g.H), (g.SW + 1) * most
    notes = scratch("pool2d notes", (chunks, room), np.float64)
    return notes, scratch("pool2d places", (chunks, room + g.SW + 1), np.int64)


@lru_cache(maxsize=1024)
def _moves(g: Pool2dGeometry) -> Array:
    """The elements from the first tap of a window to each of its taps."""
    rows, columns = np.arange(g.KH) * g.DH * g.W, np.arange(g.KW) * g.DW
    return np.add.outer(rows, columns).reshape(-1) * g.C


def _counted(g: Pool2dGeometry) -> tuple[int, int]:
    """The (H, W) in which an average counts its taps: the padded input's, or (0, 0) for the input's own."""
    return (g.H + g.PH + g.PB, g.W + g.PW + g.PR) if g.count_include_pad else (0, 0)
