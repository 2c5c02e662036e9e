"""Forward of few filters, with vectors along the pixels of a row: when it serves, and its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.conv2d.few import MOST_FILTERS, form
from ..launch import lasting, launch, launches, prepare

Array = npt.NDArray[Any]

SHORT_ROW = 12  # pixels, of which a block holds 32
FEW_TAPS = 4  # pay for the copy of the image


def declines(g: Conv2dGeometry) -> str | None:
    """Why `forward` does not serve a problem, or None."""
    if g.G > 1 or (g.SH, g.SW) != (1, 1):
        return "groups or a stride: pixels of a row are not neighbours for all filters"
    if g.OC > MOST_FILTERS or g.OW < SHORT_ROW or g.KH * g.KW < FEW_TAPS:
        return f"{g.OC} filters of {g.KH} x {g.KW} over rows of {g.OW}: vectors are fuller along the filters"
    return None


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    packed = lasting("conv2d filters", (g.C, g.KH, g.KW, g.OC), w.dtype)
    prepare(np.copyto, packed, w.transpose(3, 1, 2, 0))
    sizes = (g.N, g.H, g.W, g.C, g.OH, g.OW, g.OC), (g.KH, g.KW, g.PH, g.PW, g.DH, g.DW)
    p = *sizes, int(relu), form(g.OC, x.itemsize)
    launch(kernels.conv2d_few_filters, y.reshape(-1), x.reshape(-1), packed.reshape(-1), b, p)
