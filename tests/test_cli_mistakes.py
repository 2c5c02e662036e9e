"""Mistakes at the command line: each ends with one line that says what to do, and code 1."""

import re

import pytest
from typer.testing import CliRunner

import fastconv as fc
from fastconv.backends import select
from fastconv.cli.app import app


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with select.use("reference"):
        yield


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["summary", "lenet5", "--input", "1,28"], r"LeNet5: input_dim must be \(C, H, W\), .* got \[1, 28\]"),
        (["summary", "simple_convnet", "--input", "1,0,28"], r"SimpleConvNet: input_dim must be \(C, H, W\)"),
        (["summary", "lenet5", "--option", "channels=5"], r"LeNet5: channels must be \(C1, C3\), .* got 5"),
        (
            ["summary", "lenet5", "--option", "luck=1"],
            "lenet5 has no option luck; its options are input_dim, output_size",
        ),
        (["summary", "lenet5", "--option", "channels=[6,1.5]"], "LeNet5: channels must be"),
        (["summary", "alexnet", "--option", "lrn=off"], "AlexNet: lrn must be True or False, got 'off'"),
        (["summary", "googlenet", "--option", "lrn=1"], "GoogLeNet: lrn must be True or False, got 1"),
        (["summary", "alexnet", "--option", "dropout=half"], "Dropout: p must be at least 0 and below 1, got 'half'"),
        (["train", "linear", "--option", "input_dim=[1,9,9]"], r"digits has images of \(1, 8, 8\) C,H,W, the network"),
        (
            ["summary", "none.safetensors"],
            "there is no network or file 'none.safetensors'; the networks are simple_conv",
        ),
        (["plan", "net.safetensors", "--option", "pooling=max"], "--option is for a network by name"),
        (["plan", "lenet5", "--batch-size", str(10**15)], "not enough memory"),
        (["filters", "."], "cannot be read"),
        (["plan", "net.safetensors", "--trace", "no/trace.json"], "trace.json: cannot be written"),
        (["predict", "net.safetensors", "none.png"], "No such file"),
        (["activations", "net.safetensors", "--index", "999"], "below 360, the number of test images of digits"),
    ],
)
def test_one_line_says_what_to_do(arguments, text):
    pytest.importorskip("sklearn")
    pytest.importorskip("PIL")
    fc.save(fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}), "net.safetensors")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(text, line)


def test_the_layer_that_failed_stands_on_a_line_of_its_own():
    fc.save(fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}), "net.safetensors")
    result = CliRunner().invoke(app, ["summary", "net.safetensors", "--input", "1,9,12"])
    assert result.exit_code == 1
    error, layer = result.stderr.splitlines()
    assert "linear: w expects 18 inputs, x has 30" in error
    assert layer.startswith("in layer affine1 of SimpleConvNet: Linear(18, 100")


def test_a_plan_of_a_file():
    fc.save(fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}), "net.safetensors")
    result = CliRunner().invoke(app, ["plan", "net.safetensors", "--inference", "--backend", "reference"])
    assert result.exit_code == 0, result.output
    assert "linear_forward" in result.output


def test_info_prints_names_in_brackets_and_threads(monkeypatch):
    monkeypatch.setattr("fastconv.backends.select.available", lambda: {"gpu": "pip install fastconv[cuda13]"})
    lines = CliRunner().invoke(app, ["info"]).output.splitlines()
    assert [line.split() for line in lines if line.startswith("backend")] == [
        ["backend", "gpu", "pip", "install", "fastconv[cuda13]"]
    ]
    assert any(re.fullmatch(r"threads +\d+ of the cpu backend", line) for line in lines)


def test_tune_keeps_what_it_measured_before_ctrl_c(monkeypatch, tmp_path):
    from fastconv.backends.cpu import trials, tuning

    remembered = {}
    monkeypatch.setattr(tuning, "remember", lambda found: remembered.update(found) or tmp_path / "tuned.json")
    measured = []

    def trial(backend, g, direction, names, rounds):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(direction)
        return trials.Trial(g, direction, "float32", names[0], dict.fromkeys(names, 1.0))

    monkeypatch.setattr(trials, "trial", trial)
    result = CliRunner().invoke(app, ["tune", "lenet5"])
    assert result.exit_code == 0, result.output
    assert "stopped: what was measured so far counts" in result.stderr
    assert len(remembered) == 2


def test_a_checkpoint_is_no_network():
    pytest.importorskip("sklearn")
    train = ["train", "linear", "--limit", "50", "--epochs", "1", "--backend", "reference", "--out", "run"]
    assert CliRunner().invoke(app, train).exit_code == 0
    result = CliRunner().invoke(app, ["summary", "run/checkpoints/checkpoint-000001.safetensors"])
    assert result.exit_code == 1
    assert "holds a training run, not a network; end it with --resume" in result.stderr
    assert "model.safetensors" in result.stderr
