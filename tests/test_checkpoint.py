"""Saved networks: what comes back is what was saved, or an error and an unchanged network."""

import json
import os
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import random, tensor_files
from fastconv.checkpoint import load, save
from fastconv.tensor_files import read_tensors, write_tensors, write_whole


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def small_net(hidden=5):
    return fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 3, "filter_size": 3}, hidden_size=hidden)


def assert_equal_values(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])


def test_values_come_back_into_a_model(tmp_path):
    model, other = small_net(), small_net()
    save(model, tmp_path / "net.safetensors")
    assert load(other, tmp_path / "net.safetensors") is other
    assert_equal_values(model, other)


def test_a_network_of_fc_models_is_built_from_its_file(tmp_path):
    model = fc.models.LeNet5((3, 32, 32), activation="relu", pooling="max", channels=(4, 5))
    save(model, tmp_path / "net.safetensors")
    stream = random.get_state()
    rebuilt = load(tmp_path / "net.safetensors")
    assert type(rebuilt) is fc.models.LeNet5
    assert rebuilt.config == model.config
    assert_equal_values(rebuilt, model)
    assert random.get_state() == stream


def test_other_modules_need_a_model_to_load_into(tmp_path):
    model = fc.nn.Sequential(fc.nn.Linear(2, 3), fc.nn.Linear(3, 1))
    save(model, tmp_path / "net.safetensors")
    with pytest.raises(fc.DataError, match=r"use fc\.load\(model, path\)"):
        load(tmp_path / "net.safetensors")
    twin = fc.nn.Sequential(fc.nn.Linear(2, 3), fc.nn.Linear(3, 1))
    assert_equal_values(load(twin, tmp_path / "net.safetensors"), model)


