"""The command line: what it prints and writes, how it fails, and what it does not import."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pictures import is_png
from typer.testing import CliRunner

import fastconv as fc
from fastconv.backends import select
from fastconv.cli.app import COMMANDS, app
from fastconv.cli.arguments import constructor_options
from fastconv.cli.images import read_image
from fastconv.cli.recipes import IMAGES, RECIPES, make_optimizer, network_of

FASTCONV = [sys.executable, "-m", "fastconv"]


SMALL = (
    "--data", "digits", "--limit", "60", "--backend", "reference",
    "--option", "hidden_size=10", "--option", 'conv_param={"filter_num": 4, "filter_size": 3}',
)  # fmt: skip


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with select.use("reference"):
        yield


def run(*arguments, code=0):
    """The output of a command that ends with `code`."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def train(*arguments, code=0):
    pytest.importorskip("sklearn")
    return run("train", "simple_convnet", *SMALL, "--epochs", "2", *arguments, code=code)


@pytest.fixture
def saved(tmp_path):
    """A small network's file."""
    fc.manual_seed(4)
    model = fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 4, "filter_size": 3}, weight_init_std="he")
    fc.save(model, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors", model


# Starting up ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments):
    """`fastconv --help` answers in less than 0.3 s because of this."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fastconv", *arguments], capture_output=True, text=True, check=True
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in imported
    assert not imported & {"numpy", "numba", "llvmlite", "safetensors", "matplotlib", "sklearn", "pooch", "PIL", "cupy"}


def test_the_version():
    assert run("--version") == f"fastconv {fc.__version__}\n"


def test_info_names_backends_networks_and_data():
    text = run("info")
    for word in ("backend cpu", "backend reference", "simple_convnet, lenet5", "digits, mnist, cifar10", "numba"):
        assert word in text


# Training -------------------------------------------------------------------------------------------------------------


def test_train_prints_the_accuracy_and_writes_its_results(tmp_path):
    pytest.importorskip("matplotlib")
    lines = train("--seed", "1").splitlines()
    folder = tmp_path / "runs" / "simple_convnet-digits"
    assert lines[0] == "simple_convnet on digits: 60 training and 12 test images, reference backend"
    assert lines[-2].startswith("wrote model.safetensors, history.json, accuracy.png, filters.png in ")
    history = json.loads((folder / "history.json").read_text())
    assert [row["number"] for row in history] == [1, 2]
    assert lines[-1] == f"test accuracy: {100 * history[-1]['validation_accuracy']:.2f} %"
    assert is_png(folder / "accuracy.png")
    assert is_png(folder / "filters.png")
    network = fc.load(folder / "model.safetensors")
    x, t = fc.data.load("digits", split="test")
    assert network.accuracy(x[:12], t[:12]) == history[-1]["validation_accuracy"]


def test_the_seed_decides_the_result(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train("--seed", seed, "--out", tmp_path / name)
    a, b, c = (fc.load(tmp_path / name / "model.safetensors").state_dict() for name in "abc")
    np.testing.assert_array_equal(a["conv1.weight"], b["conv1.weight"])
    assert (a["conv1.weight"] != c["conv1.weight"]).any()


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ([], "Adam(of 6 parameters, lr=0.003, weight_decay=0.0,"),
        (["--lr", "0.5"], "Adam(of 6 parameters, lr=0.5,"),
        (["--optimizer", "adadelta"], "Adadelta(of 6 parameters, lr=1.0, weight_decay=0.0, rho=0.95,"),
        (
            ["--optimizer", "adadelta", "--weight-decay", "0.0001"],
            "Adadelta(of 6 parameters, lr=1.0, weight_decay=0.0001,",
        ),
        (["--optimizer", "sgd", "--momentum", "0.5"], "SGD(of 6 parameters, lr=0.01, weight_decay=0.0, momentum=0.5,"),
        (["--optimizer", "momentum"], "SGD(of 6 parameters, lr=0.01, weight_decay=0.0, momentum=0.9, nesterov=False"),
        (
            ["--optimizer", "nesterov", "--lr", "0.1"],
            "SGD(of 6 parameters, lr=0.1, weight_decay=0.0, momentum=0.9, nes",
        ),
        (["--optimizer", "adamw"], "AdamW(of 6 parameters, lr=0.001, weight_decay=0.01,"),
    ],
)
def test_the_trainers_text_fields(given, made, monkeypatch):
    """ConvNetJS's page: Adadelta, or SGD with momentum; learning rate, momentum, batch size and weight decay."""
    seen = []

    def make(*arguments):
        seen.append(make_optimizer(*arguments))
        return seen[0]

    monkeypatch.setattr("fastconv.cli.recipes.make_optimizer", make)
    train(*given, "--batch-size", "4", "--schedule", "none")
    assert repr(seen[0]).startswith(made)


def test_momentum_for_an_optimizer_without_one_is_refused():
    assert "--momentum is for sgd, momentum and nesterov; adam has none" in train("--momentum", "0.9", code=1)


def test_eager_and_compiled_training_agree(tmp_path):
    def losses(*more):
        train("--out", tmp_path / "run", *more)
        return [row["train_loss"] for row in json.loads((tmp_path / "run" / "history.json").read_text())]

    np.testing.assert_allclose(losses("--eager"), losses(), rtol=1e-3)


def test_train_takes_every_optimizer_schedule_and_augmentation(tmp_path):
    schedules = ["none", "multistep", "step", "exponential", "cosine", "onecycle", "plateau", "none"]
    optimizers = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw"]
    for schedule, optimizer in zip(schedules, optimizers, strict=True):
        text = train(
            "--schedule", schedule, "--optimizer", optimizer, "--lr", "0.01", "--epochs", "1",
            "--augment", "shift,flip,crop,contrast,brightness", "--out", tmp_path / optimizer,
        )  # fmt: skip
        assert "test accuracy: " in text


def test_weight_decay_makes_smaller_weights(tmp_path):
    train("--out", tmp_path / "a")
    train("--weight-decay", "1", "--out", tmp_path / "b")
    plain, decayed = (fc.load(tmp_path / name / "model.safetensors").state_dict() for name in "ab")
    assert np.square(decayed["affine1.weight"]).sum() < np.square(plain["affine1.weight"]).sum()


def test_options_of_the_network(tmp_path):
    train("--option", "hidden_size=7", "--option", 'conv_param={"filter_num": 3}', "--out", tmp_path / "a")
    config = fc.load(tmp_path / "a" / "model.safetensors").config
    assert (config["hidden_size"], config["conv_param"]["filter_num"]) == (7, 3)


def test_lenet5_sees_the_digits_enlarged(tmp_path):
    pytest.importorskip("sklearn")
    run("train", "lenet5", "--limit", "20", "--epochs", "1", "--backend", "reference", "--out", tmp_path / "a")
    assert fc.load(tmp_path / "a" / "model.safetensors").config["input_dim"] == [1, 32, 32]
    text = run("evaluate", tmp_path / "a" / "model.safetensors", "--backend", "reference")
    assert "test accuracy: " in text


def test_lenet5_of_1998_trains_goes_on_and_predicts(tmp_path):
    pytest.importorskip("sklearn")
    reference = ("--backend", "reference")
    few = ("--limit", "20", "--schedule", "none", "--out", tmp_path, *reference)
    run("train", "lenet5_original", *few, "--epochs", "1")
    assert "epoch 2/2" in run("train", "lenet5_original", *few, "--epochs", "2", "--resume")
    assert "test accuracy: " in run("evaluate", tmp_path / "model.safetensors", *reference)
    np.save(tmp_path / "digit.npy", np.ones((32, 32), "float32"))
    line = run("predict", tmp_path / "model.safetensors", tmp_path / "digit.npy", *reference)
    shares = [float(part.split()[-2]) for part in line.split(",")]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=1)


