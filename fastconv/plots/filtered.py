"""A photograph, and what classic filters make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import filters
from ..tensor_files import Path_
from . import canvas
from .canvas import Array, as_image, draw_image

COLOUR_FILTERS = ("red", "edge", "right-sobel")
GREY_FILTERS = ("identity", "edge", "right-sobel")
BRIGHT = 99  # percent of the pixels that stay below white where a filter answers to differences only
PANEL = 2.6  # inches
WEIGHTS = 0.9


def filtered(image: Any, names: Sequence[str] | None = None, path: Path_ | None = None) -> None:
    """The image (C, H, W) from 0 to 1 beside what each filter of `fc.filters` makes of it, the weights below.

    names: red, edge and right-sobel unless given; identity in place of red where there is one channel. Black is 0 or
    less. White is what a white image would give; for a filter whose weights add up to 0, what 1 % of the pixels pass.

    Raises:
        ShapeError: it is no image of 1 or 3 channels.
        ArgumentError: a filter is unknown or does not fit, or the image is of whole numbers.
    """
    image = as_image("filtered", image)
    names = names or (COLOUR_FILTERS if len(image) == 3 else GREY_FILTERS)
    maps = [filters.apply(image, name) for name in names]
    height = PANEL * image.shape[1] / image.shape[2]
    inches = (PANEL * (1 + len(names)), height + WEIGHTS + 0.5)
    figure = canvas.empty_figure(inches, path)
    grid: Any = figure.subplots(2, 1 + len(names), squeeze=False, height_ratios=(height, WEIGHTS))
    figure.subplots_adjust(0.01, 0.03, 0.99, 1 - 0.35 / inches[1], wspace=0.03, hspace=0.06)
    grid[0, 0].set_title("photograph" if len(image) == 3 else "image")
    draw_image(grid[0, 0], image)
    grid[1, 0].axis("off")
    for i, (name, one) in enumerate(zip(names, maps, strict=True), start=1):
        grid[0, i].set_title(name)
        draw_image(grid[0, i], one[None] / _white(one, filters.classic(name, len(image))))
        _draw_weights(grid[1, i], filters.classic(name, 3 if name in filters.COLOURS else 1)[0])
    canvas.finish(figure, path)


def _white(one: Array, weights: Array) -> float:
    """The value of a map that is drawn white."""
    total = float(weights.sum())
    return total if total > 1e-3 else max(float(np.percentile(one, BRIGHT)), 1e-6)


def _draw_weights(ax: Any, weights: Array) -> None:
    """A filter (1, KH, KW) as squares with its numbers, or (3, 1, 1) as three squares with their colours' letters."""
    colours = len(weights) == 3
    flat = weights[:, 0].T if colours else weights[0]  # [1, 3] or [KH, KW]
    limit = 1.6 * float(np.abs(flat).max())
    KH, KW = flat.shape
    ax.imshow(flat, cmap="PuOr", vmin=-limit, vmax=limit, extent=(0, KW, KH, 0))
    ax.vlines(range(KW + 1), 0, KH, color="0.6", linewidth=0.8)
    ax.hlines(range(KH + 1), 0, KW, color="0.6", linewidth=0.8)
    for (row, column), weight in np.ndenumerate(flat):
        text = f"{weight:g}·{'RGB'[column]}" if colours else f"{weight:g}"
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9 if KW < 5 else 5)
    margin = (KW - KH) / 2  # so that a single row's squares are no larger than others
    ax.set(xlim=(-0.1, KW + 0.1), ylim=(KH + margin + 0.1, -margin - 0.1))
    ax.axis("off")
