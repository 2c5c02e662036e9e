"""Convolution as im2col and one matrix product: the lectures' way, on request."""

from __future__ import annotations

from typing import Any

from ...geometry import Conv2dGeometry
from ..algorithms import Algorithm, declines_groups
from ..base import Array


def _nchw(a: Array) -> Array:
    return a.transpose(0, 3, 1, 2)


def _filter_rows(be: Any, w: Array, g: Conv2dGeometry) -> Array:
    return be._contiguous(_nchw(w)).reshape(g.OC, -1)  # [OC, C*KH*KW], the order of im2col's columns


def _forward(be: Any, y: Array, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, activation: str | None) -> None:
    cols, rows = be.im2col(_nchw(x), g), _filter_rows(be, w, g)
    be._gemm(y.reshape(-1, g.OC), cols, rows, trans_b=True, bias=b, activation=activation)


def _backward_data(be: Any, dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    cols = be.empty((g.N * g.OH * g.OW, g.C * g.KH * g.KW), dy.dtype)
    be._gemm(cols, dy.reshape(-1, g.OC), _filter_rows(be, w, g))
    be.col2im(cols, g, out=_nchw(dx))


def _backward_weight(be: Any, dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    rows = be.empty((g.OC, g.C * g.KH * g.KW), x.dtype)
    be._gemm(rows, dy.reshape(-1, g.OC), be.im2col(_nchw(x), g), trans_a=True, sums=db)
    be._device.copy(dw, rows.reshape(g.OC, g.C, g.KH, g.KW).transpose(0, 2, 3, 1))


COLUMNS = {
    direction: Algorithm(
        "im2col", "the windows as a matrix, then one matrix product: the lectures' way", declines_groups, run,
        on_request="runs on request only: its matrix takes KH*KW times the memory of the input",
    )
    for direction, run in (
        ("forward", _forward), ("backward_data", _backward_data), ("backward_weight", _backward_weight)
    )
}  # fmt: skip
