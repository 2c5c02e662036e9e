"""The data sets by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ..geometry import whole_number
from . import cifar10, digits, mnist
from .files import Root
from .pixels import enlarge

NAMES = ("digits", "mnist", "cifar10")
SPLITS = ("train", "test")
_CLASSES = {"digits": digits.CLASSES, "mnist": mnist.CLASSES, "cifar10": cifar10.CLASSES}


def load(
    name: str, *, root: Root | None = None, split: str = "train", scale: int = 1
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The images x (N, C, H, W), float32 from 0 to 1, and the labels t (N,), int64, of one data set.

    name: "digits" (1,437 + 360 of 1x8x8), "mnist" (60,000 + 10,000 of 1x28x28) or "cifar10" (50,000 + 10,000 of
    3x32x32). split: "train" or "test". scale: repeat every pixel scale x scale times; scale=4 makes digits 32x32.

    root: the folder that holds the files, plain or .gz, or the environment variable FASTCONV_DATA; then nothing is
    downloaded. Without either the files come from the user's cache folder, or from the network once, checked against
    pinned hashes. Digits come with scikit-learn.

    x lies channels-last in memory (contiguous as N, H, W, C), so that a backend takes it without a copy.

    Raises:
        DataError: files that are missing or damaged; the text names the file and what to do.
        ArgumentError: an unknown name or split, or a scale below 1.
    """
    _require_name(name)
    if split not in SPLITS:
        raise ArgumentError(f"load: split must be one of {', '.join(SPLITS)}, got {split!r}")
    scale = whole_number("load", "scale", scale, 1)
    if name == "digits":
        x, t = digits.load_digits(split)
    elif name == "mnist":
        x, t = mnist.load_mnist_split(split, root)
    else:
        x, t = cifar10.load_cifar10(split, root)
    return enlarge(x, scale), t


def classes(name: str) -> tuple[str, ...]:
    """The names of the classes of a data set, in the order of its labels."""
    _require_name(name)
    return _CLASSES[name]


def _require_name(name: str) -> None:
    if name not in NAMES:
        raise ArgumentError(f"data: the data sets are {', '.join(NAMES)}, got {name!r}")
