"""Damaged, hostile and merely unusual files: every one gives a DataError that says so, or the right array."""

import errno
import gzip
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from data_files import FOLDER, RECORD, damage, flip, idx, records, refusal, require_cifar10, survives
from hypothesis import given

from fastconv import data
from fastconv.data import cifar10
from fastconv.data.files import read_capped
from fastconv.data.idx import read_idx


def digits(n=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)


def write_mnist(root, images=None, labels=None):
    x, t = digits()
    (root / "train-images-idx3-ubyte").write_bytes(idx(x) if images is None else images)
    (root / "train-labels-idx1-ubyte").write_bytes(idx(t) if labels is None else labels)


# MNIST --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_files_plain_or_packed_in_the_usual_folders(tmp_path, folder, packed):
    x, t = digits()
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, array in [("train-images-idx3-ubyte", x), ("train-labels-idx1-ubyte", t)]:
        content = gzip.compress(idx(array)) if packed else idx(array)
        (tmp_path / folder / (name + ".gz" * packed)).write_bytes(content)
    x_read, t_read = data.load("mnist", root=str(tmp_path))
    assert x_read.shape == (3, 1, 28, 28)
    np.testing.assert_array_equal(x_read[:, 0], x / np.float32(255))
    np.testing.assert_array_equal(t_read, t)


def test_a_file_that_a_browser_unpacked_under_its_old_name_is_read(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(idx(digits()[0]))
    np.testing.assert_array_equal(read_idx(path, most=3, each=(28, 28)), digits()[0])


X, T = digits()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (b"", None, "images.*magic number 2051, found 0 .bytes none"),
        (b"<!DOCTYPE html>", None, "images.*magic number 2051, found .*3c 21 44 4f"),
        (idx(T), None, "images.*magic number 2051, found 2049"),
        (idx(X, magic=0x0D03), None, "images.*magic number 2051, found 3331"),
        (idx(X)[:11], None, "images.*3 axes after the magic number, found the end after 7 bytes"),
        (idx(X, shape=(3, 28, 27)), None, r"images.*shape \(N, 28, 28\).*found \(3, 28, 27\)"),
        (idx(X, shape=(60_001, 28, 28)), None, r"images.*N from 1 to 60000, found \(60001, 28, 28\)"),
        (idx(X, shape=(2**32 - 1,) * 3), None, r"images.*found \(4294967295, 4294967295, 4294967295\)"),
        (idx(X[:0]), None, r"images.*N from 1 to 60000, found \(0, 28, 28\)"),
        (idx(X, shape=(60_000, 28, 28)), None, "images.*47040000 elements .*, found only 2352"),
        (idx(X)[:-1], None, "images.*2352 elements .*, found only 2351"),
        (idx(X) + b"\0", None, "images.*2352 elements .*, found more"),
        (idx(X) + bytes(1 << 20), None, "images.*2352 elements .*, found more"),
        (idx(X[:2]), None, "images.*3 images, one for each label of train-labels-idx1-ubyte.*, found 2"),
        (None, idx(T.reshape(3, 1)), "labels.*magic number 2049, found 2050"),
        (None, idx(np.array([1, 10, 2])), "labels.*labels from 0 to 9, found 10 at item 1"),
    ],
)  # fmt: skip
def test_mnist_refuses(tmp_path, images, labels, text, packed):
    write_mnist(tmp_path, images, labels)
    if packed:
        for path in list(tmp_path.iterdir()):
            path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    message = refusal(data.load, "mnist", root=tmp_path)
    assert re.search(text, message)
    assert message.startswith(str(tmp_path))
    assert message.endswith("replace the file by a fresh copy")


PACKED = gzip.compress(idx(X))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (PACKED[:-1], "a whole gzip stream, found one that ends early"),
        (PACKED[: len(PACKED) // 2], "a whole gzip stream, found one that ends early"),
        (PACKED[:5], "a whole gzip stream, found one that ends early"),
        (flip(PACKED, -8 + len(PACKED)), "a sound gzip stream, found this fault: CRC check failed"),
        (flip(PACKED, -1 + len(PACKED)), "a sound gzip stream, found this fault: Incorrect length"),
        (flip(PACKED, 2), "a sound gzip stream, found this fault: Unknown compression method"),
        (PACKED + b"rubbish", "a sound gzip stream, found this fault: Not a gzipped file"),
        (PACKED + PACKED, "2352 elements .*, found more"),
    ],
    ids=["one byte short", "half", "header", "checksum", "length", "method", "rubbish behind", "twice"],
)
def test_damaged_gzip_is_refused(tmp_path, content, text):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    message = refusal(read_idx, path, most=60_000, each=(28, 28))
    assert re.search(text, message)
    assert message.startswith(str(path))


