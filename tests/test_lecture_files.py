"""The lectures' params.pkl: what NumPy writes is read exactly, and nothing in a file is ever run."""

import codecs
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import lecture_files
from fastconv.lecture_files import read_params, write_params


def params(rng):
    return {
        "W1": rng.standard_normal((3, 1, 5, 5)),
        "b1": rng.standard_normal(3).astype("float32"),
        "W2": np.asfortranarray(rng.standard_normal((4, 6))),
        "b2": rng.standard_normal(6).astype(">f8"),
    }


def assert_same(read, written):
    assert list(read) == list(written)
    for name, value in written.items():
        assert read[name].dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read[name], value)


def read_bytes(tmp_path, data):
    path = tmp_path / "params.pkl"
    path.write_bytes(data)
    return read_params(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_numpy_pickles(tmp_path, rng, protocol):
    written = params(rng)
    assert_same(read_bytes(tmp_path, pickle.dumps(written, protocol)), written)


@pytest.mark.parametrize("protocol", range(4))
def test_reads_the_module_names_of_numpy_1(tmp_path, rng, protocol):
    written = params(rng)
    old = pickle.dumps(written, protocol).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    assert_same(read_bytes(tmp_path, old), written)


@pytest.mark.parametrize("name", ["params.pkl", "params.safetensors", "params"])
def test_writes_and_reads_by_content(tmp_path, rng, name):
    written = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("=")) for name, a in params(rng).items()}
    write_params(tmp_path / name, written)
    (tmp_path / name).rename(tmp_path / "renamed.bin")
    read = read_params(tmp_path / "renamed.bin")
    assert set(read) == set(written)
    assert_same({name: read[name] for name in written}, written)


def test_a_written_pkl_is_a_plain_dict_for_pickle(tmp_path, rng):
    written = params(rng)
    write_params(tmp_path / "params.pkl", written)
    with open(tmp_path / "params.pkl", "rb") as file:
        assert_same(pickle.load(file), {name: np.ascontiguousarray(a) for name, a in written.items()})


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


TOUCH = "open('hit', 'w')"


def gadgets():
    yield "os.system", Calls(os.system, "touch hit")
    yield "eval", {"W1": Calls(eval, TOUCH)}
    yield "exec", {"W1": np.zeros(2), "b1": Calls(exec, TOUCH)}
    yield "subprocess", Calls(subprocess.call, ["touch", "hit"])
    yield "getattr", Calls(getattr, "text", "upper")
    yield "numpy.load", Calls(np.load, "x.npy", None, True)
    yield "fromfile", {"W1": Calls(np.fromfile, "/etc/hostname")}
    yield "huge array", {"W1": Calls(np.zeros, 1 << 60)}
    yield "codecs.decode", Calls(codecs.decode, b"x", "zlib")
    yield "codecs.encode", {"W1": Calls(codecs.encode, "x", "rot13")}
    yield "type", {"W1": Calls(type, "T", (), {})}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("name", "gadget"), list(gadgets()), ids=[name for name, _ in gadgets()])
def test_gadgets_are_refused_and_not_run(tmp_path, monkeypatch, name, gadget, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fc.DataError, match=r"params\.pkl: not a sound file"):
        read_bytes(tmp_path, pickle.dumps(gadget, protocol))
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"W1": np.array([1, "a", None], object)},
        {"W1": np.array(["text"])},
        {"W1": np.zeros(2, [("a", "f4")])},
        {"W1": np.arange(3)},
        {"W1": np.zeros(2, complex)},
        {"W1": np.array(["2020-01-01"], "M8[D]")},
        {"W1": [1.0, 2.0]},
        {"W1": 1.0},
        {"W1": np.float64(1.0)},
        {1: np.zeros(2)},
        {("W", 1): np.zeros(2)},
        [np.zeros(2)],
        np.zeros(2),
        {},
        {"W1": np.ma.masked_array([1.0])},
        {"W1": {"b": np.zeros(2)}},
    ],
)
def test_anything_but_a_dict_of_float_arrays_is_refused(tmp_path, content):
    with pytest.raises(fc.DataError, match="not a sound file"):
        read_bytes(tmp_path, pickle.dumps(content, 4))


def test_every_truncation_is_refused(tmp_path):
    data = pickle.dumps({"W1": np.zeros((2, 2)), "b1": np.zeros(2, "float32")}, 4)
    for length in range(len(data)):
        with pytest.raises(fc.DataError):
            read_bytes(tmp_path, data[:length])


def pickled_tuples(depth):
    """A dict whose one key is a tuple of two tuples of two ...: its hash takes 2^depth steps."""
    return b"\x80\x04})" + b"2\x86" * depth + b"K\x01s."


def nested(depth):
    return b"\x80\x04})" + b"\x94h\x00\x86" * depth + b"K\x01s."


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}.",  # a frame of 2^62 bytes
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",  # bytes of 2^40
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",  # a bytearray of 2^40
        b"\x80\x04X" + struct.pack("<I", (1 << 32) - 1) + b"abc.",  # text of 2^32
        b"\x80\x02}r" + struct.pack("<I", (1 << 32) - 1) + b".",  # memo place 2^32 - 1, which is harmless here
        pickled_tuples(100),
        nested(100),
        b"\x80\x04" + b")" * 200_000 + b".",
        b"\x80\x04" + b"(" * 50_000 + b"t" * 49_999 + b".",
        b"\x80\x04}" + b"\x85" * 60_000 + b".",
        b"L" + b"9" * 100_000 + b"L\n.",
        b".",
        b"0.",
        b"t.",
        b"\x80\x04(s.",
        b"\x80\x04}}b.",
        b"\x80\x04}(\x8c\x02W1u.",
        b"",
        b"{}",
        b"\x00" * 64,
        b"PK\x03\x04not a pickle",
    ],
)
def test_claims_beyond_the_file_cost_neither_memory_nor_time(tmp_path, data):
    with pytest.raises(fc.DataError, match="not a sound file"):
        read_bytes(tmp_path, data)


def test_one_array_under_a_thousand_names_does_not_multiply_memory(tmp_path):
    array = np.zeros(10_000)
    assert len(read_bytes(tmp_path, pickle.dumps({"W1": array, "W2": array}, 4))) == 2
    with pytest.raises(fc.DataError, match="more bytes than the file has"):
        read_bytes(tmp_path, pickle.dumps({f"W{i}": array for i in range(1000)}, 4))


def test_a_file_over_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lecture_files, "MAX_PICKLE", 100)
    with pytest.raises(fc.DataError, match="more than the 100 allowed"):
        read_bytes(tmp_path, bytes(101))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(fc.DataError, match=r"nowhere\.pkl: cannot be read: No such file"):
        read_params(tmp_path / "nowhere.pkl")


@given(st.data())
def test_damaged_pickles_give_data_errors_only(tmp_path_factory, data):
    original = pickle.dumps({"W1": np.ones((2, 3)), "b1": np.ones(2, "float32")}, data.draw(st.integers(0, 5)))
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "params.pkl"
    path.write_bytes(damaged)
    try:
        read = read_params(path)
    except fc.DataError:
        return
    assert all(a.dtype.kind == "f" for a in read.values())


def test_pickle_itself_is_never_asked_to_load(tmp_path, monkeypatch, rng):
    def refuse(*arguments, **options):
        raise AssertionError("pickle was asked to load")

    data = pickle.dumps(params(rng), 4)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setitem(sys.modules, "_pickle", None)
    assert len(read_bytes(tmp_path, data)) == 4
