"""Sizes that follow from a network's options: filters of a narrower one, maps after some of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..geometry import Conv2dGeometry, Pool2dGeometry
from ..nn import AvgPool2d, Conv2d, MaxPool2d


def scaled(network: str, width: Any, counts: Sequence[int], multiple_of: int = 1) -> list[int]:
    """Each of `counts` filters or units times `width`, at least one and a multiple of `multiple_of`.

    Raises:
        ArgumentError: width is no number above 0.
    """
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < float("inf"):
        raise ArgumentError(f"{network}: width must be a number above 0, 0.25 say, got {width!r}")
    return [max(round(n * width / multiple_of), 1) * multiple_of for n in counts]


def maps_after(network: str, layers: Iterable[Any], input_dim: Sequence[int]) -> tuple[int, ...]:
    """The shape (C, H, W) into which these layers, one after the other, turn images of shape `input_dim`.

    Layers other than convolutions and poolings are taken to keep the shape.

    Raises:
        ShapeError: the images are too small, or have other channels than the first layer.
    """
    shape = tuple(input_dim)
    try:
        for layer in layers:
            shape = _after(layer, shape)
    except ShapeError as error:
        raise ShapeError(f"{network}: images of shape {tuple(input_dim)} C,H,W do not fit: {error}") from error
    return shape


def _after(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    g: Conv2dGeometry | Pool2dGeometry
    if isinstance(layer, Conv2d):
        g = Conv2dGeometry.from_shapes(
            (1, *shape), layer.weight.shape, stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
            groups=layer.groups,
        )  # fmt: skip
    elif isinstance(layer, MaxPool2d | AvgPool2d):
        g = Pool2dGeometry.from_shape(
            (1, *shape), layer.kernel_size, stride=layer.stride, padding=layer.padding, ceil_mode=layer.ceil_mode
        )
    else:
        return shape
    return g.y_shape[1:]
