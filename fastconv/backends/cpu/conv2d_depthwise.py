"""Depthwise convolution: one filter for each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import depthwise as kernels
from ..workspace import scratch

Array = npt.NDArray[Any]

GROUPS = 8  # of images with sums of their own: fixed, so that sums do not depend on the threads


def declines(g: Conv2dGeometry) -> str | None:
    """Why these functions do not serve a problem, or None."""
    if g.G == 1 or not g.G == g.C == g.OC:
        return "not depthwise: a channel has more than its own filter"
    return None


def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry) -> None:
    """y = b + conv(x, w), all channels-last."""
    kernels.depthwise_forward(y, x, _taps_first(w, g), b, _steps(g))


def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    kernels.depthwise_backward_data(dx, dy, _taps_first(w, g), _steps(g))


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    groups = min(GROUPS, g.N)
    sums = scratch("conv2d sums", (groups, g.KH, g.KW, g.C), dw.dtype)
    bias_sums = scratch("conv2d bias sums", (groups, g.C), dw.dtype)
    kernels.depthwise_backward_weight(sums, bias_sums, dy, x, _steps(g))
    np.copyto(dw[..., 0], sums.sum(axis=0).transpose(2, 0, 1))
    bias_sums.sum(axis=0, out=db)


def _taps_first(w: Array, g: Conv2dGeometry) -> Array:
    packed = scratch("conv2d filters", (g.KH, g.KW, g.C), w.dtype)
    np.copyto(packed, w[..., 0].transpose(1, 2, 0))
    return packed


def _steps(g: Conv2dGeometry) -> tuple[int, ...]:
    return g.KH, g.KW, g.SH, g.SW, g.PH, g.PW, g.DH, g.DW
