"""Class labels: whole numbers from 0, or one row of zeros and a one each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, DTypeError, ShapeError
from .files import damaged


def one_hot(t: npt.ArrayLike, classes: int) -> npt.NDArray[np.float32]:
    """Labels (N,) from 0 to classes - 1 as rows (N, classes) that hold a 1 at the label's place.

    Raises:
        ShapeError, DTypeError, ArgumentError: labels that are not one axis of whole numbers below `classes`.
    """
    labels = np.asarray(t)
    if labels.ndim != 1:
        raise ShapeError(f"one_hot: t must have one axis (N,), got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: t must be whole numbers, got {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ArgumentError(
            f"one_hot: t must be from 0 to {classes - 1} for {classes} classes, got {labels.min()} to {labels.max()}"
        )
    rows = np.zeros((len(labels), classes), np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def require_labels(path: Path, labels: npt.NDArray[Any], classes: int) -> None:
    """Raise a DataError unless every label that came from `path` is below `classes`."""
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        first = int(wrong[0])
        raise damaged(path, f"labels from 0 to {classes - 1}", f"{labels[first]} at item {first}")
