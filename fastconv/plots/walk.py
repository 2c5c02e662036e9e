"""The walk of a filter, or of a pooling's window, over a small input: what stands where at every position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.mode import no_grad
from ..errors import ArgumentError, ShapeError
from ..geometry import Conv2dGeometry, Padding, Pool2dGeometry, Size2
from ..ops.conv2d import conv2d
from ..ops.pool2d import max_pool2d
from .canvas import Array

MINUS = "\N{MINUS SIGN}"
LARGEST = 16  # squares along a side of the padded input that can still be read
MOST_CHANNELS = 4


@dataclass(frozen=True)
class Position:
    """Its place (i, j) in the output, and the window's rows and columns in the padded input."""

    place: tuple[int, int]
    rows: range
    columns: range


@dataclass(frozen=True)
class Walk:
    """What is walked over, and what comes out.

    padded: the input with its padding, (C, H + PH + PB, W + PW + PR); w: (C, KH, KW), None of a pooling; y: (OH, OW).
    """

    geometry: Conv2dGeometry | Pool2dGeometry
    padded: Array
    w: Array | None
    y: Array

    def positions(self) -> Iterator[Position]:
        """Every position, in the order in which the output is written."""
        g = self.geometry
        for i, j in np.ndindex(g.OH, g.OW):
            rows = range(i * g.SH, i * g.SH + g.KH * g.DH, g.DH)
            columns = range(j * g.SW, j * g.SW + g.KW * g.DW, g.DW)
            yield Position((i, j), rows, columns)

    def window(self, position: Position) -> Array:
        """What the window covers there, (C, KH, KW)."""
        return self.padded[np.ix_(range(len(self.padded)), position.rows, position.columns)]


def filter_walk(x: Any, w: Any, *, stride: Size2 = 1, padding: Padding = 0, dilation: Size2 = 1) -> Walk:
    """The walk of a filter w (KH, KW) over an input x (H, W), or of (C, KH, KW) over (C, H, W), by our conv2d.

    Raises:
        ShapeError, ArgumentError: the sizes or options cannot be, or are too large to be read.
    """
    x, w = _channels("x", x), _channels("w", w)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    g = Conv2dGeometry.from_shapes((1, *x.shape), (1, *w.shape), **options)  # type: ignore[arg-type]
    padded = _padded(x, g, 0)
    with no_grad():
        y = conv2d(x[None], w[None], **options)  # type: ignore[arg-type]
    return Walk(g, padded, w, y.numpy()[0, 0])


def pool_walk(x: Any, kernel_size: Size2 = 2, *, stride: Size2 | None = None, padding: Padding = 0) -> Walk:
    """The walk of a maximum's window over an input x (H, W); the stride defaults to the kernel's size.

    Raises:
        ShapeError, ArgumentError: as `filter_walk`.
    """
    x = _channels("x", x)
    if len(x) > 1:
        raise ShapeError(f"walk: a pooling's input must be (H, W), got shape {x.shape}: it takes channels one by one")
    g = Pool2dGeometry.from_shape((1, *x.shape), kernel_size, stride=stride, padding=padding)
    padded = _padded(x, g, -np.inf)
    with no_grad():
        y = max_pool2d(x[None], kernel_size, stride, padding)
    return Walk(g, padded, None, y.numpy()[0, 0])


def size_rule(g: Conv2dGeometry | Pool2dGeometry, axis: str) -> str:
    """How the output's size along "H" or "W" follows: "(7 + 2·1 - 3) / 2 + 1 = 4", ⌊ ⌋ where it is rounded down."""
    n, before, after, taps, step, stride, out = (
        (g.H, g.PH, g.PB, g.KH, g.DH, g.SH, g.OH) if axis == "H" else (g.W, g.PW, g.PR, g.KW, g.DW, g.SW, g.OW)
    )
    extent = (taps - 1) * step + 1
    pad = "" if before + after == 0 else f" + 2·{before}" if before == after else f" + {before} + {after}"
    share = f"({n}{pad} {MINUS} {extent}) / {stride}"
    return f"{share if (n + before + after - extent) % stride == 0 else f'⌊{share}⌋'} + 1 = {out}"


def _channels(name: str, value: Any) -> Array:
    """(H, W) or (C, H, W) as (C, H, W)."""
    array = np.asarray(value, np.float64)
    if array.ndim not in (2, 3):
        raise ShapeError(f"walk: {name} must have 2 axes, or 3 with channels, got shape {array.shape}")
    return array if array.ndim == 3 else array[None]


def _padded(x: Array, g: Conv2dGeometry | Pool2dGeometry, value: float) -> Array:
    padded = np.pad(x, ((0, 0), (g.PH, g.PB), (g.PW, g.PR)), constant_values=value)
    if max(padded.shape[1:]) > LARGEST or len(padded) > MOST_CHANNELS:
        raise ArgumentError(
            f"walk: at most {MOST_CHANNELS} channels of {LARGEST} rows and columns can be read, with padding "
            f"{padded.shape}  ({g})"
        )
    return padded
