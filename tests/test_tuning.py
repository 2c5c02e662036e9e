"""The tuner: what it measures and remembers, and that a file of winners cannot do more than choose an algorithm."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import fastconv as fc
from fastconv.backends import select
from fastconv.cli.app import app
from fastconv.geometry import Conv2dGeometry

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready", allow_module_level=True)

from fastconv.backends.cpu import conv2d, trials, tuning
from fastconv.kernels.cpu import jit

G = Conv2dGeometry.from_shapes((2, 3, 8, 8), (4, 3, 3, 3), padding=1)
DEFAULT = "tiles"


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    """The file of winners in a folder of its own, read anew before and after."""
    monkeypatch.setattr(jit, "cache_folders", lambda: (tmp_path,))
    monkeypatch.delenv("FASTCONV_TUNING", raising=False)
    tuning._reread()
    yield tuning.file()
    monkeypatch.undo()
    tuning._reread()


def first(direction="forward", g=G):
    return select.get("cpu").explain(g, direction)[0]


def chosen(direction="forward", g=G):
    return next(c for c in select.get("cpu").explain(g, direction) if c.declined is None)


def write(path, content):
    path.write_bytes(content)
    tuning._reread()


def test_nothing_measured_is_the_built_in_choice(own_file):
    assert not own_file.exists()
    assert tuning.fastest(G, "forward") is None
    assert chosen().name == DEFAULT


def test_a_remembered_winner_runs_and_says_why(own_file):
    tuning.remember({tuning.key(G, "forward", "float32"): "direct"})
    assert first().name == chosen().name == "direct"
    assert first().reason == "measured fastest here by fastconv tune"
    run = conv2d._choose(G, "forward", None, np.dtype("float32"))
    assert run is conv2d._direct_forward
    assert conv2d._choose(G, "forward", "tiles", np.dtype("float32")) is not run
    assert [c.name for c in select.get("cpu").explain(G)].count("direct") == 1


def test_a_winner_holds_for_its_problem_direction_and_type_only(own_file):
    tuning.remember({tuning.key(G, "forward", "float32"): "direct"})
    other = Conv2dGeometry.from_shapes((3, 3, 8, 8), (4, 3, 3, 3), padding=1)
    assert chosen(g=other).name == DEFAULT
    assert chosen("backward_weight").name != "direct"
    assert tuning.fastest(G, "forward", "float64") is None


def test_the_number_of_threads_in_use_does_not_change_the_choice(own_file):
    tuning.remember({tuning.key(G, "forward", "float32"): "direct"})
    before = fc.get_threads()
    fc.set_threads(1)
    try:
        tuning._reread()
        assert chosen().name == "direct"
    finally:
        fc.set_threads(before)


def test_later_findings_replace_earlier_ones(own_file):
    a, b = (tuning.key(G, direction, "float32") for direction in ("forward", "backward_data"))
    tuning.remember({a: "direct", b: "direct"})
    tuning.remember({a: None})
    assert json.loads(own_file.read_text()) == {"winners": {b: "direct"}}
    assert chosen().name == DEFAULT
    assert tuning.forget() == 1
    assert not own_file.exists()
    assert tuning.fastest(G, "backward_data") is None


@pytest.mark.parametrize("word", ["off", "OFF", "0"])
def test_the_environment_switches_it_off(own_file, monkeypatch, word):
    tuning.remember({tuning.key(G, "forward", "float32"): "direct"})
    monkeypatch.setenv("FASTCONV_TUNING", word)
    tuning._reread()
    assert chosen().name == DEFAULT


def entry(value):
    return json.dumps({"winners": {tuning.key(G, "forward", "float32"): value}}).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"", lambda: b"\xff\xfe\x00", lambda: b"{", lambda: b"[" * 200_000, lambda: b"[]", lambda: b"null",
        lambda: b'{"winners": []}', lambda: entry(None), lambda: entry(["direct"]), lambda: entry({"name": "direct"}),
        lambda: entry("no_such_algorithm"), lambda: entry("__class__"), lambda: entry("im2col"),
        lambda: entry("direct") + b" " * tuning.MOST_BYTES, lambda: entry("direct")[:-3],
        lambda: b"1" * 10_000,
    ],
)  # fmt: skip
def test_a_damaged_or_hostile_file_changes_nothing(own_file, make):
    write(own_file, make())
    assert chosen().name == DEFAULT
    x, w = np.ones(G.x_shape, "float32"), np.ones(G.w_shape, "float32")
    assert select.get("cpu").conv2d_forward(x, w, None, G).max() == 27


def test_a_winner_that_declines_is_passed_over(own_file):
    grouped = Conv2dGeometry.from_shapes((2, 4, 8, 8), (4, 2, 3, 3), groups=2)
    tuning.remember({tuning.key(grouped, "backward_data", "float32"): "narrow"})
    assert first("backward_data", grouped).name == "narrow"
    assert chosen("backward_data", grouped).name == "groups"


def test_a_folder_in_place_of_the_file(own_file):
    own_file.mkdir()
    assert chosen().name == DEFAULT


def test_the_name_of_the_file_follows_the_kernels_and_the_plans(own_file, tmp_path, monkeypatch):
    before = own_file.name
    copy = tmp_path / "plans"
    copy.mkdir()
    (copy / "tuning.py").write_text("# another version")
    monkeypatch.setattr(tuning, "__file__", str(copy / "tuning.py"))
    tuning._file_name.cache_clear()
    try:
        assert tuning.file().name != before
    finally:
        tuning._file_name.cache_clear()


class TestTrial:
    def test_every_algorithm_is_timed_and_the_slow_ones_once(self, monkeypatch):
        seconds = {"tiles": 2.0, "direct": 1.0, "other": 9.0}
        clock, calls = [0.0], []

        def run(name):
            calls.append(name)
            clock[0] += seconds[name]

        monkeypatch.setattr(trials, "perf_counter", lambda: clock[0])
        monkeypatch.setattr(trials, "_calls", lambda *_: {"forward": run})
        t = trials.trial(None, G, "forward", ["tiles", "direct", "other"])
        assert t.seconds == seconds
        assert (t.default, t.fastest, t.winner, t.gain) == ("tiles", "direct", "direct", 2.0)
        assert calls.count("other") == 2
        assert calls[-4:] == ["tiles", "direct"] * 2, "in turn"
        assert calls.count("tiles") == 2 + trials.ROUNDS

    @pytest.mark.parametrize(("default", "winner"), [(1.02, None), (1.04, "direct"), (0.9, None)])
    def test_what_gains_three_percent_or_less_is_not_remembered(self, default, winner):
        t = trials.Trial(G, "forward", "float32", "tiles", {"tiles": default, "direct": 1.0})
        assert t.winner == winner


def run(*arguments, code=0):
    with select.use("cpu"):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


SMALL = (
    "tune", "simple_convnet", "--batch-size", 2, "--input", "1,8,8",
    "--option", 'conv_param={"filter_num": 3, "filter_size": 3}',
)  # fmt: skip


class TestCommand:
    def test_measures_prints_and_remembers(self, own_file, monkeypatch):
        monkeypatch.setattr(trials, "WORTH", 0.0)
        text = run(*SMALL)
        assert all(word in text for word in ("forward", "backward_data", "backward_weight", "mb2_ic1ih8_oc3_kh3"))
        assert "3 of 3 choices improved" in text
        winners = json.loads(own_file.read_text())["winners"]
        assert len(winners) == 3
        assert all(key.startswith("mb2_ic1ih8_oc3_kh3 ") for key in winners)
        assert f"forgot {len(winners)}" in run("tune", "--forget")
        assert not own_file.exists()

    def test_layers_of_the_benchmarks(self, monkeypatch):
        seen = []
        monkeypatch.setattr(trials, "trial", lambda be, g, direction, names, rounds: seen.append((g, direction)) or
                            trials.Trial(g, direction, "float32", names[0], dict.fromkeys(names, 1.0)))  # fmt: skip
        assert "0 of " in run("tune", "--networks", "lenet5,simple_convnet", "--batch-size", 3)
        assert {g.N for g, _ in seen} == {3}
        assert {direction for _, direction in seen} == {"forward", "backward_data", "backward_weight"}

    def test_an_unknown_network(self):
        assert "'alexnett' is not one of" in run("tune", "--networks", "alexnett", code=1)


def test_the_next_process_honours_the_file(own_file, tmp_path):
    """Through the environment only, as a user's process would."""
    code = (
        "import sys, fastconv as fc; from fastconv.backends.cpu import tuning; from fastconv.geometry import *\n"
        "g = Conv2dGeometry.from_shapes((2, 3, 8, 8), (4, 3, 3, 3), padding=1)\n"
        "if sys.argv[1:]: tuning.remember({tuning.key(g, 'forward', 'float32'): 'direct'})\n"
        "else: print(fc.use('cpu').explain(g)[0].name)"
    )

    def python(*arguments, **environment):
        env = {**os.environ, "FASTCONV_CACHE_DIR": str(tmp_path / "own"), **environment}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], env=env, check=True, capture_output=True, text=True, timeout=120
        ).stdout.strip()

    python("remember")
    assert python() == "direct"
    assert python(FASTCONV_TUNING="off") == "im2col"
    assert python(NUMBA_NUM_THREADS="1" if (os.cpu_count() or 1) > 1 else "2") == "im2col"
