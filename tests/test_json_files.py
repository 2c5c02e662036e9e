"""Snapshots as JSON, as the ConvNetJS page keeps its nets: every bit comes back, and nothing in the file is trusted."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import fastconv as fc
from fastconv.json_files import looks_like_json, read_arrays, write_arrays
from fastconv.lecture_files import read_params


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        fc.manual_seed(0)
        yield


def small_net():
    return fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 3, "filter_size": 3}, hidden_size=5)


def test_a_network_comes_back_from_its_snapshot(tmp_path):
    model = small_net()
    fc.save(model, tmp_path / "net.json")
    again = fc.load(tmp_path / "net.json")
    assert again.config == model.config
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value)
    x = np.ones((2, 1, 8, 8), "float32")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_any_program_can_read_it(tmp_path):
    model = small_net()
    fc.save(model, tmp_path / "net.json")
    content = json.loads((tmp_path / "net.json").read_text())
    assert content["metadata"]["model"] == "simple_convnet"
    entry = content["arrays"]["conv1.weight"]
    assert (entry["dtype"], entry["shape"]) == ("float32", [3, 1, 3, 3])
    np.testing.assert_array_equal(np.float32(entry["values"]), model.conv1.weight.numpy().reshape(-1))


def test_params_of_the_lectures_network(tmp_path):
    model, other = small_net(), small_net()
    model.save_params(tmp_path / "params.json")
    assert read_params(tmp_path / "params.json").keys() == {"W1", "b1", "W2", "b2", "W3", "b3"}
    other.load_params(tmp_path / "params.json")
    np.testing.assert_array_equal(other.params["W2"], model.params["W2"])


@given(a=arrays_of.arrays("float32", (2, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_every_bit_comes_back(tmp_path_factory, a):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_arrays(path, {"a": a}, {})
    np.testing.assert_array_equal(read_arrays(path)[0]["a"].view("int32"), a.view("int32"))


def test_the_content_decides_not_the_name(tmp_path):
    fc.save(small_net(), tmp_path / "net.json")
    (tmp_path / "net.json").rename(tmp_path / "net.safetensors")
    assert isinstance(fc.load(tmp_path / "net.safetensors"), fc.models.SimpleConvNet)
    fc.save(small_net(), tmp_path / "other.safetensors")
    assert not looks_like_json((tmp_path / "other.safetensors").read_bytes())


def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path):
    model = small_net()
    fc.save(model, tmp_path / "net.json")
    before = (tmp_path / "net.json").read_bytes()
    model.params["b1"][0] = np.nan
    with pytest.raises(fc.DataError, match=r"JSON has no NaN and no infinity; save under a name ending in \.safet"):
        fc.save(model, tmp_path / "net.json")
    assert (tmp_path / "net.json").read_bytes() == before


def with_arrays(**entry):
    return json.dumps({"metadata": {}, "arrays": {"a": {"dtype": "float32", "shape": [2], "values": [1, 2]} | entry}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "its JSON"),
        ("{}", "no metadata or no arrays"),
        ('{"metadata": {}, "metadata": {}, "arrays": {}}', "a name stands there twice"),
        ('{"metadata": {"format": 1}, "arrays": {}}', "metadata are not all texts"),
        ('{"metadata": {}, "arrays": {"a": [1, 2]}}', "a is not given by dtype, shape and values"),
        ('{"a": ' * 100_000, "its JSON"),
        (with_arrays(dtype="object"), "element type 'object'"),
        (with_arrays(dtype=["float32"]), "element type"),
        (with_arrays(shape=[3]), r"2 values for the shape \[3\]"),
        (with_arrays(shape=[-2]), r"2 values for the shape \[-2\]"),
        (with_arrays(shape=[2.0]), r"2 values for the shape"),
        (with_arrays(shape=2), "must be lists"),
        (with_arrays(values=[1, "2"]), "something else than numbers"),
        (with_arrays(values=[1, True]), "something else than numbers"),
        (with_arrays(values=[1, [2]]), "something else than numbers"),
        (with_arrays(values=[1, 1e39]), "beyond float32"),
        (with_arrays(values=[1, 10**400]), "a: "),
        (with_arrays(values=[1, 2]).replace("2]}", "NaN]}"), "beyond float32"),
    ],
)
def test_malformed_files_are_refused(tmp_path, text, message):
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(fc.DataError, match=message):
        read_arrays(path)


def test_a_file_that_is_neither_is_named_so(tmp_path):
    path = tmp_path / "history.json"
    path.write_text('[{"number": 1, "train_loss": 2.0}]')
    with pytest.raises(fc.DataError, match="no safetensors"):
        fc.load(path)
