"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels in ten classes, the binary and the Python version.

    a file: up to 10,000 records; a record: 1 label byte, 32x32 red, 32x32 green, 32x32 blue

A file of the Python version is a pickled dict of the same bytes and labels, read without running it.
Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..pickles import Refused, read_pickle
from .archive import read_members
from .download import Remote, cache_folder, fetch
from .files import Root, chosen_root, damaged, find_together, missing, open_file, read_capped
from .labels import require_labels
from .pixels import unit_floats

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BRIGHTEST = 255
RECORD = 1 + 3 * 32 * 32
MOST = 10_000
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    (
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
    ),
)


def load_cifar10(split: str, root: Root | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """x (N, 3, 32, 32) from 0 to 1 and t (N,) of 'train' or 'test'; see `load` for `root` and the errors.

    A file may hold fewer than its 10,000 records.
    """
    version, paths = _locate(split, root)
    parts = version.read(paths, split)
    images = [records[:, 1:].reshape(-1, 3, 32, 32) for records in parts]
    labels = np.concatenate([records[:, 0] for records in parts])
    return unit_floats(images, BRIGHTEST), labels.astype(np.int64)


@dataclass(frozen=True)
class _Version:
    """A form in which the data set is published: an archive with a folder of files.

    room: how many bytes a file takes beyond its records. decode: a file's bytes as records (n, RECORD).
    """

    archive: str
    folder: str
    files: Mapping[str, Sequence[str]]
    room: int
    decode: Callable[[Path, bytearray], npt.NDArray[np.uint8]]

    def find(self, top: Path, split: str) -> Sequence[Path] | None:
        """The files of a split, or the archive alone."""
        folders = self.folders(top)
        return find_together(folders, self.files[split]) or find_together(folders, [self.archive])

    def folders(self, top: Path) -> list[Path]:
        """Where its files may lie."""
        return [top / sub for sub in ("", "cifar10", self.folder, f"cifar10/{self.folder}")]

    def read(self, paths: Sequence[Path], split: str) -> list[npt.NDArray[np.uint8]]:
        """The records of every file, labels checked."""
        limit = MOST * RECORD + self.room
        if paths[0].name.startswith(self.archive):
            members = [f"{self.folder}/{name}" for name in self.files[split]]
            files = read_members(paths[0], members, total=6 * limit, limit=limit)
            paths = [paths[0] / member for member in members]
        else:
            files = [_read_file(path, limit) for path in paths]
        parts = [self.decode(path, data) for path, data in zip(paths, files, strict=True)]
        for path, records in zip(paths, parts, strict=True):
            require_labels(path, records[:, 0], len(CLASSES))
        return parts


def _read_file(path: Path, limit: int) -> bytearray:
    with open_file(path) as stream:
        return read_capped(stream, limit)


def _records(path: Path, data: bytearray) -> npt.NDArray[np.uint8]:
    """A file of the binary version."""
    if not data or len(data) % RECORD or len(data) > MOST * RECORD:
        size = f"more than {MOST * RECORD}" if len(data) > MOST * RECORD else f"{len(data)}"
        raise damaged(path, f"1 to {MOST} records of {RECORD} bytes each", f"{size} bytes")
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)


def _pickled_records(path: Path, data: bytearray) -> npt.NDArray[np.uint8]:
    """A file of the Python version: {"data": uint8 (n, 3072), "labels": list of n, and texts}."""
    try:
        batch = read_pickle(bytes(data), ("u1",), lists=True)
    except Refused as error:
        raise damaged(path, "a pickled batch of images and labels", f"this fault: {error}") from error
    images, labels = batch.get("data"), batch.get("labels")
    if not isinstance(images, np.ndarray) or not isinstance(labels, list):
        raise damaged(path, "an array 'data' and a list 'labels'", ", ".join(map(repr, batch))[:200])
    if not 1 <= len(labels) <= MOST or images.shape != (len(labels), RECORD - 1):
        raise damaged(path, f"1 to {MOST} labels, {RECORD - 1} bytes for each", f"{len(labels)} and {images.shape}")
    if not all(type(label) is int and 0 <= label <= BRIGHTEST for label in labels):
        raise damaged(path, "labels that are whole numbers from 0 to 9", "others")
    return np.concatenate([np.array(labels, np.uint8)[:, None], images], axis=1)


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_VERSIONS = (
    _Version(
        "cifar-10-binary.tar", "cifar-10-batches-bin",
        {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)}, 0, _records,
    ),
    _Version(
        "cifar-10-python.tar", "cifar-10-batches-py", {"train": _BATCHES, "test": ("test_batch",)}, 1 << 20,
        _pickled_records,
    ),
)  # fmt: skip


def _locate(split: str, root: Root | None) -> tuple[_Version, Sequence[Path]]:
    root = chosen_root(root)
    top = cache_folder("cifar10") if root is None else Path(root).expanduser()
    for version in _VERSIONS:
        found = version.find(top, split)
        if found is not None:
            return version, found
    binary = _VERSIONS[0]
    if root is None:
        return binary, [fetch(ARCHIVE, top, [ARCHIVE.name])]
    archives = "[.gz] or ".join(version.archive for version in _VERSIONS)
    source = ARCHIVE.mirrors[0] + ARCHIVE.name
    raise missing("cifar10", binary.folders(top), binary.files[split], source, instead=archives)
