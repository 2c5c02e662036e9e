"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels in ten classes, the binary version.

    a file: up to 10,000 records; a record: 1 label byte, 32x32 red, 32x32 green, 32x32 blue

The Python version is a pickle, which can run code, and is not read. Source: A. Krizhevsky, "Learning Multiple Layers
of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .archive import read_members
from .download import Remote, cache_folder, fetch
from .files import Root, chosen_root, damaged, find_together, missing, open_file, read_capped
from .labels import require_labels
from .pixels import unit_floats

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BRIGHTEST = 255
RECORD = 1 + 3 * 32 * 32
MOST = 10_000
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
ARCHIVE_NAME = "cifar-10-binary.tar"
FOLDER_IN_ARCHIVE = "cifar-10-batches-bin"
SUBFOLDERS = ("", "cifar10", FOLDER_IN_ARCHIVE, f"cifar10/{FOLDER_IN_ARCHIVE}")
ARCHIVE = Remote(
    f"{ARCHIVE_NAME}.gz",
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
    paths = _locate(split, root)
    if paths[0].name.startswith(ARCHIVE_NAME):
        parts = _read_archive(paths[0], split)
    else:
        parts = [_records(path, _read_file(path)) for path in paths]
    images = [records[:, 1:].reshape(-1, 3, 32, 32) for records in parts]
    labels = np.concatenate([records[:, 0] for records in parts])
    return unit_floats(images, BRIGHTEST), labels.astype(np.int64)


def _locate(split: str, root: Root | None) -> Sequence[Path]:
    root = chosen_root(root)
    top = cache_folder("cifar10") if root is None else Path(root).expanduser()
    folders = [top / sub for sub in SUBFOLDERS]
    found = find_together(folders, FILES[split]) or find_together(folders, [ARCHIVE_NAME])
    if found is not None:
        return found
    if root is None:
        return [fetch(ARCHIVE, top, [ARCHIVE.name])]
    raise missing("cifar10", folders, FILES[split], ARCHIVE.mirrors[0] + ARCHIVE.name, instead=ARCHIVE_NAME)


def _read_archive(path: Path, split: str) -> list[npt.NDArray[np.uint8]]:
    members = [f"{FOLDER_IN_ARCHIVE}/{name}" for name in FILES[split]]
    files = read_members(path, members, total=6 * MOST * RECORD, limit=MOST * RECORD)
    return [_records(path / member, data) for member, data in zip(members, files, strict=True)]


def _read_file(path: Path) -> bytearray:
    with open_file(path) as stream:
        return read_capped(stream, MOST * RECORD)


def _records(path: Path, data: bytearray) -> npt.NDArray[np.uint8]:
    if not data or len(data) % RECORD or len(data) > MOST * RECORD:
        size = f"more than {MOST * RECORD}" if len(data) > MOST * RECORD else f"{len(data)}"
        raise damaged(path, f"1 to {MOST} records of {RECORD} bytes each", f"{size} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    require_labels(path, records[:, 0], len(CLASSES))
    return records
