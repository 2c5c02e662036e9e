"""What the L2 distance between images finds alike, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import neighbours
from ..errors import ShapeError
from ..tensor_files import Path_
from . import canvas
from .canvas import Array, as_image, draw_image

RIGHT, WRONG, NEUTRAL = "#2e8b3d", "#c8382c", "0.7"
SIDE = 0.85  # inches
HEAD = 0.4
TEXT = 7


def nearest_neighbours(
    x: Any, t: Any, images: Any, labels: Any, path: Path_ | None = None, *, k: int = 7, same: int = 3,
    classes: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Each of x (N, C, H, W) with classes t (N,), its k nearest of `images` (M, C, H, W), and some of its own class.

    The neighbours' frames are green where their labels (M,) are right, red where they are wrong; below stands the L2
    distance. same: how many images of the right class, the first in `images`. classes: the classes' names.

    Raises:
        ShapeError: the images differ in shape or have other than 1 or 3 channels. ArgumentError: k is too large.
    """
    x, t, images, labels = map(np.asarray, (x, t, images, labels))
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(f"nearest_neighbours: x must be (N, 1 or 3, H, W), got shape {x.shape}")
    places, lengths = neighbours.nearest(x, images, k)
    between = 0.35  # of an image's width
    inches = (SIDE * (1 + k + same + 2 * between) * 1.08, SIDE * len(x) * 1.25 + HEAD)
    figure = canvas.empty_figure(inches, path)
    widths = (1, between, *[1] * k, between, *[1] * same)
    grid: Any = figure.subplots(len(x), len(widths), squeeze=False, gridspec_kw={"width_ratios": widths})
    figure.subplots_adjust(0.01, 0.35 / inches[1], 0.99, 1 - HEAD / inches[1], wspace=0.08, hspace=0.25)
    for row, image, label, near, far in zip(grid, x, t, places, lengths, strict=True):
        own = np.flatnonzero(labels == label)[:same]
        own_lengths = neighbours.distances(image[None], images[own])[0] if len(own) else own
        _draw_framed(row[0], image, NEUTRAL, str(label) if classes is None else classes[label])
        for ax, place, length in zip(row[2 : 2 + k], near, far, strict=True):
            _draw_framed(ax, images[place], RIGHT if labels[place] == label else WRONG, f"{length:.2f}")
        for ax, place, length in zip(row[3 + k :], own, own_lengths, strict=False):
            _draw_framed(ax, images[place], NEUTRAL, f"{length:.2f}")
        for ax in (row[1], row[2 + k], *row[3 + k + len(own) :]):
            ax.axis("off")
    _head(grid[0, 2 : 2 + k], figure, "nearest by L2 distance")
    if same:
        _head(grid[0, 3 + k :], figure, "of the same class")
    canvas.finish(figure, path)


def equal_distances(image: Any, path: Path_ | None = None, *, distance: float | None = None) -> None:
    """The image (C, H, W) from 0 to 1 beside four that look different and are all equally far away.

    See `fc.neighbours.equally_far`, which computes them.
    """
    image = as_image("equal_distances", image)
    others, length = neighbours.equally_far(image, distance)
    _, H, W = image.shape
    height = 1.7 * H / W + 0.5
    figure = canvas.empty_figure((1.7 * (1 + len(others)), height), path)
    axes: Any = figure.subplots(1, 1 + len(others))
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.48 / height, wspace=0.06)
    for ax, (name, shown) in zip(axes, {"original": image, **others}.items(), strict=True):
        draw_image(ax, shown)
        ax.set_title(name, fontsize=10)
    figure.suptitle(f"all four at L2 distance {length:.2f} from the original", fontsize=10)
    canvas.finish(figure, path)


def _draw_framed(ax: Any, image: Array, colour: str, text: str) -> None:
    draw_image(ax, image)
    for spine in ax.spines.values():
        spine.set(color=colour, linewidth=2 if colour != NEUTRAL else 1)
    ax.set_xlabel(text, fontsize=TEXT, labelpad=2)


def _head(axes: Array, figure: Any, text: str) -> None:
    """A heading over the middle of some images of the first row."""
    left, right = axes[0].get_position(), axes[-1].get_position()
    figure.text((left.x0 + right.x1) / 2, left.y1 + 0.12 / figure.get_figheight(), text, ha="center", fontsize=9)
