"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import select
from fastconv.cli.app import COMMANDS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf8")


def section(title, end):
    return README.split(f"\n{title}\n")[1].split(f"\n{end}\n")[0]


def test_every_example_of_use_runs(tmp_path, monkeypatch, capsys):
    """On random images of MNIST's shape, so that nothing is downloaded."""
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)

    def images(name, split):
        assert name == "mnist"
        count = {"train": 200, "test": 100}[split]
        return rng.random((count, 1, 28, 28), np.float32), rng.integers(0, 10, count)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fc.data, "load", images)
    examples = re.findall(r"```python\n(.*?)```", section("## Use", "### Command line"), re.DOTALL)
    assert len(examples) == 4
    names = {}
    with select.use("cpu"):
        for example in examples:
            exec(compile(example, "README.md", "exec"), names)
    assert names["scores"].shape == (1, 10)
    assert names["Residual"](1)(np.ones((2, 1, 4, 4), "float32")).shape == (2, 1, 4, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "accuracy.png"}
    assert "conv2d_pool_forward" in capsys.readouterr().out


def test_the_table_of_commands_names_them_all():
    named = set(re.findall(r"`fastconv (\w+)", section("### Command line", "## Backends")))
    assert named == set(COMMANDS)


def test_links_to_files_of_the_repository_lead_somewhere():
    root = Path(__file__).resolve().parents[1]
    named = set(re.findall(r"`((?:fastconv|kernels|bench|tests)/[\w/.]+)`", README))
    assert "fastconv/backends/base.py" in named
    assert not {name for name in named if not (root / name).exists()}
