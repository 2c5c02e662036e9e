"""Whole training runs of the benchmark suite: what is run, and what is made of it. No time is measured here."""

import json
from importlib import import_module

import numpy as np
import pytest
from data_files import idx

from fastconv.bench import child, networks, recipes, runs, work
from fastconv.bench.measure import Settings
from fastconv.bench.peers import CONTESTANTS, ENGINE, whole_run

TINY = recipes.Recipe(networks.LENET5_RELU, 2, 8, lr=0.002)


def digits(n, seed=0):
    """n images whose bright quarter tells the class, 0 to 3."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    x = rng.integers(0, 40, (n, 28, 28)).astype(np.uint8)
    for image, label in zip(x, labels, strict=True):
        image[14 * (label // 2) :, 14 * (label % 2) :][:14, :14] += 200
    return x, labels


def as_loaded(pair):
    x, labels = pair
    return (x[:, None] / np.float32(255)).astype(np.float32), labels


@pytest.fixture(params=whole_run.RUNNERS)
def train(request):
    for package in CONTESTANTS[request.param].needs:
        pytest.importorskip(package, reason=f"the runs of {request.param} need it")
    return import_module(f"fastconv.bench.peers.{whole_run.RUNNERS[request.param]}").train


class TestTraining:
    def test_every_contestant_learns_and_tells_each_epoch(self, train):
        told, values = [], networks.parameters(TINY.network, 1)
        train(TINY, values, 1, as_loaded(digits(160)), as_loaded(digits(600, 1)), told.append)
        assert len(told) == 2
        assert told[-1] > 0.9

    def test_no_test_images_no_accuracy(self, train):
        told = []
        train(TINY, networks.parameters(TINY.network, 1), 1, as_loaded(digits(20)), None, told.append)
        assert told == [None, None]

    def test_first_weights_are_not_changed(self, train):
        values = networks.parameters(TINY.network, 1)
        train(TINY, values, 1, as_loaded(digits(20)), None, lambda _: None)
        for value, first in zip(values, networks.parameters(TINY.network, 1), strict=True):
            np.testing.assert_array_equal(value, first)


class TestProcess:
    @pytest.fixture
    def told(self, monkeypatch, capsys):
        """Runs the process's main with a scripted training and gives the line it prints."""

        def run(name, accuracies):
            def scripted(recipe, values, seed, data, test, after_epoch):
                for accuracy in accuracies:
                    after_epoch(accuracy)

            monkeypatch.setattr(whole_run, "_load", lambda split, images=None: (np.zeros(3), np.zeros(3)))
            monkeypatch.setattr(whole_run, "import_module", lambda *_: type("Runner", (), {"train": scripted}))
            monkeypatch.setattr("sys.argv", ["whole_run", ENGINE, name, "0"])
            whole_run.main()
            return json.loads(capsys.readouterr().out)

        return run

    def test_it_ends_with_the_first_accuracy_that_reaches_the_target(self, told):
        assert told("99", [0.97, 0.99, 0.98]) == {"accuracy": 0.99}

    def test_a_run_that_falls_short_says_how_far_it_came(self, told):
        assert told("99", [0.97, 0.9899, 0.98]) == {"short": 0.9899}

    def test_epochs_are_timed(self, told):
        assert told("lenet5", [None])["seconds"] >= 0


class TestMeasure:
    @pytest.fixture
    def scripted(self, monkeypatch):
        """Processes that answer from a list for each contestant; gives the commands that were run."""
        asked, answers = [], {}

        def until_line(command, env):
            asked.append(command[3:])
            return answers[command[3]].pop(0)

        monkeypatch.setattr(child, "output", lambda command, env: "")
        monkeypatch.setattr(child, "until_line", until_line)
        monkeypatch.setattr(runs, "data_folder", lambda: ("", None))
        return asked, answers

    def row(self, answers, scripted, recipe="99"):
        (wanted,) = [w for w in work.select(["runs"]) if w.sizes["recipe"] == recipe]
        scripted[1].update(answers)
        return runs.measure(wanted, ["numpy", "torch"], Settings(rounds=7))

    def test_each_round_has_a_seed_and_the_contestants_change_turns(self, scripted):
        ours = [(t, '{"accuracy": 0.991}') for t in (3.0, 2.0, 4.0)]
        row = self.row({ENGINE: ours, "torch": [(t, '{"accuracy": 0.992}') for t in (9.0, 8.0, 7.0)]}, scripted)
        assert row.ratio("torch") == pytest.approx(8 / 3)
        assert (row.timings[ENGINE].minimum, row.timings[ENGINE].rounds, row.timings[ENGINE].note) == (2.0, 3, "99.10%")
        assert scripted[0] == [
            [name, "99", str(seed)] for seed in range(3) for name in (ENGINE, "torch")[:: -1 if seed == 1 else 1]
        ]

    def test_who_misses_the_target_declines(self, scripted):
        short = [(9.0, '{"accuracy": 0.992}'), (9.0, '{"short": 0.9894}')]
        row = self.row({ENGINE: [(3.0, '{"accuracy": 0.991}')] * 3, "torch": short}, scripted)
        assert row.declined == {"torch": "came to 98.94% only with seed 1"}
        assert ENGINE in row.timings
        assert "torch" not in row.timings

    def test_an_epoch_is_timed_inside_its_process(self, scripted):
        row = self.row({name: [(50.0, '{"seconds": 1.5}')] * 3 for name in (ENGINE, "torch")}, scripted, "lenet5")
        assert row.timings[ENGINE].median == 1.5

    def test_without_the_images_there_is_no_row_and_a_reason(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
        (first, *_) = work.select(["runs"])
        row = runs.measure(first, [], Settings())
        assert row.timings == {}
        assert "no MNIST here" in row.declined[ENGINE]
        assert str(tmp_path) in row.declined[ENGINE]

    def test_files_that_are_there(self, monkeypatch, tmp_path):
        for prefix, n in (("train", 5), ("t10k", 3)):
            x, labels = digits(n)
            (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx(x))
            (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
        assert runs.data_folder() == (str(tmp_path), None)
