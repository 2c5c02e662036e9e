"""`fastconv demo`: every demo works without a file of the user's, and says what it wrote."""

import subprocess
import sys

import numpy as np
import pytest
from pictures import is_png
from typer.testing import CliRunner

import fastconv as fc
from fastconv.backends import select
from fastconv.cli.app import app
from fastconv.cli.demo import DEMOS
from fastconv.cli.demo.matrix import matrix

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
Pillow = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with select.use("reference"):
        yield


def run(*arguments, code=0):
    """The output of a demo that ends with `code`."""
    result = CliRunner().invoke(app, ["demo", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def frames(path):
    with Pillow.open(path) as gif:
        return gif.n_frames


def test_every_demo_is_listed_and_imports_nothing_heavy_for_its_help():
    code = (
        "import sys; from fastconv.cli.app import app; from typer.testing import CliRunner\n"
        f"print([CliRunner().invoke(app, ['demo', name, '--help']).exit_code for name in {DEMOS}])\n"
        "print(sorted({'numpy', 'matplotlib', 'numba', 'PIL', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str([0] * len(DEMOS)), "[]"]
    assert all(name in run("--help") for name in DEMOS)


@pytest.mark.parametrize(
    ("demo", "name"), [("filters", "filtered"), ("distances", "distances"), ("augment", "augmented")]
)
def test_pictures_of_one_image(demo, name, tmp_path):
    assert run(demo) == f"wrote {name}.png\n"
    assert is_png(tmp_path / f"{name}.png")
    run(demo, "--data", "digits", "--index", "3", "--out", "digit.png")
    x, _ = fc.data.load("digits", split="test")
    np.save("digit.npy", x[3])
    run(demo, "digit.npy", "--out", "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "digit.png").read_bytes()
    assert "--index must be below 360" in run(demo, "--data", "digits", "--index", "360", code=1)
    assert "a picture or --data, not both" in run(demo, "digit.npy", "--data", "digits", code=1)


def test_large_photographs_are_made_smaller(tmp_path):
    Pillow.fromarray(np.full((30, 1300, 3), 200, "uint8")).save(tmp_path / "wide.png")
    run("filters", "wide.png", "--filter", "red", "--filter", "edge")
    assert is_png(tmp_path / "filtered.png")
    assert "no filter 'blur'" in run("filters", "wide.png", "--filter", "blur", code=1)


def test_walks(tmp_path):
    assert run("stride", "--stride", 2) == "wrote 9 positions to stride.gif\n"
    assert frames(tmp_path / "stride.gif") == 9
    run("stride", "--input", "12/34", "--filter", "1 0/0 -1", "--padding", 1, "--stride", 2, "--out", "small.gif")
    assert frames(tmp_path / "small.gif") == 4
    assert run("pooling") == "wrote 4 positions to pooling.gif\n"
    run("pooling", "--input", "1 2 3", "--kernel", "1", "--stride", "2")
    assert frames(tmp_path / "pooling.gif") == 2
    assert "--input takes rows of equal length" in run("stride", "--input", "1 2/3", code=1)


def test_matrices_in_words():
    assert matrix("--input", "123/456") == [[1, 2, 3], [4, 5, 6]]
    assert matrix("--input", "1 -2.5 / 0 10") == [[1, -2.5], [0, 10]]
    assert matrix("--input", "7") == [[7]]
    assert matrix("--input", "12/34; 5 6/7 8") == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    for text in ("", "1 2/3", "a b", "/", "12/345", "1 2;3", "1;2/3", "1;a"):
        with pytest.raises(fc.ArgumentError, match="--input takes rows"):
            matrix("--input", text)


def test_neighbours_tell_how_often_they_are_right(tmp_path):
    lines = run("neighbours", "--backend", "reference", "--rows", 2, "--k", 3, "--limit", 50).splitlines()
    assert lines[0] == "digits: the k nearest of 1,437 training images, asked about 50 test images"
    assert lines[1].startswith("right: k=1 ")
    assert float(lines[1].split()[2]) > 95
    assert lines[2] == "wrote neighbours.png"
    assert is_png(tmp_path / "neighbours.png")


def test_templates_of_a_classifier_trained_on_the_spot(tmp_path):
    lines = run("templates", "--backend", "reference").splitlines()
    assert float(lines[-2].removeprefix("test accuracy: ").removesuffix(" %")) > 93
    assert lines[-1] == "wrote templates.png"
    assert is_png(tmp_path / "templates.png")


def test_training_a_linear_classifier_writes_its_templates(tmp_path):
    result = CliRunner().invoke(app, ["train", "linear", "--epochs", "1", "--limit", "50", "--backend", "reference"])
    assert "accuracy.png, templates.png in " in result.output
    assert is_png(tmp_path / "runs" / "linear-digits" / "templates.png")


def test_an_error_is_one_line():
    assert run("distances", "nowhere.png", code=1).startswith("error: nowhere.png: cannot be read")
