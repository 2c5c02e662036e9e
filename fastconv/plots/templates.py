"""What a linear classifier looks for: its weights as one image a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..nn import Linear
from ..nn.module import Module
from ..tensor_files import Path_
from . import canvas
from .canvas import Array, draw_image

SIDE = 1.3  # inches
COLUMNS = 5


def templates(
    model: Module, path: Path_ | None = None, *, image_shape: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """The weights of a linear classifier, each row as an image of its class: bright where light raises the score.

    Each template is spread from its own smallest weight, black, to its largest, white; three channels are colours.
    image_shape: (C, H, W), that of `fc.models` networks unless given. classes: names for the titles.

    Raises:
        UnsupportedError: the model's first layer with weights is not a Linear one.
        ShapeError, ArgumentError: the weights do not make such images, or there are other than C = 1 or 3 channels.
    """
    images = template_images(model, image_shape)
    names = [str(i) for i in range(len(images))] if classes is None else list(classes)
    if len(names) != len(images):
        raise ArgumentError(f"templates: the model has {len(images)} classes, {len(names)} names were given")
    rows, columns = -(-len(images) // COLUMNS), min(COLUMNS, len(images))
    figure = canvas.empty_figure((SIDE * columns, (SIDE + 0.22) * rows), path)
    axes: Any = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.24 / ((SIDE + 0.22) * rows), wspace=0.06, hspace=0.22)
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    for ax, image, name in zip(axes.flat, images, names, strict=False):
        draw_image(ax, image)
        ax.set_title(name, fontsize=9, pad=3)
    canvas.finish(figure, path)


def template_images(model: Module, image_shape: Sequence[int] | None = None) -> Array:
    """The templates (classes, C, H, W), each spread over 0 to 1; see `templates`."""
    layer = next((m for _, m in model.named_modules() if m.own_parameters()), None)
    if not isinstance(layer, Linear):
        raise UnsupportedError(
            f"templates: the first layer of a linear classifier is Linear, that of {type(model).__name__} is "
            f"{type(layer).__name__}; filter_show draws the filters of a convolution"
        )
    config: dict[str, Any] = getattr(model, "config", {})
    shape = tuple(config.get("input_dim", ()) if image_shape is None else image_shape)
    OUT, IN = layer.weight.shape
    if len(shape) != 3 or shape[0] not in (1, 3) or int(np.prod(shape)) != IN:
        raise ShapeError(f"templates: {IN} weights a class do not make images of shape {shape} (1 or 3, H, W)")
    rows = np.asarray(layer.weight.numpy())
    low, high = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    return ((rows - low) / np.maximum(high - low, np.finfo(rows.dtype).tiny)).reshape(OUT, *shape)
