"""Forward of few pixels, with filters read where they lie: when it serves, and its arguments."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d.dots import SIDE, conv2d_dots, dot_tile
from ..launch import launch, launches
from .conv2d_plan import Pads, with_margins
from .conv2d_regions import forward_lines, margins

Array = npt.NDArray[Any]

FEW_PIXELS = 128  # for which packing the filters costs more than it saves
FEWEST_PIXELS = 16  # for which packed filters gain nothing
DEEP = 256  # elements of a sum, beside which folding it costs little
PIXELS = 25  # that share what a chunk reads of the filters


def declines_fixed(g: Conv2dGeometry) -> str | None:
    """Why `forward` does not serve a problem whose filters are packed once, or None."""
    pixels = g.N * g.OH * g.OW
    return declines(g) or (f"{pixels} pixels fill tiles" if pixels > FEWEST_PIXELS else None)


def declines(g: Conv2dGeometry) -> str | None:
    """Why `forward` does not serve a problem, or None."""
    if g.G > 1 or g.DW > 1:
        return "groups or dilation along the row: a filter's row does not meet one piece of memory"
    if g.KH * g.KW * g.C < DEEP:
        return f"sums of {g.KH * g.KW * g.C} elements: folding vectors costs more than packing filters"
    if g.N * g.OH * g.OW > FEW_PIXELS:
        return f"{g.N * g.OH * g.OW} pixels pay for packing the filters"
    return None


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    pads, offsets, p = _plan(g, x.itemsize)
    padded = with_margins(x, pads)
    arrays = y.reshape(-1), padded.reshape(-1), w.reshape(-1), b
    launch(conv2d_dots, *arrays, offsets, dot_tile(x.itemsize), (*p, int(relu)))


@lru_cache(maxsize=1024)
def _plan(g: Conv2dGeometry, item: int) -> tuple[Pads, Array, tuple[int, ...]]:
    """Zeros around x, where each pixel finds its first element in it, and the numbers of the kernel."""
    (top, bottom), (left, right) = (margins(lines) for lines in forward_lines(g))
    H, W = top + g.H + bottom, left + g.W + right
    n, oh, ow = np.ogrid[: g.N, : g.OH, : g.OW]
    places = (((n * H + oh * g.SH) * W + ow * g.SW) * g.C * item).reshape(-1)
    offsets = np.concatenate((places, places[-1:].repeat(SIDE))).astype(np.int64)
    p = places.size, g.OC, g.KH, g.KW * g.C, g.DH * W * g.C, PIXELS
    return (top, bottom, left, right), offsets, p
