"""Convolution as matrix products whose matrices are never stored; the loops are in kernels/cuda/conv2d_*.cu."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ...kernels.cuda.source import Kernel
from ..algorithms import Algorithm, accepts_all
from ..base import Array
from .linear import KINDS
from .memory import kernel_of
from .tiles import Plan, tiles_for

NONE = KINDS.index(None)


def sizes(g: Conv2dGeometry) -> tuple[int, ...]:
    """The geometry as the kernels of convolution take it."""
    return g.N, g.C, g.H, g.W, g.OC, g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW, g.G, g.OH, g.OW


def _in_fours(be: Any, g: Conv2dGeometry, a: Array, b: Array) -> int:
    """How many neighbours both operands can read at once: 4 channels where a group's come in fours, else 1."""
    return 4 if g.C // g.G % 4 == 0 and g.OC // g.G % 4 == 0 and be._aligned(a, b) else 1


def _launch(
    be: Any, name: str, cut: Plan, vec: int, blocks: int, args: tuple[Any, ...], dtype: Any, kind: int = NONE
) -> None:
    constants = {"VEC": vec, "KIND": kind, **cut.tile.constants}
    be._launch(name, name, (blocks, 1, cut.parts), (cut.tile.threads,), args, dtype=dtype, **constants)


def _forward(be: Any, y: Array, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, activation: str | None) -> None:
    M, N, K = g.N * g.OH * g.OW, g.OC // g.G, g.KH * g.KW * (g.C // g.G)
    vec = 4 if g.C // g.G % 4 == 0 and be._aligned(x, w) else 1
    cut = be._cut(M, N, K, y.dtype, vec=vec, products=g.G)

    def launch(y: Array, _: None, b: Array | None, part: int, kind: int) -> None:
        args = (y, x, w, b, *sizes(g), cut.depth, np.int64(part))
        _launch(be, "conv2d_forward", cut, vec, cut.tile.count(M, N) * g.G, args, y.dtype, kind)

    be._whole_or_in_parts(launch, cut, y.reshape(-1, g.OC), None, b, activation)


def _backward_data(be: Any, dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    steps = [S // math.gcd(S, D) for S, D in ((g.SH, g.DH), (g.SW, g.DW))]
    apart = [D // math.gcd(S, D) for S, D in ((g.SH, g.DH), (g.SW, g.DW))]
    phases = min(g.SH, g.H) * min(g.SW, g.W)
    M, N = g.N * -(-g.H // g.SH) * -(-g.W // g.SW), g.C // g.G
    K = -(-g.KH // steps[0]) * -(-g.KW // steps[1]) * (g.OC // g.G)
    vec = _in_fours(be, g, dy, w)
    cut = be._cut(M, N, K, dx.dtype, vec=vec, products=g.G * phases)

    def launch(dx: Array, _: None, __: None, part: int, kind: int) -> None:
        args = (dx, dy, w, *sizes(g), *steps, *apart, cut.depth, np.int64(part))
        _launch(be, "conv2d_backward_data", cut, vec, cut.tile.count(M, N) * g.G * phases, args, dx.dtype)

    be._whole_or_in_parts(launch, cut, dx.reshape(-1, g.C), None, None, None)


def _backward_weight(be: Any, dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    M, N, K = g.OC // g.G, g.KH * g.KW * (g.C // g.G), g.N * g.OH * g.OW
    vec = _in_fours(be, g, dy, x)
    cut = be._cut(M, N, K, dw.dtype, vec=vec, products=g.G)

    def launch(dw: Array, db: Array, _: None, part: int, kind: int) -> None:
        args = (dw, db, dy, x, *sizes(g), cut.depth, np.int64(part))
        _launch(be, "conv2d_backward_weight", cut, vec, cut.tile.count(M, N) * g.G, args, dw.dtype)

    be._whole_or_in_parts(launch, cut, dw.reshape(g.OC, -1), db, None, None)


IMPLICIT = {
    direction: Algorithm("implicit_gemm", "tiles of a product whose matrices are never stored", accepts_all, run)
    for direction, run in (
        ("forward", _forward), ("backward_data", _backward_data), ("backward_weight", _backward_weight)
    )
}  # fmt: skip


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    names = {"conv2d_forward": range(len(KINDS)), "conv2d_backward_data": [NONE], "conv2d_backward_weight": [NONE]}
    return [
        kernel_of(name, name, dtype, VEC=vec, KIND=kind, **tile.constants)
        for dtype, itemsize in (("float32", 4), ("float64", 8))
        for vec in (4, 1)
        for tile in tiles_for(vec, itemsize, 80)
        for name, kinds in names.items()
        for kind in kinds
    ]