def test_the_loss_can_be_chosen(tmp_path):
    losses = {name: train("--loss", name, "--out", tmp_path).split("loss ")[1] for name in ("cross_entropy", "map")}
    assert losses["cross_entropy"] != losses["map"]


def test_without_matplotlib_the_network_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = train("--out", tmp_path / "a")
    assert 'no pictures: pictures need matplotlib: pip install "fastconv[plot]"' in text
    assert sorted(os.listdir(tmp_path / "a")) == ["checkpoints", "history.json", "model.safetensors"]


def test_more_epochs_with_resume_are_the_same_as_at_once(tmp_path):
    train("--schedule", "none", "--epochs", "3", "--out", tmp_path / "whole")
    train("--schedule", "none", "--epochs", "1", "--out", tmp_path / "parts")
    train("--schedule", "none", "--epochs", "3", "--out", tmp_path / "parts", "--resume")
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(tmp_path):
    pytest.importorskip("sklearn")
    command = ["train", "simple_convnet", *SMALL, "--schedule", "none", "--out", "my run", "--epochs", "9999"]
    process = subprocess.Popen([*FASTCONV, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("my run/checkpoints/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    stopped, told = errors.splitlines()
    again = shlex.split(told.split("to go on: ")[1])
    assert again == ["fastconv", *command, "--resume"]
    last = str(int(re.fullmatch(r"stopped after (?:batch \d of )?epoch (\d+)", stopped)[1]) + 1)
    run(*[last if word == "9999" else word for word in again[1:]])
    run(*command[:-3], "whole", "--epochs", last)
    assert (tmp_path / "my run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


# Using a network ------------------------------------------------------------------------------------------------------


def test_evaluate_prints_the_confusion_and_the_accuracy(saved):
    pytest.importorskip("sklearn")
    path, model = saved
    x, t = fc.data.load("digits", split="test")
    lines = run("evaluate", path, "--backend", "reference").splitlines()
    assert lines[-1] == f"test accuracy: {100 * model.accuracy(x, t):.2f} %"
    guesses = model.predict(x).argmax(1)
    counts = enumerate(np.bincount(guesses[t == 3], minlength=10))
    threes = [str(n) if n or i == 3 else "." for i, n in counts]
    assert ["3", *threes] in [line.split()[:11] for line in lines]


def test_a_network_of_more_classes_than_the_data_has(tmp_path):
    pytest.importorskip("sklearn")
    model = fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}, output_size=12)
    fc.save(model, tmp_path / "net.safetensors")
    lines = run("evaluate", tmp_path / "net.safetensors", "--backend", "reference").splitlines()
    assert ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "right"] in [line.split() for line in lines]
    assert len([line for line in lines if line.rstrip().endswith("%") and "accuracy" not in line]) == 10


def test_several_networks_are_evaluated_as_one(saved, tmp_path):
    pytest.importorskip("sklearn")
    path, model = saved
    fc.manual_seed(5)
    other = fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3}, weight_init_std="he")
    fc.save(other, tmp_path / "other.safetensors")
    x, t = fc.data.load("digits", split="test")
    result = fc.evaluate(fc.models.Ensemble([model, other]), x, t)
    lines = run("evaluate", path, tmp_path / "other.safetensors", "--backend", "reference").splitlines()
    assert lines[-2:] == [f"loss: {result.loss:.4f}", f"test accuracy: {100 * result.accuracy:.2f} %"]
    fc.save(fc.models.LeNet5(), tmp_path / "larger.safetensors")
    text = run("evaluate", path, tmp_path / "larger.safetensors", "--backend", "reference", code=1)
    assert "images of different shapes: [(1, 8, 8), (1, 28, 28)] C,H,W" in text


