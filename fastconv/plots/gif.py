"""Drawings as an animated GIF with their own colours: Pillow's choice of 256 would make white grey."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from .canvas import Array

COLOURS = 256


def encoded(pictures: Sequence[Array], milliseconds: Sequence[int]) -> bytes:
    """Pictures (height, width, 3) of bytes as a GIF that starts again; milliseconds: how long each one stays.

    All have the colours that cover most of the last picture; other colours become the nearest of these.
    """
    from PIL import Image

    palette = _most_used(pictures[-1])
    indexed = [Image.fromarray(_indices(picture, palette), "P") for picture in pictures]
    for image in indexed:
        image.putpalette(palette.astype(np.uint8).tobytes())
    gif = BytesIO()
    options = {"duration": list(milliseconds), "loop": 0}
    indexed[0].save(gif, "GIF", save_all=True, append_images=indexed[1:], **options)
    return gif.getvalue()


def _most_used(picture: Array) -> Array:
    """The colours (256 or fewer, 3) that cover most of a picture."""
    colours, counts = np.unique(_packed(picture), return_counts=True)
    return _unpacked(colours[np.argsort(-counts, kind="stable")[:COLOURS]])


def _indices(picture: Array, palette: Array) -> Array:
    """For every pixel the place of the nearest colour in the palette, (height, width) bytes."""
    colours, places = np.unique(_packed(picture), return_inverse=True)
    distances = ((_unpacked(colours)[:, None] - palette) ** 2).sum(2)  # [colours, palette]
    return distances.argmin(1)[places].astype(np.uint8).reshape(picture.shape[:2])


def _packed(picture: Array) -> Array:
    """A number for each pixel's colour."""
    return picture.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _unpacked(colours: Array) -> Array:
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
