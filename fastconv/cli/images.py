"""A user's own pictures as a network takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, UnsupportedError

Image = npt.NDArray[np.float32]
MAX_PIXELS = 1 << 26
RED_GREEN_BLUE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: how bright each colour looks


def read_image(path: Path, shape: Sequence[int], *, invert: bool = False) -> Image:
    """A picture (PNG, or an array in a .npy) as (C, H, W) from 0 to 1, brought to the `shape` of a network's input.

    Colours become grey where the network takes one channel, grey is repeated where it takes three; another height or
    width is averaged or interpolated. invert: dark on bright becomes bright on dark, as MNIST has its digits.

    Raises:
        DataError: the file is no picture. UnsupportedError: a PNG, and matplotlib is not installed.
    """
    image = _from_npy(path) if path.suffix.lower() == ".npy" else _from_png(path)  # [H, W, 1 or 3]
    if invert:
        image = 1 - image
    channels, height, width = shape
    if channels == 1 and image.shape[2] == 3:
        image = image @ RED_GREEN_BLUE[:, None]
    elif channels != image.shape[2]:
        image = np.repeat(image[:, :, :1], channels, axis=2)
    return _resize(image, height, width).transpose(2, 0, 1)


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
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    if whole.ndim == 2:
        whole = whole[:, :, None]
    elif whole.ndim == 3 and whole.shape[0] in (1, 3):
        whole = whole.transpose(1, 2, 0)
    return _checked(path, whole)


def _from_png(path: Path) -> Image:
    try:
        from matplotlib.image import imread
    except ImportError as error:
        raise UnsupportedError('pictures need matplotlib: pip install "fastconv[plot]"') from error
    try:
        array = np.asarray(imread(path, format="png"), np.float32)
    # Pillow reports what is wrong with a PNG as a SyntaxError.
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: cannot be read as a PNG: {error}") from error
    if array.ndim == 2:
        array = array[:, :, None]
    return _checked(path, array[:, :, : 1 if array.shape[2] < 3 else 3])  # without the alpha channel


def _checked(path: Path, image: Any) -> Image:
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size or not np.isfinite(image).all():
        raise DataError(f"{path}: a picture is (H, W), (C, H, W) or (H, W, C) with 1 or 3 channels, got {image.shape}")
    return np.clip(image, 0, 1)


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
