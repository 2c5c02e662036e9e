"""The classic image filters that the lectures show, as filters of a convolution (cross-correlation: not flipped)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .autograd.mode import no_grad
from .errors import ArgumentError, ShapeError
from .ops.conv2d import conv2d

_FLAT = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "edge": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "vertical": [[0, 0, 0, 1, 0, 0, 0]] * 7,
    "horizontal": [[0] * 7] * 3 + [[1] * 7] + [[0] * 7] * 3,
    "left-sobel": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "right-sobel": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "top-sobel": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "bottom-sobel": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
}
COLOURS = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1]}
NAMES = (*COLOURS, *_FLAT)


def classic(name: str, channels: int = 1) -> npt.NDArray[np.float32]:
    """The filter called `name`, one of NAMES, as (1, channels, KH, KW).

    red, green and blue pick a channel of three (1x1); edge (3x3) and right-sobel (3x3: bright where it gets brighter to
    the right, and so on) take the mean over the channels; identity (3x3) shows that mean, vertical and horizontal (7x7)
    the lines in it.

    Raises:
        ArgumentError: there is no such filter, or it picks a colour where there are none.
    """
    if name in COLOURS:
        if channels != 3:
            raise ArgumentError(f"classic: {name!r} picks one of three channels, the image has {channels}")
        return np.array(COLOURS[name], np.float32).reshape(1, 3, 1, 1)
    if name not in _FLAT:
        raise ArgumentError(f"classic: there is no filter {name!r}; choose one of {', '.join(NAMES)}")
    flat = np.array(_FLAT[name], np.float32)
    return np.repeat(flat[None, None], channels, axis=1) / np.float32(channels)


def apply(image: Any, name: str) -> npt.NDArray[Any]:
    """What the filter called `name` makes of an image (C, H, W): (OH, OW), without padding, by this engine's conv2d.

    Raises:
        ShapeError: it is no image, or smaller than the filter. ArgumentError: as `classic`.
    """
    image = np.asarray(image)
    if image.ndim != 3:
        raise ShapeError(f"apply: image must be (C, H, W), got shape {image.shape}")
    dtype = image.dtype if image.dtype.kind == "f" else "float32"
    with no_grad():
        return conv2d(image[None].astype(dtype), classic(name, len(image)).astype(dtype)).numpy()[0, 0]
