"""A user's own pictures as a network takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import sample_photo
from ..errors import DataError, UnsupportedError

Image = npt.NDArray[np.float32]
FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 1 << 26
INK = 0.2  # what is brighter than this share of the brightest pixel belongs to the drawing
OUTSIDE = 0.01  # of what resampling may leave beyond 0 and 1
RED_GREEN_BLUE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: how bright each colour looks


def read_image(path: Path, shape: Sequence[int], *, invert: bool = False, center: float | None = None) -> Image:
    """A picture (PNG, JPEG, or an array in a .npy) as (C, H, W) from 0 to 1, in the `shape` of a network's input.

    Colours become grey where the network takes one channel, grey is repeated where it takes three; another height or
    width is averaged or interpolated. What is transparent is white. invert: dark on bright becomes bright on dark, as
    MNIST has its digits. center: cut to what is bright and put it in the middle by its mass, its longer side this share
    of the image, 0.7 as in MNIST, 1 as in scikit-learn's digits.

    Raises:
        DataError: the file is no picture, or there is nothing bright to center.
        UnsupportedError: a PNG or JPEG, and matplotlib, with which Pillow comes, is not installed.
    """
    image = _from_file(path)
    if invert:
        image = 1 - image
    channels, height, width = shape
    if channels == 1 and image.shape[2] == 3:
        image = image @ RED_GREEN_BLUE[:, None]
    elif channels != image.shape[2]:
        image = np.repeat(image[:, :, :1], channels, axis=2)
    fitted = _resize(image, height, width) if center is None else _centered(path, image, height, width, center)
    return fitted.transpose(2, 0, 1)


def read_photo(path: Path | None, side: int) -> Image:
    """A picture, scikit-learn's photograph unless given, as (1 or 3, H, W) from 0 to 1, H and W at most `side`.

    Raises:
        DataError, UnsupportedError: as `read_image`.
    """
    image = sample_photo().transpose(1, 2, 0) if path is None else _from_file(path)
    scale = min(side / max(image.shape[:2]), 1)
    height, width = (max(round(scale * n), 1) for n in image.shape[:2])
    return _resize(image, height, width).transpose(2, 0, 1)


def _from_file(path: Path) -> Image:
    """[H, W, 1 or 3]"""
    return _from_npy(path) if path.suffix.lower() == ".npy" else _from_picture(path)


def _from_npy(path: Path) -> Image:
    """(H, W), (C, H, W) or (H, W, C), whole numbers from 0 to 255 or floats from 0 to 1, as (H, W, C)."""
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several arrays")
        if array.dtype.kind not in "uif" or array.size > MAX_PIXELS:
            raise ValueError(f"an array of {array.dtype} and shape {array.shape} is no picture")
        whole = np.asarray(array, np.float32) / (1 if array.dtype.kind == "f" else 255)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array: {_reason(error)}") from error
    if whole.ndim == 2:
        whole = whole[:, :, None]
    elif whole.ndim == 3 and whole.shape[0] in (1, 3):
        whole = whole.transpose(1, 2, 0)
    return _checked(path, whole)


def _from_picture(path: Path) -> Image:
    """A picture as (H, W, 3), upright as its camera noted, or (H, W, 1) where it has 16 bits of grey."""
    try:
        from PIL import Image as Pillow
        from PIL import ImageOps
    except ImportError as error:
        raise UnsupportedError('pictures need matplotlib: pip install "fastconv[plot]"') from error
    try:
        with Pillow.open(path, formats=FORMATS) as file:
            if file.width * file.height > MAX_PIXELS:
                raise ValueError(f"{file.width} x {file.height} pixels are more than the {MAX_PIXELS} allowed")
            upright = ImageOps.exif_transpose(file)
            if upright.mode.startswith("I"):
                return _checked(path, np.asarray(upright, np.float32)[:, :, None] / 65535)
            paper = Pillow.new("RGBA", upright.size, "white")
            paper.alpha_composite(upright.convert("RGBA"))
            return _checked(path, np.asarray(paper.convert("RGB"), np.float32) / 255)
    # Pillow reports some faults of a PNG as a SyntaxError.
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a {' or '.join(FORMATS)} picture: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What went wrong, without the number that Python puts before a system's reason."""
    return getattr(error, "strerror", None) or str(error)


def _checked(path: Path, image: Any) -> Image:
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise DataError(f"{path}: a picture is (H, W), (C, H, W) or (H, W, C) with 1 or 3 channels, got {image.shape}")
    low, high = image.min(), image.max()
    if not (low >= -OUTSIDE and high <= 1 + OUTSIDE):  # a NaN is not either
        raise DataError(
            f"{path}: a picture's numbers are floats from 0 to 1 or whole from 0 to 255, "
            f"got {low:g} to {high:g} as floats"
        )
    return np.clip(image, 0, 1)


def _centered(path: Path, image: Image, height: int, width: int, share: float) -> Image:
    """What is bright in the picture, scaled to `share` of height x width, its centre of mass in the middle."""
    ink = image.mean(axis=2)
    ink = np.where(ink > INK * ink.max(), ink, 0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        raise DataError(f"{path}: there is nothing bright in it to center; a dark drawing on white needs --invert")
    drawing = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = share * min(height / drawing.shape[0], width / drawing.shape[1])
    h, w = (max(round(scale * n), 1) for n in drawing.shape[:2])
    small = _resize(drawing, h, w)
    mass = small.mean(axis=2)
    middle = [(mass.sum(axis=1 - axis) @ (np.arange(n) + 0.5)) / mass.sum() for axis, n in enumerate((h, w))]
    top, left = (
        min(max(round(side / 2 - at), 0), side - n) for side, at, n in zip((height, width), middle, (h, w), strict=True)
    )
    canvas = np.zeros((height, width, image.shape[2]), np.float32)
    canvas[top : top + h, left : left + w] = small
    return canvas


def _resize(image: Image, height: int, width: int) -> Image:
    """To height x width: areas are averaged, and pixels repeated where there are too few."""
    for axis, size in ((0, height), (1, width)):
        if image.shape[axis] != size:
            image = np.moveaxis(np.tensordot(_areas(image.shape[axis], size), image, (1, axis)), 0, axis)
    return np.ascontiguousarray(image, np.float32)


def _areas(before: int, after: int) -> Image:
    """Row i says how much of each old pixel lies under new pixel i; rows add up to 1."""
    edges = np.arange(after + 1) * (before / after)
    old = np.arange(before)
    low = np.maximum(edges[:-1, None], old)
    high = np.minimum(edges[1:, None], old + 1)
    return (np.maximum(high - low, 0) * (after / before)).astype(np.float32)