def test_predict_lists_all_probabilities(saved, tmp_path, rng):
    path, model = saved
    image = rng.random((8, 8), "float32")
    np.save(tmp_path / "mine.npy", image)
    text = run("predict", path, tmp_path / "mine.npy", "--backend", "reference")
    shares = fc.functional.softmax(model.predict(image[None, None])).numpy()[0]
    wanted = ", ".join(f"{i} {100 * shares[i]:.1f} %" for i in shares.argsort()[::-1])
    assert text == f"mine.npy: {wanted}\n"


def test_predict_names_classes(saved, tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((8, 8)))
    text = run("predict", saved[0], tmp_path / "mine.npy", "--classes", "cifar10", "--backend", "reference")
    assert "airplane" in text
    assert "truck" in text


def test_summary_of_a_name_a_shape_and_a_file(saved):
    assert "433,890" in run("summary", "simple_convnet")
    assert "62,006" in run("summary", "lenet5", "--input", "3,32,32")
    assert "256,830" in run(
        "summary", "lenet5", "--input", "3,32,32", "--option", "channels=[32,64]", "--option", "pooling=max"
    )
    assert f"{sum(p.size for p in saved[1].parameters()):,}" in run("summary", saved[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("False", False), ("false", False), ("True", True), ("None", None), ("0.5", 0.5), ("max", "max"),
        ("'max'", "max"), ('{"pad": 1}', {"pad": 1}), ("{'pad': 1}", {"pad": 1}), ("(1, 2)", (1, 2)), ("[1", "[1"),
        ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_options_are_read_as_json_or_python_writes_them(text, value):
    assert constructor_options([f"weight-init={text}"]) == {"weight_init": value}


def test_plan_of_a_step_and_of_a_prediction(tmp_path):
    text = run("plan", "lenet5", "--batch-size", 2, "--trace", tmp_path / "trace.json", "--backend", "reference")
    assert "update" in text
    assert "61,706" in text
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert "backward" not in run("plan", "simple_convnet", "--inference", "--input", "1,8,8", "--backend", "reference")


def test_filters_of_a_network_and_of_the_lectures_params(saved, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("filters", saved[0]) == f"wrote 4 filters to {tmp_path / 'filters.png'}\n"
    assert is_png(tmp_path / "filters.png")
    saved[1].save_params(tmp_path / "params.pkl")
    run("filters", tmp_path / "params.pkl", "--out", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "filters.png").read_bytes()
    assert "no convolution 'conv2'; its convolutions are conv1" in run("filters", saved[0], "--layer", "conv2", code=1)
    assert "no filters 'W2' in it; there are W1" in run("filters", tmp_path / "params.pkl", "--layer", "W2", code=1)


def test_filters_of_a_deeper_layer_and_templates_of_a_linear_classifier(tmp_path):
    pytest.importorskip("matplotlib")
    for lenet in (fc.models.LeNet5(), fc.models.LeNet5Original()):
        fc.save(lenet, tmp_path / "lenet.safetensors")
        assert run("filters", tmp_path / "lenet.safetensors", "--layer", "c3").startswith("wrote 16 filters to ")
    fc.save(fc.models.LinearClassifier((1, 4, 4), 3), tmp_path / "linear.safetensors")
    assert run("filters", tmp_path / "linear.safetensors").startswith("wrote 3 templates to ")
    fc.save(fc.nn.Linear(2, 3), tmp_path / "own.safetensors")
    assert "there are no filters in it, only bias, weight" in run("filters", tmp_path / "own.safetensors", code=1)
    assert "no_such: cannot be read" in run("filters", tmp_path / "no_such", code=1)


def test_activations_of_a_test_image_and_of_a_picture(saved, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    run("activations", saved[0], "--index", "3", "--backend", "reference")
    x, _ = fc.data.load("digits", split="test")
    np.save(tmp_path / "digit.npy", x[3, 0])
    run("activations", saved[0], tmp_path / "digit.npy", "--out", tmp_path / "again.png", "--backend", "reference")
    assert is_png(tmp_path / "activations.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "activations.png").read_bytes()
    run("activations", saved[0], "--layer", "conv1", "--columns", "2", "--out", tmp_path / "two.png")
    assert is_png(tmp_path / "two.png")
    assert "its convolutions are conv1" in run("activations", saved[0], "--layer", "conv7", code=1)


def test_warmup_runs_every_recipe(monkeypatch):
    few = {key: recipe for key, recipe in RECIPES.items() if key[1] == "digits"}
    monkeypatch.setattr("fastconv.cli.recipes.RECIPES", few)
    lines = run("warmup", "--backend", "reference").splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [
        "simple_convnet on digits", "lenet5 on digits", "lenet5_original on digits", "linear on digits",
    ]  # fmt: skip
    assert lines[-1].startswith("ready after ")


def test_recipes_name_networks_and_data_sets_and_build():
    assert {data for _, data in RECIPES} == set(fc.data.NAMES) == set(IMAGES)
    for model, data in RECIPES:
        with fc.nn.init.unset():
            network = network_of(model, data)
        assert network.name == model
        assert len(fc.summary(network, network.config["input_dim"]).rows[-1].shape) == 1


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "no_such_net"], "there is no network 'no_such_net'"),
        (["train", "lenet5", "--data", "stars"], "the data sets are digits, mnist, cifar10, got 'stars'"),
        (["train", "lenet5", "--backend", "abacus"], "there is no backend 'abacus'"),
        (["train", "lenet5", "--optimizer", "luck"], "--optimizer: 'luck' is not one of sgd, momentum"),
        (["train", "lenet5", "--loss", "luck"], "--loss: 'luck' is not one of cross_entropy, map"),
        (["train", "lenet5", "--schedule", "luck"], "--schedule: 'luck' is not one of none, multistep"),
        (["train", "lenet5", "--augment", "flip,luck"], "--augment: 'luck' is not one of flip"),
        (["train", "lenet5", "--option", "channels"], "--option takes NAME=VALUE, got 'channels'"),
        (["train", "lenet5", "--option", "luck=1"], "lenet5 has no option luck"),
        (["train", "lenet5", "--resume"], "there is no checkpoint to go on from"),
        (["train", "lenet5", "--data", "mnist", "--data-root", "nowhere"], "mnist: nowhere is not a folder"),
        (["evaluate", "nowhere"], "nowhere: cannot be read: No such file"),
        (["summary", "lenet5", "--input", "a,b"], "--input takes sizes with commas between"),
        (["summary", "lenet5", "--input", "1,20,20"], "images must be 28x28 or 32x32"),
    ],
)
def test_an_error_is_one_line_and_code_1(arguments, text):
    pytest.importorskip("sklearn")
    if arguments[0] == "train" and "--backend" not in arguments:
        arguments = [*arguments, "--backend", "reference", "--epochs", "1", "--limit", "10"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(text, line)


def test_debug_shows_where_an_error_came_from():
    result = CliRunner().invoke(app, ["--debug", "evaluate", "nowhere"])
    assert isinstance(result.exception, fc.DataError)


def test_a_network_that_does_not_fit_the_data_is_refused(saved):
    pytest.importorskip("sklearn")
    model = fc.models.LeNet5((3, 32, 32))
    fc.save(model, saved[0])
    assert "images of (1, 8, 8) C,H,W, the network takes (3, 32, 32)" in run("evaluate", saved[0], code=1)


# Pictures -------------------------------------------------------------------------------------------------------------


class TestReadImage:
    def test_whole_numbers_are_bytes(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([[0, 255], [51, 102]], np.uint8))
        image = read_image(tmp_path / "a.npy", (1, 2, 2))
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, [[[0, 1], [0.2, 0.4]]])

    def test_invert(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([[0.25, 1.0]]))
        np.testing.assert_allclose(read_image(tmp_path / "a.npy", (1, 1, 2), invert=True), [[[0.75, 0]]])

    def test_areas_are_averaged_and_pixels_repeated(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([[0, 0.5, 1], [0.5, 1, 0]]))
        np.testing.assert_allclose(read_image(tmp_path / "a.npy", (1, 1, 1)), [[[0.5]]], rtol=1e-6)
        np.testing.assert_allclose(read_image(tmp_path / "a.npy", (1, 4, 3))[0, ::2], [[0, 0.5, 1], [0.5, 1, 0]])
        thirds = read_image(tmp_path / "a.npy", (1, 2, 2))[0, 0]
        np.testing.assert_allclose(thirds, [(0 + 0.25) / 1.5, (0.25 + 1) / 1.5], rtol=1e-6)

    @pytest.mark.parametrize("layout", ["hwc", "chw"])
    def test_colours_become_grey_and_grey_becomes_three_channels(self, tmp_path, layout):
        red = np.zeros((4, 4, 3), "float32")
        red[:, :, 0] = 1
        np.save(tmp_path / "a.npy", red if layout == "hwc" else red.transpose(2, 0, 1))
        np.testing.assert_allclose(read_image(tmp_path / "a.npy", (1, 4, 4)), np.full((1, 4, 4), 0.299), rtol=1e-6)
        np.testing.assert_array_equal(read_image(tmp_path / "a.npy", (3, 4, 4)), red.transpose(2, 0, 1))
        np.save(tmp_path / "b.npy", np.full((4, 4), 0.5))
        np.testing.assert_array_equal(read_image(tmp_path / "b.npy", (3, 4, 4)), np.full((3, 4, 4), 0.5))

    @pytest.mark.parametrize("channels", [None, 3, 4])
    def test_png(self, tmp_path, channels):
        image = pytest.importorskip("matplotlib.image")
        shade = np.linspace(0, 1, 16).reshape(4, 4)
        array = shade if channels is None else np.repeat(shade[:, :, None], channels, 2)
        if channels == 4:
            array[:, :, 3] = 1
        image.imsave(tmp_path / "a.png", array, cmap="gray", vmin=0, vmax=1)
        np.testing.assert_allclose(read_image(tmp_path / "a.png", (1, 4, 4))[0], shade, atol=1 / 255)

    @pytest.mark.parametrize(
        "content",
        [np.array(["text"]), np.zeros((2, 2), complex), np.zeros(5), np.zeros((2, 2, 2)), np.zeros((0, 4)),
         np.full((2, 2), np.nan), np.array([{"a": 1}], object)],
    )  # fmt: skip
    def test_arrays_that_are_no_pictures(self, tmp_path, content):
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
        with pytest.raises(fc.DataError, match=r"a\.npy"):
            read_image(tmp_path / "a.npy", (1, 4, 4))

    @pytest.mark.parametrize("name", ["a.png", "a.npy"])
    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01\x00"])
    def test_broken_files(self, tmp_path, name, content):
        pytest.importorskip("matplotlib")
        (tmp_path / name).write_bytes(content)
        with pytest.raises(fc.DataError, match=r"cannot be read as"):
            read_image(tmp_path / name, (1, 4, 4))

    def test_a_huge_claim_takes_no_memory(self, tmp_path):
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
        with pytest.raises(fc.DataError, match="cannot be read as an array"):
            read_image(tmp_path / "a.npy", (1, 4, 4))
