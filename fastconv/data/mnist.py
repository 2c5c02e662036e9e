"""MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels, four IDX files.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998. The hashes are those of the original files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .download import Remote, cache_folder, fetch
from .files import Root, chosen_root, damaged, find_file, find_together, missing
from .idx import read_idx
from .labels import one_hot, require_labels
from .pixels import unit_floats

CLASSES = tuple("0123456789")
BRIGHTEST = 255
SIDE = 28
MOST = {"train": 60_000, "test": 10_000}
SUBFOLDERS = ("", "mnist", "MNIST/raw")
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
REMOTES = {
    "train": (
        Remote(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            MIRRORS,
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            MIRRORS,
        ),
    ),
    "test": (
        Remote(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            MIRRORS,
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            MIRRORS,
        ),
    ),
}


def load_mnist_split(split: str, root: Root | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """x (N, 1, 28, 28) from 0 to 1 and t (N,) of 'train' or 'test'; see `load` for `root` and the errors."""
    images, labels = read_mnist(split, root)
    return unit_floats([images], BRIGHTEST), labels


def load_mnist(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False, root: Root | None = None
) -> tuple[tuple[npt.NDArray[Any], npt.NDArray[Any]], tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """MNIST in the form of the lectures' code: (x_train, t_train), (x_test, t_test).

    normalize: pixels as float32 from 0 to 1, else bytes from 0 to 255.
    flatten: images as rows (N, 784), else (N, 1, 28, 28).
    one_hot_label: labels as rows (N, 10), else numbers (N,).
    root: the folder with the four files; without it they come from the cache folder or the network.
    """

    def part(split: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        images, labels = read_mnist(split, root)
        x = unit_floats([images], BRIGHTEST) if normalize else images
        return x.reshape(len(x), -1) if flatten else x, one_hot(labels, len(CLASSES)) if one_hot_label else labels

    return part("train"), part("test")


def read_mnist(split: str, root: Root | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The images (N, 1, 28, 28) as bytes and the labels (N,), as many of each, every label from 0 to 9."""
    images_path, labels_path = _locate(split, root)
    labels = read_idx(labels_path, most=MOST[split])
    images = read_idx(images_path, most=MOST[split], each=(SIDE, SIDE))
    if len(images) != len(labels):
        raise damaged(images_path, f"{len(labels)} images, one for each label of {labels_path.name}", f"{len(images)}")
    require_labels(labels_path, labels, len(CLASSES))
    return images[:, None], labels.astype(np.int64)  # [N, 1, 28, 28], [N]


def _locate(split: str, root: Root | None) -> list[Path]:
    root = chosen_root(root)
    names = [remote.name.removesuffix(".gz") for remote in REMOTES[split]]
    if root is None:
        folder = cache_folder("mnist")
        needed = [remote.name for part in REMOTES.values() for remote in part]
        return [
            find_file(folder, name) or fetch(remote, folder, needed)
            for name, remote in zip(names, REMOTES[split], strict=True)
        ]
    folders = [Path(root).expanduser() / sub for sub in SUBFOLDERS]
    found = find_together(folders, names)
    if found is None:
        raise missing("mnist", folders, names, MIRRORS[0])
    return found
