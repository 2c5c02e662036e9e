"""Convolution that is one matrix product as it stands: one tap, no stride, no padding."""

from __future__ import annotations

from typing import Any

from ...geometry import Conv2dGeometry
from ..algorithms import Algorithm
from ..base import Array


def _declines(g: Conv2dGeometry) -> str | None:
    if (g.KH, g.KW, g.SH, g.SW, g.G) == (1, 1, 1, 1, 1) and (g.OH, g.OW, g.PH, g.PW) == (g.H, g.W, 0, 0):
        return None
    return "only for one tap without stride, padding and groups"


def _forward(be: Any, y: Array, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, activation: str | None) -> None:
    filters = w.reshape(g.OC, g.C)
    be._gemm(y.reshape(-1, g.OC), x.reshape(-1, g.C), filters, trans_b=True, bias=b, activation=activation)


def _backward_data(be: Any, dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    be._gemm(dx.reshape(-1, g.C), dy.reshape(-1, g.OC), w.reshape(g.OC, g.C))


def _backward_weight(be: Any, dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    be._gemm(dw.reshape(g.OC, g.C), dy.reshape(-1, g.OC), x.reshape(-1, g.C), trans_a=True, sums=db)


POINTWISE = {
    direction: Algorithm("pointwise", "one tap: pixels by channels is a matrix already", _declines, run)
    for direction, run in (
        ("forward", _forward), ("backward_data", _backward_data), ("backward_weight", _backward_weight)
    )
}  # fmt: skip