def test_a_gzip_bomb_is_left_where_it_exceeds_its_own_header(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb") as file:
        file.write(idx(X))
        for _ in range(200):
            file.write(bytes(1 << 20))
    assert "found more" in refusal(read_idx, path, most=60_000, each=(28, 28))


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    write_mnist(tmp_path)
    monkeypatch.setattr(Path, "open", refuse)
    assert re.search("train-labels.*cannot be read: Permission denied", refusal(data.load, "mnist", root=tmp_path))


def test_what_is_no_regular_file_counts_as_missing(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    assert "lacks train-images-idx3-ubyte[.gz] (" in refusal(data.load, "mnist", root=tmp_path)


class Short(io.BytesIO):
    """A stream that gives one byte at a time, as a slow one may."""

    def read(self, size=-1, /):
        return super().read(min(size, 1))


@pytest.mark.parametrize("stream", [io.BytesIO, Short])
@pytest.mark.parametrize(("limit", "length"), [(0, 1), (4, 5), (5, 5), (6, 5), (1 << 21, 5)])
def test_read_capped_stops_one_byte_beyond_the_limit(stream, limit, length):
    assert len(read_capped(stream(b"bytes"), limit)) == length


# CIFAR-10 -----------------------------------------------------------------------------------------


def write_batches(folder, *, packed=False, sizes=(2, 1, 1, 1, 1)):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [records(n, seed) for seed, n in enumerate(sizes)]
    for i, part in enumerate(parts, start=1):
        content = gzip.compress(part.tobytes()) if packed else part.tobytes()
        (folder / (f"data_batch_{i}.bin" + ".gz" * packed)).write_bytes(content)
    return np.concatenate(parts)


@pytest.mark.parametrize("folder", ["", "cifar10", FOLDER, f"cifar10/{FOLDER}"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_batches_plain_or_packed_in_the_usual_folders(tmp_path, folder, packed):
    rows = write_batches(tmp_path / folder, packed=packed)
    require_cifar10(data.load("cifar10", root=tmp_path), rows)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "1 to 10000 records of 3073 bytes each, found 0 bytes"),
        (bytes(RECORD + 1), "records of 3073 bytes each, found 3074 bytes"),
        (bytes(RECORD) + b"\x0a" + bytes(RECORD - 1), "labels from 0 to 9, found 10 at item 1"),
    ],
)
def test_cifar10_refuses(tmp_path, content, text, packed):
    path = tmp_path / ("test_batch.bin" + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    message = refusal(data.load, "cifar10", root=tmp_path, split="test")
    assert message.startswith(str(path))
    assert re.search(text, message)


def test_cifar10_refuses_a_file_of_more_than_10000_records(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "MOST", 4)
    (tmp_path / "test_batch.bin").write_bytes(records(4).tobytes())
    assert len(data.load("cifar10", root=tmp_path, split="test")[1]) == 4
    (tmp_path / "test_batch.bin").write_bytes(records(5).tobytes())
    assert "found more than 12292 bytes" in refusal(data.load, "cifar10", root=tmp_path, split="test")


# Any damage at all --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


IMAGES = np.random.default_rng(1).integers(0, 9, (4, 28, 28), np.uint8)


@given(content=damage(idx(IMAGES)))
def test_any_damage_to_an_idx_file(scratch, content):
    path = Path(scratch / "plain")
    path.write_bytes(content)
    survives(lambda: read_idx(path, most=60_000, each=(28, 28)))


@given(content=damage(gzip.compress(idx(IMAGES), mtime=0)))
def test_any_damage_to_a_packed_idx_file(scratch, content):
    path = Path(scratch / "packed.gz")
    path.write_bytes(content)
    survives(lambda: read_idx(path, most=60_000, each=(28, 28)), right=IMAGES)


SIX = records(6)


@given(content=damage(SIX.tobytes()))
def test_any_damage_to_a_cifar10_file(scratch, content):
    (scratch / "test_batch.bin").write_bytes(content)
    survives(lambda: data.load("cifar10", root=scratch, split="test")[0])
