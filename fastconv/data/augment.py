"""Random changes to a batch that keep its labels right: flips, shifts, crops, scales, contrast, brightness.

Each is called as step(x, rng) with x (N, C, H, W) and a NumPy generator, draws once per image, and returns a new array
that lies channels-last in memory. Names and arguments follow torchvision's where it has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from .pixels import channels_last
from .resize import resize_rectangles

Array = npt.NDArray[Any]
Rng = np.random.Generator


class Compose:
    """Steps one after the other, all drawing from the same generator."""

    def __init__(self, steps: Sequence[Callable[[Array, Rng], Array]]) -> None:
        self.steps = tuple(steps)

    def __call__(self, x: Array, rng: Rng) -> Array:
        for step in self.steps:
            x = step(x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.steps))}])"


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror left and right with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _require("RandomHorizontalFlip", "p", self.p, 0, 1)

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_images("RandomHorizontalFlip", x)
        flipped = rng.random(len(x)) < self.p
        rows = np.array(x.transpose(0, 2, 3, 1), order="C")  # [N, H, W, C]
        rows[flipped] = rows[flipped, :, ::-1]
        return rows.transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class RandomShift:
    """Move by up to `pixels` up or down and left or right, every distance equally likely; zeros fill the border."""

    pixels: int = 2

    def __post_init__(self) -> None:
        whole_number("RandomShift", "pixels", self.pixels, 0)

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_images("RandomShift", x)
        return _crop(x, rng, x.shape[2:], self.pixels)


@dataclass(frozen=True)
class RandomCrop:
    """A window of `size` (height, width, or one number for both) out of the image with `padding` zeros around it."""

    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        for n in _pair(self.size):
            whole_number("RandomCrop", "size", n, 1)
        whole_number("RandomCrop", "padding", self.padding, 0)

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_images("RandomCrop", x)
        window = _pair(self.size)
        height, width = (n + 2 * self.padding for n in x.shape[2:])
        if window[0] > height or window[1] > width:
            raise ShapeError(
                f"RandomCrop: the window {window} is larger than the padded image {(height, width)}  "
                f"(x {x.shape} NCHW, padding {self.padding})"
            )
        return _crop(x, rng, window, self.padding)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A rectangle with a share `scale` of the image's area and width / height within `ratio`, resampled to `size`.

    Share and logarithm of the ratio are drawn evenly; a side longer than the image is cut to it. Bilinear.
    Source: C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6; ResNet's recipe varies scale and
    place in the same spirit.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        for n in _pair(self.size):
            whole_number("RandomResizedCrop", "size", n, 1)
        for name, (low, high), most in (("scale", self.scale, 1.0), ("ratio", self.ratio, float("inf"))):
            if not 0 < low <= high <= most:
                raise ArgumentError(
                    f"RandomResizedCrop: {name} must be (low, high) with 0 < low <= high <= {most}, got {(low, high)}"
                )

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_floats("RandomResizedCrop", x)
        n, _, H, W = x.shape
        area = H * W * rng.uniform(*self.scale, n)
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), n))
        height = np.clip(np.rint(np.sqrt(area / ratio)), 1, H).astype(np.intp)
        width = np.clip(np.rint(np.sqrt(area * ratio)), 1, W).astype(np.intp)
        top, left = rng.integers(0, H - height + 1), rng.integers(0, W - width + 1)
        return resize_rectangles(x, top, left, height, width, _pair(self.size))


@dataclass(frozen=True)
class RandomContrast:
    """Spread the pixels around the image's mean by a factor from 1 - amount to 1 + amount, then cut to 0 .. 1."""

    amount: float = 0.2

    def __post_init__(self) -> None:
        _require("RandomContrast", "amount", self.amount, 0, 1)

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_floats("RandomContrast", x)
        x = channels_last(x)  # so that the sum, and with it its rounding, has one order for every layout
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        return _cut((x - mean) * _factors(x, rng, self.amount) + mean)


@dataclass(frozen=True)
class RandomBrightness:
    """Multiply the pixels by a factor from 1 - amount to 1 + amount, then cut to 0 .. 1."""

    amount: float = 0.2

    def __post_init__(self) -> None:
        _require("RandomBrightness", "amount", self.amount, 0, 1)

    def __call__(self, x: Array, rng: Rng) -> Array:
        _require_floats("RandomBrightness", x)
        return _cut(x * _factors(x, rng, self.amount))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _crop(x: Array, rng: Rng, window: Sequence[int], padding: int) -> Array:
    """One window per image, its corner drawn evenly from all that fit into the padded image."""
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(x.transpose(0, 2, 3, 1), sides)  # [N, H + 2P, W + 2P, C]
    n, height, width, channels = padded.shape
    top = rng.integers(0, height - window[0] + 1, n)
    left = rng.integers(0, width - window[1] + 1, n)
    out = np.empty((n, window[0], window[1], channels), x.dtype)
    for i in range(n):
        out[i] = padded[i, top[i] : top[i] + window[0], left[i] : left[i] + window[1]]
    return out.transpose(0, 3, 1, 2)


def _factors(x: Array, rng: Rng, amount: float) -> Array:
    return rng.uniform(1 - amount, 1 + amount, (len(x), 1, 1, 1)).astype(x.dtype)


def _cut(x: Array) -> Array:
    return channels_last(np.clip(x, 0, 1, out=x))


def _require(step: str, name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ArgumentError(f"{step}: {name} must be from {least} to {most}, got {value}")


def _require_images(step: str, x: Array) -> None:
    if x.ndim != 4:
        raise ShapeError(f"{step}: x must have 4 axes (N, C, H, W), got shape {x.shape}")


def _require_floats(step: str, x: Array) -> None:
    _require_images(step, x)
    if x.dtype.kind != "f":
        raise ArgumentError(f"{step}: x must be floating-point from 0 to 1, got {x.dtype}")
