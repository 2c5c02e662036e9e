"""Convolution as a sum over filter taps: each one slice of the input times one slice of the filter."""

from __future__ import annotations

import numpy as np

from ...errors import ArgumentError
from ...geometry import Conv2dGeometry
from ..base import Candidate
from ..checks import require, require_activation, require_conv2d, require_direction, require_float
from ..host import Array, HostMemory
from .store import silent, store
from .windows import Geometry, padded, padded_zeros, taps, unpadded


class ReferenceConv2d(HostMemory):
    """The convolution part of the contract."""

    @silent
    def conv2d_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, *,
        activation: str | None = None, algorithm: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        dtype = require_conv2d("conv2d", g, x=x, w=w, b=b)
        require_activation("conv2d", activation)
        _only_algorithm(algorithm)
        xp = padded(x, g, 0)
        y = np.zeros((g.N, g.G, g.OC // g.G, g.OH, g.OW), dtype)
        for kh, kw, rows, cols in taps(g):
            window = xp[:, :, rows, cols].reshape(g.N, g.G, g.C // g.G, g.OH, g.OW)
            filters = w[:, :, kh, kw].reshape(g.G, g.OC // g.G, g.C // g.G)
            y += np.einsum("ngchw,gkc->ngkhw", window, filters, optimize=True)
        y = y.reshape(g.y_shape)
        if b is not None:
            y = y + b.reshape(1, -1, 1, 1)
        return store(y if activation is None else self.activation_forward(activation, y), out, g.y_shape, dtype)

    @silent
    def conv2d_backward_data(
        self, dy: Array, w: Array, g: Conv2dGeometry, *, algorithm: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_conv2d("conv2d_backward_data", g, dy=dy, w=w)
        _only_algorithm(algorithm)
        dxp = padded_zeros(g, dtype)
        dyg = dy.reshape(g.N, g.G, g.OC // g.G, g.OH, g.OW)
        for kh, kw, rows, cols in taps(g):
            filters = w[:, :, kh, kw].reshape(g.G, g.OC // g.G, g.C // g.G)
            dxp[:, :, rows, cols] += np.einsum("ngkhw,gkc->ngchw", dyg, filters, optimize=True).reshape(
                g.N, g.C, g.OH, g.OW
            )
        return store(unpadded(dxp, g), out, g.x_shape, dtype)

    @silent
    def conv2d_backward_weight(
        self, dy: Array, x: Array, g: Conv2dGeometry, *,
        algorithm: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        dtype = require_conv2d("conv2d_backward_weight", g, dy=dy, x=x)
        _only_algorithm(algorithm)
        xp = padded(x, g, 0)
        dyg = dy.reshape(g.N, g.G, g.OC // g.G, g.OH, g.OW)
        dw = np.empty(g.w_shape, dtype)
        for kh, kw, rows, cols in taps(g):
            window = xp[:, :, rows, cols].reshape(g.N, g.G, g.C // g.G, g.OH, g.OW)
            dw[:, :, kh, kw] = np.einsum("ngkhw,ngchw->gkc", dyg, window, optimize=True).reshape(g.OC, g.C // g.G)
        dw_out, db_out = out if out is not None else (None, None)
        return store(dw, dw_out, g.w_shape, dtype), store(dy.sum((0, 2, 3)), db_out, (g.OC,), dtype)

    def im2col(self, x: Array, g: Geometry, *, out: Array | None = None) -> Array:
        dtype = require_float("im2col", x=x)
        require("im2col", "x", x, g.x_shape, dtype)
        xp = padded(x, g, 0)
        cols = np.empty((g.N, g.C, g.KH, g.KW, g.OH, g.OW), dtype)
        for kh, kw, rows, columns in taps(g):
            cols[:, :, kh, kw] = xp[:, :, rows, columns]
        shape = (g.N * g.OH * g.OW, g.C * g.KH * g.KW)
        return store(cols.transpose(0, 4, 5, 1, 2, 3).reshape(shape), out, shape, dtype)

    @silent
    def col2im(self, cols: Array, g: Geometry, *, out: Array | None = None) -> Array:
        dtype = require_float("col2im", cols=cols)
        require("col2im", "cols", cols, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        windows = cols.reshape(g.N, g.OH, g.OW, g.C, g.KH, g.KW).transpose(0, 3, 4, 5, 1, 2)
        xp = padded_zeros(g, dtype)
        for kh, kw, rows, columns in taps(g):
            xp[:, :, rows, columns] += windows[:, :, kh, kw]
        return store(unpadded(xp, g), out, g.x_shape, dtype)

    def explain(self, g: Conv2dGeometry, direction: str = "forward", *, fixed: bool = False) -> list[Candidate]:
        require_direction(direction)
        return [Candidate("taps", "one matrix product per filter tap, the specification; takes every geometry")]


def _only_algorithm(algorithm: str | None) -> None:
    if algorithm not in (None, "taps"):
        raise ArgumentError(f"the reference backend has one algorithm, 'taps', got {algorithm!r}")
