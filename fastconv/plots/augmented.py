"""What augmentation makes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import data
from ..data.batches import Transform
from ..tensor_files import Path_
from . import canvas
from .canvas import as_image, draw_image

SIDE = 1.0  # inches
NAME = 1.9


def augmented(
    image: Any, steps: Sequence[Transform] | None = None, path: Path_ | None = None, *, draws: int = 6, seed: int = 0
) -> None:
    """The image (C, H, W) from 0 to 1, and a row of `draws` random changes by each of the steps of `fc.data`.

    steps: all kinds unless given, crops and shifts by an eighth of the image's height.

    Raises:
        ShapeError, ArgumentError: it is no image of 1 or 3 channels from 0 to 1.
    """
    image = as_image("augmented", image)
    chosen = _all_kinds(*image.shape[1:]) if steps is None else list(steps)
    rng = np.random.default_rng(seed)
    high = SIDE * image.shape[1] / image.shape[2]
    figure = canvas.empty_figure((NAME + SIDE * (1 + draws), (high + 0.05) * len(chosen)), path)
    grid: Any = figure.subplots(len(chosen), 1 + draws, squeeze=False)
    left = NAME / (NAME + SIDE * (1 + draws))
    figure.subplots_adjust(left, 0.01, 0.995, 0.99, wspace=0.05, hspace=0.06)
    for row, step in zip(grid, chosen, strict=True):
        draw_image(row[0], image)
        row[0].set_ylabel(type(step).__name__, rotation=0, ha="right", va="center", fontsize=9)
        for ax, changed in zip(row[1:], step(np.repeat(image[None], draws, 0), rng), strict=True):
            draw_image(ax, changed)
    canvas.finish(figure, path)


def _all_kinds(H: int, W: int) -> list[Transform]:
    step = max(H // 8, 1)
    return [
        data.RandomHorizontalFlip(), data.RandomShift(step), data.RandomCrop((H, W), padding=step),
        data.RandomResizedCrop((H, W), scale=(0.3, 1.0)), data.RandomContrast(0.5), data.RandomBrightness(0.5),
    ]  # fmt: skip
