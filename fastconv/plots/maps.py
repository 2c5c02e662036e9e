"""Filters, and the maps that they make of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..geometry import whole_number
from ..nn import Conv2d, SparseConv2d
from ..nn.mode import evaluation_mode
from ..nn.module import Module, observe
from ..tensor_files import Path_
from ..training.evaluation import on_device_of
from . import canvas
from .canvas import Array, draw_maps

Convolution = Conv2d | SparseConv2d
GAP = 0.15
HEAD = 0.3  # inches
NARROWEST = 1.7


def filter_show(
    filters: Any, nx: int = 8, margin: float = 3, scale: float = 10, path: Path_ | None = None, *,
    before: Any = None,
) -> None:  # fmt: skip
    """The filters (FN, C, FH, FW) as grey squares, nx in a row, large weights dark.

    One input channel is shown as it is, three as colours, of any other number the mean over the channels. margin: space
    between the squares, in pixels of a filter that is `scale` pixels wide. before: the filters before training, drawn
    to the left of the others.
    """
    nx = whole_number("filter_show", "nx", nx, 1)
    groups = [("", filters)] if before is None else [("before", before), ("after", filters)]
    arrays = [(title, _filters(f)) for title, f in groups]
    side = 0.8 * min(nx, len(arrays[0][1]))
    rows = -(-len(arrays[0][1]) // nx)
    size = (len(arrays) * side + 0.4, 0.8 * rows + (0.4 if before is not None else 0.1))
    figure = canvas.empty_figure(size, path)
    parts: Any = figure.subfigures(1, len(arrays), squeeze=False, wspace=0.06)
    for part, (title, array) in zip(parts[0], arrays, strict=True):
        part.suptitle(title)
        grid = part.subplots(rows, min(nx, len(array)), squeeze=False)
        part.subplots_adjust(
            left=0.02, right=0.98, bottom=0.02, top=0.98 if not title else 1 - 0.4 / (0.8 * rows + 0.4),
            hspace=margin / scale, wspace=margin / scale,
        )  # fmt: skip
        draw_maps(grid.ravel(), array)
    canvas.finish(figure, path)


def activation_maps(
    model: Module, image: Any, path: Path_ | None = None, *, layer: str | None = None, nx: int = 8
) -> None:
    """The image (C, H, W), each filter of a convolution, and under it what the filter makes of the image.

    Dark is where a filter fires. The maps are those after the normalisation and activation layers that follow. Filters
    of more than three channels are shown as in `filter_show`. layer: the convolution's dotted name, conv2 say; the
    first one unless given.

    Raises:
        ShapeError: the image does not fit the model.
        ArgumentError: the model has no convolution of that name.
        UnsupportedError: the model has no convolution.
    """
    image = np.asarray(image)
    if image.ndim != 3:
        raise ShapeError(f"activation_maps: image must be (C, H, W), got shape {image.shape}")
    name, conv = convolution("activation_maps", model, layer)
    filters, maps = conv.filters().numpy(), _maps_of(conv, model, image)
    count, C, FH, FW = filters.shape
    columns, bands = min(nx, count), -(-count // nx)
    width, height = max(0.8 * columns, NARROWEST), max(1.7 * bands, 2.2) + HEAD
    figure = canvas.empty_figure((width + 2.2, height), path)
    parts: Any = figure.subfigures(1, 2, width_ratios=(2.0, width))
    left, right = parts
    title = {"y": 1 - 0.6 * HEAD / height, "va": "center", "fontsize": 8}
    left.text(0.05, s=f"image {_by(image)}", **title)
    mean = "" if C in (1, 3) else f" (mean of {C} channels)"
    right.text(0.01, s=f"{name or 'filters'} {FH}x{FW}{mean}, maps {_by(maps)}", **title)
    shown = left.add_axes((0.05, 0.02, 0.9, 0.98 - HEAD / height), anchor="N")
    draw_maps([shown], image[None] if len(image) in (1, 3) else image.mean(0)[None, None])
    # A band is a row of filters, a row of maps and a thin gap.
    spaces = {"hspace": 0.1, "wspace": 0.1, "height_ratios": (1, 1, GAP) * bands}
    grid = right.subplots(3 * bands, columns, squeeze=False, gridspec_kw=spaces)
    right.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=1 - HEAD / height)
    for band in range(bands):
        some = slice(band * columns, (band + 1) * columns)
        filter_row, map_row, gap = grid[3 * band : 3 * band + 3]
        draw_maps(filter_row, _filters(filters)[some])
        draw_maps(map_row, maps[some, None])
        draw_maps(gap, maps[:0])
    canvas.finish(figure, path)


def convolution(function: str, model: Module, layer: str | None) -> tuple[str, Convolution]:
    """The convolution called `layer`, or the first one, with its name.

    Raises:
        ArgumentError: the model has none of that name. UnsupportedError: it has none at all.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, Convolution)}
    if not found:
        raise UnsupportedError(f"{function}: {type(model).__name__} has no convolution")
    name = next(iter(found)) if layer is None else layer
    if name not in found:
        raise ArgumentError(
            f"{function}: {type(model).__name__} has no convolution {name!r}; its convolutions are {', '.join(found)}"
        )
    return name, found[name]


def _maps_of(conv: Convolution, model: Module, image: Array) -> Array:
    """A convolution's maps (FN, OH, OW) after what follows it at once and keeps their shape."""
    maps: list[Tensor] = []

    def follow(module: Module, inputs: tuple[Any, ...], y: Any) -> None:
        next_in_line = maps and inputs and inputs[0] is maps[-1] and y.shape == maps[-1].shape
        if module is conv:
            maps[:] = [y]
        elif next_in_line and not isinstance(module, Convolution):
            maps.append(y)

    with evaluation_mode(model), no_grad(), on_device_of(model), observe(follow):
        model(image[None].astype(conv.weight.dtype))
    if not maps:
        raise UnsupportedError(f"activation_maps: {type(model).__name__} does not run this convolution: {conv!r}")
    return maps[-1].numpy()[0]


def _by(maps: Array) -> str:
    return f"{maps.shape[1]}x{maps.shape[2]}"


def _filters(filters: Any) -> Array:
    """Filters as (FN, 1 or 3, FH, FW)."""
    array = np.asarray(filters)
    if array.ndim != 4 or not array.size:
        raise ShapeError(f"filter_show: filters must be (FN, C, FH, FW), at least one, got shape {array.shape}")
    return array if array.shape[1] in (1, 3) else array.mean(1, keepdims=True)
