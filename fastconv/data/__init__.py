"""Data sets as arrays, mini-batches in a reproducible order, and augmentation."""

from .augment import (
    Compose,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomShift,
)
from .batches import batches, count_batches
from .catalog import NAMES, SPLITS, classes, load
from .labels import one_hot
from .loader import DataLoader
from .mnist import load_mnist
from .photos import sample_photo

__all__ = [
    "NAMES",
    "SPLITS",
    "load",
    "load_mnist",
    "sample_photo",
    "classes",
    "one_hot",
    "batches",
    "count_batches",
    "DataLoader",
    "Compose",
    "RandomHorizontalFlip",
    "RandomShift",
    "RandomCrop",
    "RandomResizedCrop",
    "RandomContrast",
    "RandomBrightness",
]
