"""CIFAR-10's "python version", as torchvision unpacks it: pickles of Python 2, read without running them."""

import gzip
import os
import pickle
import re
import struct

import numpy as np
import pytest
from data_files import damage, member, records, refusal, require_cifar10, survives, tar
from hypothesis import given

from fastconv import data
from fastconv.data import cifar10

FOLDER = "cifar-10-batches-py"
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def text(value):
    """A byte string of Python 2."""
    return b"U" + bytes([len(value)]) + value.encode()


def python2_pickle(rows, **changed):
    """The bytes of a batch as Python 2 wrote it: batch_label, labels, data, filenames, in protocol 2."""
    n, pixels = len(rows), rows[:, 1:].tobytes()
    shape = b"K\x01" + b"M" + struct.pack("<H", n) + b"M\x00\x0c\x86"
    dtype = b"cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
    parts = {
        "batch_label": text("testing batch 1 of 1"),
        "labels": b"]q\x05(" + b"".join(b"K" + bytes([label]) for label in rows[:, 0]) + b"e",
        "data": array + b"(" + shape + dtype + b"\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb",
        "filenames": b"]q\x0c(" + b"".join(text(f"cat_s_{i:06}.png") for i in range(n)) + b"e",
    } | changed
    items = b"".join(text(name) + b"q\x02" + part for name, part in parts.items() if part is not None)
    return b"\x80\x02}q\x01(" + items + b"u."


def write(folder, rows, pack=bytes):
    """One record in each training file, the others in the test file."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(NAMES):
        part = rows[i : i + 1] if i < 5 else rows[5:]
        (folder / name).write_bytes(pack(python2_pickle(part)))


def test_the_writer_of_this_test_writes_what_pickle_reads():
    rows = records(3)
    batch = pickle.loads(python2_pickle(rows), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], rows[:, 1:])
    assert batch[b"labels"] == rows[:, 0].tolist()
    assert batch[b"filenames"][2] == b"cat_s_000002.png"


@pytest.mark.parametrize("folder", ["", FOLDER, f"cifar10/{FOLDER}"])
def test_batches_where_torchvision_leaves_them(tmp_path, folder):
    rows = records(8)
    write(tmp_path / folder, rows)
    require_cifar10(data.load("cifar10", root=tmp_path), rows[:5])
    require_cifar10(data.load("cifar10", root=tmp_path, split="test"), rows[5:])


@pytest.mark.parametrize("packed", [False, True])
def test_the_archive(tmp_path, packed):
    rows = records(8)
    write(tmp_path / "made", rows)
    content = tar([member(f"{FOLDER}/{name}", (tmp_path / "made" / name).read_bytes()) for name in NAMES])
    path = tmp_path / ("cifar-10-python.tar" + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    require_cifar10(data.load("cifar10", root=tmp_path), rows[:5])
    require_cifar10(data.load("cifar10", root=tmp_path, split="test"), rows[5:])


def test_the_binary_version_comes_first(tmp_path):
    rows = records(3)
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes())
    (tmp_path / "test_batch").write_bytes(b"anything")
    require_cifar10(data.load("cifar10", root=tmp_path, split="test"), rows)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_batch_that_python_3_wrote_again(tmp_path, protocol):
    rows = records(4)
    batch = {"labels": rows[:, 0].tolist(), "data": rows[:, 1:].copy(), "batch_label": "testing"}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol))
    require_cifar10(data.load("cifar10", root=tmp_path, split="test"), rows)


class Calls:
    def __reduce__(self):
        return os.system, ("touch hit",)


TWO = records(2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a pickled batch of images and labels, found this fault"),
        (pickle.dumps({"labels": Calls()}), "found this fault: it asks for 'posix' 'system'"),
        (python2_pickle(TWO, data=None), "an array 'data' and a list 'labels', found 'batch_label', 'labels'"),
        (python2_pickle(TWO, labels=None), "a list 'labels'"),
        (python2_pickle(TWO, labels=b"](K\x01e"), r"3072 bytes for each, found 1 and \(2, 3072\)"),
        (python2_pickle(TWO, labels=b"](K\x01K\x0ae"), "labels from 0 to 9, found 10 at item 1"),
        (python2_pickle(TWO, labels=b"](K\x01M\x00\x01e"), "whole numbers from 0 to 9"),
        (python2_pickle(TWO, labels=b"](K\x01" + text("2") + b"e"), "whole numbers from 0 to 9"),
        (python2_pickle(TWO, labels=b"](K\x01]e"), "it does not hold a dict of arrays"),
        (python2_pickle(TWO, labels=b"]q\x05(h\x05e"), "it does not hold a dict of arrays"),
        (pickle.dumps({"labels": [1], "data": np.zeros((1, 3072))}), "element type 'f8'; only u1"),
        (pickle.dumps([1, 2]), "it does not hold a dict"),
    ],
)
def test_what_is_no_batch_is_refused_and_not_run(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    found = refusal(data.load, "cifar10", root=tmp_path, split="test")
    assert found.startswith(str(tmp_path / "test_batch"))
    assert re.search(message, found)
    assert not (tmp_path / "hit").exists()


def test_a_file_of_too_many_records_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "MOST", 3)
    (tmp_path / "test_batch").write_bytes(python2_pickle(records(4)))
    assert "1 to 3 labels, 3072 bytes for each, found 4" in refusal(data.load, "cifar10", root=tmp_path, split="test")


def test_a_missing_data_set_names_both_versions(tmp_path):
    message = refusal(data.load, "cifar10", root=tmp_path, split="test")
    assert "test_batch.bin[.gz] or cifar-10-binary.tar[.gz] or cifar-10-python.tar[.gz]" in message


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@given(content=damage(python2_pickle(TWO)))
def test_any_damage_to_a_batch(scratch, content):
    (scratch / "test_batch").write_bytes(content)
    survives(lambda: data.load("cifar10", root=scratch, split="test")[0])
