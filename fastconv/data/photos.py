"""A photograph that comes with scikit-learn: nothing to download."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .pixels import unit_floats


def sample_photo() -> npt.NDArray[np.float32]:
    """A Chinese temple as (3, 427, 640) from 0 to 1: scikit-learn's china.jpg, by danielbuechele under CC BY 2.0.

    Raises:
        DataError: scikit-learn or Pillow is not installed.
    """
    try:
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image("china.jpg")  # [H, W, 3], 0 to 255
    except ImportError as error:
        raise DataError(
            "sample_photo: the photograph comes with scikit-learn and is read by Pillow: "
            'pip install "fastconv[digits,plot]"'
        ) from error
    return unit_floats([pixels.transpose(2, 0, 1)[None]], 255)[0]