def test_equal_networks_give_equal_files(tmp_path):
    model = small_net()
    for name in ("a", "b"):
        save(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_subclass_of_a_network_is_not_taken_for_it(tmp_path):
    class Mine(fc.models.LeNet5):
        pass

    save(Mine(), tmp_path / "net.safetensors")
    assert "model" not in read_tensors(tmp_path / "net.safetensors")[1]


def refused(path, text, model=None):
    """Loading `path` fails with `text` and leaves the model as it was."""
    model = model or small_net()
    before = {name: a.copy() for name, a in model.state_dict().items()}
    with pytest.raises(fc.DataError, match=text):
        load(model, path)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_another_networks_file_is_refused(tmp_path):
    save(small_net(hidden=6), tmp_path / "other")
    refused(tmp_path / "other", r"affine1\.weight is float32 \(6, 27\) in the file, float32 \(5, 27\) in the network")
    save(fc.nn.Sequential(fc.nn.Linear(2, 3)), tmp_path / "other")
    refused(tmp_path / "other", "belongs to another network")


def test_another_element_type_is_refused(tmp_path):
    arrays = {name: a.astype("float64") for name, a in small_net().state_dict().items()}
    write_tensors(tmp_path / "net", arrays, {"format": "fastconv-model-1"})
    refused(tmp_path / "net", "float64 .* in the file, float32")


def test_other_safetensors_are_refused(tmp_path):
    write_tensors(tmp_path / "net", small_net().state_dict(), {})
    refused(tmp_path / "net", "its format is None, not 'fastconv-model-1'")


def with_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BROKEN = {
    "empty": b"",
    "short": b"\x01\x00\x00",
    "header of 2^62 bytes": struct.pack("<Q", 1 << 62) + b"{}",
    "header of 2 MiB": with_header(b"{" + b" " * (2 << 20) + b"}"),
    "header beyond the end": struct.pack("<Q", 100) + b"{}",
    "no JSON": with_header(b"{nothing"),
    "no UTF-8": with_header(b'{"\xff": 1}'),
    "a list": with_header([1, 2]),
    "deep": with_header(b"[" * 100_000),
    "deep object": with_header(b'{"a":' * 50_000),
    "twins": with_header(b'{"a": %s, "a": %s}' % ((json.dumps(F4).encode(),) * 2), b"1234"),
    "twins inside": with_header(b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'),
    "odd metadata": with_header({"__metadata__": {"fastconv": '{"format": 1}'}}),
    "metadata no JSON": with_header({"__metadata__": {"fastconv": "{"}}),
    "deep metadata": with_header({"__metadata__": {"fastconv": "[" * 100_000}}),
    "metadata no text": with_header({"__metadata__": {"fastconv": 5}}),
    "metadata no object": with_header({"__metadata__": 5}),
    "metadata of another kind": with_header({"__metadata__": {"format": 1}}),
    "unknown type": with_header({"a": {**F4, "dtype": "F8_E4M3"}}, b"1234"),
    "type no string": with_header({"a": {**F4, "dtype": ["F32"]}}, b"1234"),
    "entry no object": with_header({"a": 5}, b"1234"),
    "no offsets": with_header({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
    "beyond the end": with_header({"a": {**F4, "data_offsets": [0, 8]}}, b"1234"),
    "hole": with_header({"a": {**F4, "data_offsets": [4, 8]}}, b"12345678"),
    "overlap": with_header({"a": F4, "b": F4}, b"1234"),
    "bytes left over": with_header({"a": F4}, b"12345678"),
    "shape overflow": with_header({"a": {**F4, "shape": [1 << 62, 1 << 62]}}, b"1234"),
    "negative": with_header({"a": {**F4, "shape": [-1]}}, b"1234"),
    "100,000 arrays": with_header(b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b"}"),
    "pickle": b"\x80\x04}.",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_files_are_refused(tmp_path, name):
    (tmp_path / "net").write_bytes(BROKEN[name])
    refused(tmp_path / "net", "not a sound file of arrays")
    with pytest.raises(fc.DataError, match="not a sound file of arrays"):
        load(tmp_path / "net")


def test_every_truncation_is_refused(tmp_path):
    save(small_net(), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    model = small_net()
    for length in (*range(0, len(data), 97), len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:length])
        refused(tmp_path / "cut", "not a sound file of arrays", model)


@given(st.data())
def test_damaged_files_load_or_give_data_errors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    with fc.use("reference"):
        save(small_net(), folder / "net")
        damaged = bytearray((folder / "net").read_bytes())
        header = 8 + struct.unpack("<Q", damaged[:8])[0]
        for _ in range(data.draw(st.integers(1, 5))):
            damaged[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
        (folder / "net").write_bytes(damaged)
        with suppress(fc.DataError):
            assert isinstance(load(folder / "net"), fc.models.SimpleConvNet)


@pytest.mark.parametrize(
    "config",
    [
        "no JSON", "[]", "3", '{"no_such_option": 1}', '{"input_dim": 5}', '{"input_dim": [1, 8]}',
        '{"hidden_size": 1000000000000}', '{"conv_param": {"filter_num": 1000000000}}', '{"hidden_size": "many"}',
        '{"weight_init_std": "unknown"}', '{"conv_param": {"stride": 0}}', '{"hidden_size": -4}',
        '{"conv_param": {"filter_size": 1e400}}',
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_built_is_refused(tmp_path, config):
    metadata = {"format": "fastconv-model-1", "model": "simple_convnet", "config": config}
    write_tensors(tmp_path / "net", small_net().state_dict(), metadata)
    with pytest.raises(fc.DataError, match="cannot be built"):
        load(tmp_path / "net")


def test_networks_are_built_by_known_names_only(tmp_path):
    metadata = {"format": "fastconv-model-1", "model": "os.system", "config": "{}"}
    write_tensors(tmp_path / "net", small_net().state_dict(), metadata)
    with pytest.raises(fc.DataError, match=r"there is no network 'os\.system'"):
        load(tmp_path / "net")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net"
    write_whole(path, b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_files.os, "replace", full)
    with pytest.raises(fc.DataError, match="net: cannot be written: No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(fc.DataError, match="cannot be written: No such file or directory"):
        save(small_net(), tmp_path / "nowhere" / "net")


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_a_written_file_has_the_usual_mode(tmp_path):
    write_whole(tmp_path / "net", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "net").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_arguments_in_the_wrong_order_are_named(tmp_path):
    with pytest.raises(fc.ArgumentError, match="give a model and a path"):
        load(str(tmp_path), small_net())
