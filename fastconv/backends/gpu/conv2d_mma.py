"""Convolution on tensor cores; the loops are in kernels/cuda/conv2d_mma.cu and conv2d_weight_mma.cu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ...kernels.cuda.source import Kernel
from ..algorithms import Algorithm
from ..base import Array
from .conv2d import GpuConv2d
from .conv2d_implicit import sizes
from .linear import KINDS
from .linear_mma import FUSED, NUMBERS, GpuLinearMma, unit_variants
from .memory import kernel_of

NONE = KINDS.index(None)
FEWEST = 8  # channels of a group, in and out
MOST_BLOCKS = 2**16 - 1  # along the third axis of a grid
LARGEST_IMAGE = 2**31 - 1  # elements: offsets inside an image have 32 bits
FARTHEST = 2**30  # rows or columns that a padded map may have: the kernels mark what lies outside by a number beyond
REASONS = {
    "tf32": "tensor cores; factors rounded to 10 bits of mantissa",
    "tf32x3": "tensor cores; float32-grade from three products, each factor being the sum of two tf32 numbers",
    "bfloat16": "tensor cores; factors rounded to 7 bits of mantissa",
    "float16": "tensor cores; factors rounded to 10 bits of mantissa, those beyond 65504 become infinite",
}


class GpuConv2dMma(GpuLinearMma, GpuConv2d):
    """Convolution in the precision that stands, or in the one that `algorithm=` names."""

    def _algorithms(self, direction: str, dtype: Any) -> Sequence[Algorithm]:
        missing = self._declines_units() if dtype == np.float32 else "the arrays are not float32"
        return _with_mma(tuple(super()._algorithms(direction, dtype)), direction, self._precision(dtype), missing)


@lru_cache(maxsize=256)
def _with_mma(
    portable: tuple[Algorithm, ...], direction: str, standing: str | None, missing: str | None
) -> tuple[Algorithm, ...]:
    """The tensor cores' algorithms before the portable ones; only the precision that stands runs without a request."""

    def declines(g: Conv2dGeometry) -> str | None:
        return missing or _declines(g)

    mma = [
        Algorithm(
            precision, REASONS[precision], declines, partial(RUNS[direction], precision=precision),
            on_request=None if precision == standing else _on_request(precision),
        )
        for precision in NUMBERS
    ]  # fmt: skip
    return *mma, *portable


def _on_request(precision: str) -> str:
    if precision == "tf32x3":
        return "runs on request only: strict float32 is the rule"
    return f"runs on request, or where fc.set_precision({precision!r}) stands"


def _declines(g: Conv2dGeometry) -> str | None:
    if g.G > 1 and min(g.C, g.OC) // g.G < FEWEST:
        return f"groups of fewer than {FEWEST} channels leave most of a tile empty"
    if g.G * g.SH * g.SW > MOST_BLOCKS:
        return f"more than {MOST_BLOCKS} groups and phases of the stride"
    if max(g.H * g.W * g.C, g.OH * g.OW * g.OC) > LARGEST_IMAGE:
        return f"an image has more than {LARGEST_IMAGE} elements"
    if max(g.H + g.PH + g.PB, g.W + g.PW + g.PR) >= FARTHEST:
        return f"the padded map has {FARTHEST} rows or columns, or more"
    return None


def _forward(
    be: GpuConv2dMma, y: Array, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, activation: str | None, *,
    precision: str,
) -> None:  # fmt: skip
    M, N, K = g.N * g.OH * g.OW, g.OC // g.G, g.KH * g.KW * (g.C // g.G)
    pack = be._pack(x, w) if g.C // g.G % 4 == 0 else 1
    tile = be._cut_for_units(precision, M, N, K, pack, products=g.G, whole=True).tile

    def run(fused: str | None) -> None:
        be._launch_on_units(
            "conv2d_mma", "conv2d_forward_mma", (tile.count(M, N), 1, g.G), tile, (y, x, w, b, *sizes(g)),
            precision=precision, PACK=pack, KIND=KINDS.index(fused),
        )  # fmt: skip

    be._activated(y, activation, run)


def _backward_data(be: GpuConv2dMma, dx: Array, dy: Array, w: Array, g: Conv2dGeometry, *, precision: str) -> None:
    turned = _with_channels_outside(be, w, g)
    M, N, K = g.N * -(-g.H // g.SH) * -(-g.W // g.SW), g.C // g.G, g.KH * g.KW * (g.OC // g.G) // (g.SH * g.SW)
    pack = be._pack(dy, turned) if g.OC // g.G % 4 == 0 else 1
    tile = be._cut_for_units(precision, M, N, K, pack, products=g.G * g.SH * g.SW, whole=True).tile
    be._launch_on_units(
        "conv2d_mma", "conv2d_backward_data_mma", (tile.count(M, N), 1, g.G * g.SH * g.SW), tile,
        (dx, dy, turned, *sizes(g)), precision=precision, PACK=pack, KIND=NONE,
    )  # fmt: skip


def _with_channels_outside(be: GpuConv2dMma, w: Array, g: Conv2dGeometry) -> Array:
    """The filters [OC, KH, KW, C/G] as [C, KH, KW, OC/G]: they are small, and so reductions over OC read in order."""
    grouped = w.reshape(g.G, g.OC // g.G, g.KH * g.KW, g.C // g.G)
    return be._contiguous(grouped.transpose(0, 3, 2, 1))


def _backward_weight(
    be: GpuConv2dMma, dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry, *, precision: str
) -> None:
    M, N, K = g.OC // g.G, g.KH * g.KW * (g.C // g.G), g.N * g.OH * g.OW
    pack = be._pack(dy, x) if g.C // g.G % 4 == 0 and g.OC // g.G % 4 == 0 else 1
    cut = be._cut_for_units(precision, M, N, K, pack, products=g.G)

    def launch(dw: Array, db: Array, _: None, part: int, kind: int) -> None:
        be._launch_on_units(
            "conv2d_weight_mma", "conv2d_backward_weight_mma", (cut.tile.count(M, N), cut.parts, g.G), cut.tile,
            (dw, db, dy, x, *sizes(g), cut.depth, np.int64(part)), precision=precision, PACK=pack,
        )  # fmt: skip

    be._whole_or_in_parts(launch, cut, dw.reshape(g.OC, -1), db, None, None)


RUNS: dict[str, Callable[..., None]] = {
    "forward": _forward,
    "backward_data": _backward_data,
    "backward_weight": _backward_weight,
}


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    files = [
        *(("conv2d_mma", "conv2d_forward_mma", {"KIND": KINDS.index(kind)}) for kind in FUSED),
        ("conv2d_mma", "conv2d_backward_data_mma", {"KIND": NONE}),
        ("conv2d_weight_mma", "conv2d_backward_weight_mma", {}),
    ]
    return [
        kernel_of(file, name, "float32", **constants, **kind)
        for constants in unit_variants(NUMBERS)
        for file, name, kind in files
    ]
