"""The lectures' training script as the README prints it: only its import lines differ from the lectures' own."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import idx
from test_data import real_files

import fastconv as fc

README = Path(__file__).resolve().parents[1] / "README.md"


def script(epochs, short=True):
    """The README's script with fewer epochs, and its own lines for less data switched on."""
    text = re.search(r"<!-- lecture-script -->\n```python\n(.*?)```", README.read_text(encoding="utf8"), re.DOTALL)[1]
    text = text.replace("max_epochs = 20", f"max_epochs = {epochs}")
    return re.sub(r"^# (x_t)", r"\1", text, flags=re.MULTILINE) if short else text


def run(text, folder, data):
    """Run the script in `folder` as a program of its own; returns what it printed."""
    text = "import fastconv\nfastconv.manual_seed(0)\n" + text
    env = os.environ | {"MPLBACKEND": "Agg", "FASTCONV_DATA": str(data)}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_mnist_like(folder):
    """Files in MNIST's format with bright squares whose place is their class."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 2000), ("t10k", 200)):
        labels = rng.integers(0, 10, n).astype("uint8")
        images = rng.integers(0, 60, (n, 28, 28)).astype("uint8")
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[8 * row : 8 * row + 6, 7 * column : 7 * column + 6] = 250
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def test_the_script_runs_and_its_params_load(tmp_path):
    pytest.importorskip("matplotlib")
    write_mnist_like(tmp_path)
    printed = run(script(epochs=6), tmp_path, tmp_path)
    assert "Saved Network Parameters!" in printed
    params = pickle.loads((tmp_path / "params.pkl").read_bytes())  # written by the run above
    assert {name: value.shape for name, value in params.items()} == {
        "W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,), "W3": (100, 10), "b3": (10,),
    }  # fmt: skip
    network = fc.models.SimpleConvNet()
    network.load_params(tmp_path / "params.pkl")
    (_, _), (x_test, t_test) = fc.data.load_mnist(flatten=False, root=tmp_path)
    assert network.accuracy(x_test, t_test) > 0.95


@pytest.mark.data
@pytest.mark.slow
def test_the_script_learns_real_digits(tmp_path):
    pytest.importorskip("matplotlib")
    data = real_files("mnist")
    run(script(epochs=10), tmp_path, data)
    network = fc.models.SimpleConvNet()
    network.load_params(tmp_path / "params.pkl")
    (_, _), (x_test, t_test) = fc.data.load_mnist(flatten=False, root=data)
    assert network.accuracy(x_test, t_test) > 0.93
