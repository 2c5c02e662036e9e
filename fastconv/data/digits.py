"""1,797 handwritten digits of 8x8 pixels that come with scikit-learn: nothing to download.

They are the test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), pixels
from 0 to 16.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .pixels import unit_floats

CLASSES = tuple("0123456789")
BRIGHTEST = 16
TEST_EVERY = 5


def load_digits(split: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """x (N, 1, 8, 8) from 0 to 1 and t (N,): 1,437 images in 'train', 360 in 'test'.

    The split is fixed: the images sorted by class, in their own order within a class, and every fifth of that list is
    a test image. So both parts hold all ten classes in the same shares, and the same writers.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as embedded
    except ImportError as error:
        raise DataError(
            'digits: the images come with scikit-learn, which is not installed: pip install "fastconv[digits]"'
        ) from error
    images, labels = embedded(return_X_y=True)
    is_test = np.zeros(len(labels), bool)
    is_test[np.argsort(labels, kind="stable")[::TEST_EVERY]] = True
    chosen = is_test if split == "test" else ~is_test
    return unit_floats([images[chosen].reshape(-1, 1, 8, 8)], BRIGHTEST), labels[chosen].astype(np.int64)
