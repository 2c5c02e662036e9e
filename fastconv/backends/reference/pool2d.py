"""Pooling tap by tap."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...geometry import Pool2dGeometry
from ..checks import require, require_float
from ..host import Array, HostMemory
from .store import silent, store
from .windows import padded, padded_size, padded_zeros, taps, unpadded


class ReferencePool2d(HostMemory):
    """The pooling part of the contract."""

    def max_pool2d_forward(
        self, x: Array, g: Pool2dGeometry, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("max_pool2d", x=x)
        require("max_pool2d", "x", x, g.x_shape, dtype)
        xp = padded(x, g, -np.inf)
        inside = padded(np.ones_like(x, bool), g, False)
        y = np.full(g.y_shape, -np.inf, dtype)
        argmax = np.zeros(g.y_shape, g.argmax_dtype)
        found = np.zeros(g.y_shape, bool)
        for kh, kw, rows, cols in taps(g):
            v = xp[:, :, rows, cols]
            wins = inside[:, :, rows, cols] & (~found | (v > y) | (np.isnan(v) & ~np.isnan(y)))
            y = np.where(wins, v, y)
            argmax[wins] = kh * g.KW + kw
            found |= wins
        y_out, argmax_out = out if out is not None else (None, None)
        return store(y, y_out, g.y_shape, dtype), store(argmax, argmax_out, g.y_shape, g.argmax_dtype)

    @silent
    def max_pool2d_backward(self, dy: Array, argmax: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("max_pool2d_backward", dy=dy)
        require("max_pool2d_backward", "dy", dy, g.y_shape, dtype)
        require("max_pool2d_backward", "argmax", argmax, g.y_shape, g.argmax_dtype)
        dxp = padded_zeros(g, dtype)
        for kh, kw, rows, cols in taps(g):
            dxp[:, :, rows, cols] += np.where(argmax == kh * g.KW + kw, dy, 0)
        return store(unpadded(dxp, g), out, g.x_shape, dtype)

    @silent
    def avg_pool2d_forward(self, x: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d", x=x)
        require("avg_pool2d", "x", x, g.x_shape, dtype)
        xp = padded(x, g, 0)
        y = np.zeros(g.y_shape, dtype)
        for _, _, rows, cols in taps(g):
            y += xp[:, :, rows, cols]
        return store(y / _divisors(g, dtype), out, g.y_shape, dtype)

    @silent
    def avg_pool2d_backward(self, dy: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d_backward", dy=dy)
        require("avg_pool2d_backward", "dy", dy, g.y_shape, dtype)
        dxp = padded_zeros(g, dtype)
        share = dy / _divisors(g, dtype)
        for _, _, rows, cols in taps(g):
            dxp[:, :, rows, cols] += share
        return store(unpadded(dxp, g), out, g.x_shape, dtype)


def _divisors(g: Pool2dGeometry, dtype: Any) -> Array:
    """How many taps of each window count, (OH, OW)."""
    rows, cols = padded_size(g)
    counts = np.zeros((rows, cols), dtype)
    if g.count_include_pad:
        counts[: g.PH + g.H + g.PB, : g.PW + g.W + g.PR] = 1
    else:
        counts[g.PH : g.PH + g.H, g.PW : g.PW + g.W] = 1
    return sum((counts[r, c] for _, _, r, c in taps(g)), np.zeros((g.OH, g.OW), dtype))
