"""What all pictures share: an empty figure, images without ticks, and a file written whole."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..tensor_files import Path_, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
PIXELS_PER_INCH = 120
INK = {"cmap": "gray_r", "interpolation": "nearest"}


def as_image(function: str, image: Any) -> Array:
    """`image` as an array (1 or 3, H, W) of floating-point numbers.

    Raises:
        ShapeError: it is no image. ArgumentError: its numbers are whole ones, from 0 to 255 perhaps.
    """
    array = np.asarray(image)
    if array.ndim != 3 or len(array) not in (1, 3):
        raise ShapeError(f"{function}: image must be (1 or 3, H, W), got shape {array.shape}")
    if array.dtype.kind != "f":
        raise ArgumentError(f"{function}: image must be floating-point from 0 to 1, got {array.dtype}")
    return array


def draw_maps(axes: Sequence[Any] | Array, maps: Array) -> None:
    """One of (n, 1 or 3, H, W) in each of `axes`, large values dark or as colours; axes left over stay empty."""
    for ax in axes[len(maps) :]:
        ax.axis("off")
    for ax, one in zip(axes, maps, strict=False):
        ax.set(xticks=[], yticks=[])
        if len(one) == 1:
            ax.imshow(one[0], **INK)
        else:
            low, high = one.min(), one.max()
            ax.imshow((one.transpose(1, 2, 0) - low) / (high - low or 1), interpolation="nearest")


def draw_image(ax: Any, image: Array) -> None:
    """An image (1 or 3, H, W) from 0 to 1 as a screen shows it, 0 black, without ticks."""
    ax.set(xticks=[], yticks=[])
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    ax.imshow(np.clip(pixels, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def empty_figure(inches: tuple[float, float], path: Path_ | None) -> Figure:
    """An empty figure: for a file without any window system, else one that pyplot can show."""
    try:
        from matplotlib.figure import Figure

        if path is not None:
            return Figure(figsize=inches)
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise UnsupportedError('pictures need matplotlib: pip install "fastconv[plot]"') from error
    return plt.figure(figsize=inches)


def finish(figure: Figure, path: Path_ | None) -> None:
    """Write the figure to `path` as a PNG, or show it."""
    if path is not None:
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=PIXELS_PER_INCH)
        write_whole(path, picture.getvalue())
        return
    import matplotlib.pyplot as plt

    plt.show()
    plt.close(figure)
