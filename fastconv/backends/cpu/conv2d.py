"""Convolution on the CPU: checks, choice of algorithm, scratch memory; the loops are in kernels/cpu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry, Pool2dGeometry
from ...kernels.cpu import conv2d as direct
from ...kernels.cpu import im2col as columns
from ...kernels.cpu.pointwise import RELU, activation_forward
from ..algorithms import Algorithm, accepts_all, choose, declines_groups, listed
from ..base import Candidate
from ..checks import require, require_activation, require_conv2d, require_direction, require_float
from ..host import HostMemory, as_channels_last, result
from ..launch import fixed, lasting, launches, made_of_calls, prepare
from ..workspace import scratch
from . import conv2d_dots as dots
from . import conv2d_few as few
from . import conv2d_groups as groups
from . import conv2d_tiles as tiles
from . import conv2d_weight as weight
from . import conv2d_winograd as winograd
from . import tuning
from .linear import gemm, outer

Array = npt.NDArray[Any]


class CpuConv2d(HostMemory):
    """The convolution part of the contract."""

    @launches
    def conv2d_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, *,
        activation: str | None = None, algorithm: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        require_activation("conv2d", activation)
        dtype = require_conv2d("conv2d", g, x=x, w=w, b=b)
        if b is None:
            b = lasting("conv2d bias", (g.OC,), dtype)
            prepare(b.fill, 0)
        y = result("conv2d", out, g.y_shape, dtype)
        run = _choose(g, "forward", algorithm, dtype)
        relu = activation == "relu"
        run(as_channels_last(y), as_channels_last(x), as_channels_last(w), np.ascontiguousarray(b), g, relu)
        return y if activation is None or relu else self.activation_forward(activation, y, out=y)

    @launches
    def conv2d_backward_data(
        self, dy: Array, w: Array, g: Conv2dGeometry, *, algorithm: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_conv2d("conv2d", g, dy=dy, w=w)
        dx = result("conv2d", out, g.x_shape, dtype)
        run = _choose(g, "backward_data", algorithm, dtype)
        run(as_channels_last(dx), as_channels_last(dy), as_channels_last(w), g)
        return dx

    def conv2d_backward_weight(
        self, dy: Array, x: Array, g: Conv2dGeometry, *,
        algorithm: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        dtype = require_conv2d("conv2d", g, dy=dy, x=x)
        dw = result("conv2d", None if out is None else out[0], g.w_shape, dtype)
        db = result("conv2d", None if out is None else out[1], (g.OC,), dtype)
        run = _choose(g, "backward_weight", algorithm, dtype)
        run(as_channels_last(dw), db, as_channels_last(dy), as_channels_last(x), g)
        return dw, db

    def im2col(self, x: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("im2col", x=x)
        require("im2col", "x", x, g.x_shape, dtype)
        cols = result("im2col", out, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        columns.im2col(cols, as_channels_last(x), _window(g))
        return cols

    def col2im(self, cols: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("col2im", cols=cols)
        require("col2im", "cols", cols, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        x = result("col2im", out, g.x_shape, dtype)
        columns.col2im(as_channels_last(x), np.ascontiguousarray(cols), _window(g))
        return x

    def explain(self, g: Conv2dGeometry, direction: str = "forward", *, fixed: bool = False) -> list[Candidate]:
        require_direction(direction)
        return listed(_in_order(g, direction, "float32", fixed), g)


def _problem(g: Conv2dGeometry) -> tuple[int, ...]:
    return g.N, g.C, g.H, g.W, g.OC, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.G, g.OH, g.OW


def _window(g: Conv2dGeometry | Pool2dGeometry) -> tuple[int, ...]:
    return g.N, g.C, g.H, g.W, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.OH, g.OW


def _direct_forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool) -> None:
    packed = scratch("conv2d filters", (g.KH, g.KW, g.C // g.G, g.OC), w.dtype)
    packed[...] = w.transpose(1, 2, 3, 0)
    direct.conv2d_forward(y, x, packed, b, _problem(g))
    if relu:
        activation_forward(y.reshape(-1), y.reshape(-1), RELU, 0.0)


def _direct_backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    direct.conv2d_backward_data(dx, dy, w, _problem(g))


def _direct_backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    direct.conv2d_backward_weight(dw, db, dy, x, _problem(g))


def _column_matrix(g: Conv2dGeometry, dtype: Any) -> Array:
    return scratch("conv2d columns", (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)


def _as_rows(w: Array, g: Conv2dGeometry) -> Array:
    return w.transpose(0, 3, 1, 2).reshape(g.OC, -1)  # [OC, C*KH*KW], the order of im2col's columns


def _im2col_forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool) -> None:
    cols = _column_matrix(g, x.dtype)
    columns.im2col(cols, x, _window(g))
    gemm(y.reshape(-1, g.OC), cols, _as_rows(w, g).T, b, relu=relu)


def _im2col_backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    cols = _column_matrix(g, dy.dtype)
    gemm(cols, dy.reshape(-1, g.OC), _as_rows(w, g))
    columns.col2im(dx, cols, _window(g))


def _im2col_backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    cols = _column_matrix(g, x.dtype)
    columns.im2col(cols, x, _window(g))
    rows = dy.reshape(-1, g.OC)
    product = scratch("conv2d dw rows", (g.OC, g.C * g.KH * g.KW), x.dtype)
    outer(product, db, rows, cols)
    dw[...] = product.reshape(g.OC, g.C, g.KH, g.KW).transpose(0, 2, 3, 1)


def _im2col(run: Callable[..., None]) -> Algorithm:
    return Algorithm(
        "im2col", "the windows as a matrix, then one matrix product: the lectures' way", declines_groups, run,
        on_request="runs on request only: its matrix takes KH*KW times the memory of the input",
    )  # fmt: skip


def _tiles(run: Callable[..., None]) -> Algorithm:
    return Algorithm("tiles", "tiles of pixels by channels in registers, no buffer", accepts_all, run)


def _groups(declines: Callable[[Conv2dGeometry], str | None], run: Callable[..., None]) -> Algorithm:
    return Algorithm("groups", "groups: vectors along the channels of one or of several", declines, run)


def _pixels(declines: Callable[[Conv2dGeometry], str | None], run: Callable[..., None]) -> Algorithm:
    return Algorithm("pixels", "few filters: vectors along the pixels of a row", declines, run)


def _dots(declines: Callable[[Conv2dGeometry], str | None]) -> Algorithm:
    return Algorithm("dots", "few pixels: filters are read where they lie", declines, dots.forward)


def _winograd(run: Callable[..., None], doubts: Callable[[Conv2dGeometry], str | None] = winograd.doubts) -> Algorithm:
    return Algorithm(
        "winograd", "a quarter or a third of the products, between transforms of 6 x 6 pixels", winograd.declines, run,
        doubts=doubts, rounds=True,
    )  # fmt: skip


def _direct(run: Callable[..., None]) -> Algorithm:
    return Algorithm("direct", "plain loops, every geometry, no buffer", accepts_all, run)


ALGORITHMS = {
    "forward": (
        _im2col(_im2col_forward),
        _groups(groups.declines_forward, groups.forward),
        _pixels(few.declines, few.forward),
        _dots(dots.declines),
        _winograd(winograd.forward),
        _tiles(tiles.forward),
        _direct(_direct_forward),
    ),
    "backward_data": (
        _im2col(_im2col_backward_data),
        _groups(groups.declines_data, groups.backward_data),
        Algorithm(
            "narrow", "few channels: vectors along a filter's row", tiles.declines_narrow, tiles.backward_data_narrow
        ),
        _winograd(winograd.backward_data, winograd.doubts_data),
        _tiles(tiles.backward_data),
        _direct(_direct_backward_data),
    ),
    "backward_weight": (
        _im2col(_im2col_backward_weight),
        _groups(groups.declines_weight, groups.backward_weight),
        _pixels(weight.declines_pixels, weight.backward_weight_by_pixels),
        _winograd(winograd.backward_weight, winograd.doubts_weight),
        _tiles(weight.backward_weight),
        _direct(_direct_backward_weight),
    ),
}
# Forward where filters keep their values: what they are made into costs nothing.
OF_FIXED_FILTERS = (
    _im2col(_im2col_forward),
    _groups(groups.declines_forward, groups.forward),
    _pixels(few.declines, few.forward),
    _winograd(winograd.forward, winograd.doubts_fixed),
    _dots(dots.declines_fixed),
    _tiles(tiles.forward),
    _direct(_direct_forward),
)


def _computing(direction: str, dtype: Any, fixed: bool = False) -> Sequence[Algorithm]:
    """The algorithms for arrays of this type: those that round more than they must leave float64 alone."""
    algorithms = OF_FIXED_FILTERS if fixed and direction == "forward" else ALGORITHMS[direction]
    return [a for a in algorithms if np.dtype(dtype) == np.float32 or not a.rounds]


def _in_order(g: Conv2dGeometry, direction: str, dtype: Any, fixed: bool) -> Sequence[Algorithm]:
    """The algorithms as they are asked: before all others the one that `fastconv tune` found to be fastest, which it
    measures with everything that is to be done at every run."""
    candidates = _computing(direction, dtype, fixed)
    measured = None if fixed else tuning.fastest(g, direction, dtype)
    if measured is None:
        return candidates
    first = [replace(a, reason=tuning.REASON) for a in candidates if a.name == measured and a.on_request is None]
    return [*first, *(a for a in candidates if a.name != measured or a.on_request is not None)]


def _choose(g: Conv2dGeometry, direction: str, algorithm: str | None, dtype: Any) -> Callable[..., None]:
    """The function that runs: the first that neither declines nor waits for a request, or the one asked for."""
    candidates = _in_order(g, direction, dtype, fixed()) if algorithm is None else _computing(direction, dtype)
    run = choose(candidates, g, direction, algorithm).run
    if not getattr(run, "launches", False):
        made_of_calls()
    return run
