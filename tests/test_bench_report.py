"""The benchmark suite's reports and command line, from given numbers."""

import io
import json
import math

import pytest
from canned_results import LIMITS, a_work, gpu_results, some_results, timing

from fastconv.backends import select
from fastconv.bench import comparison, machine, readme, report, suite, work
from fastconv.bench.measure import Row, Timing
from fastconv.bench.peak import Limits
from fastconv.bench.peers import ENGINE, PEERS
from fastconv.bench.results import Results, class_means, geometric_mean


class TestLimits:
    def test_bandwidth_between_the_measured_sizes(self):
        assert LIMITS.bandwidth_of(2**15) == 400
        assert LIMITS.bandwidth_of(2**18) == pytest.approx(300)
        assert LIMITS.bandwidth_of(10) == 400
        assert LIMITS.bandwidth_of(2**40) == LIMITS.bandwidth == 50

    def test_the_roof_is_the_slower_of_the_two(self):
        assert LIMITS.least_seconds(200 * 10**9, 1000) == pytest.approx(1)
        assert LIMITS.least_seconds(1, 2**28) == pytest.approx(2**28 / 50e9)
        assert LIMITS.share(200 * 10**9, 1000, 4.0) == pytest.approx(0.25)

    def test_the_better_of_two_measurements(self):
        other = Limits({1: 110.0, 2: 150.0}, {2**15: 300.0, 2**21: 250.0, 2**28: 50.0}, 2)
        better = LIMITS.better(other)
        assert better.gflops == {1: 110.0, 2: 200.0}
        assert better.copy == {2**15: 400.0, 2**21: 250.0, 2**28: 50.0}

    def test_json(self):
        assert Limits.from_json(json.loads(json.dumps(LIMITS.as_json()))) == LIMITS


class TestResults:
    def test_geometric_mean(self):
        assert geometric_mean([2, 0.5]) == pytest.approx(1)
        assert geometric_mean([1, 10, 100]) == pytest.approx(10)
        assert math.isnan(geometric_mean([]))

    def test_ratio_is_the_peers_time_over_ours(self):
        assert some_results().rows[0].ratio("torch") == pytest.approx(2)
        assert some_results().rows[0].ratio("numpy") is None

    def test_means_by_class_with_the_worst_row(self):
        first, second, third = class_means(some_results().rows, "torch")
        assert (first.group, first.kind, first.rows) == ("conv2d_forward", "3x3", 2)
        assert first.mean == pytest.approx(1)
        assert (first.worst, first.worst_row) == (pytest.approx(0.5), "vgg16:conv2")
        assert (second.kind, second.mean) == ("1x1", pytest.approx(3))
        assert (third.group, third.mean) == ("training_step", pytest.approx(6))

    def test_a_file_holds_everything(self, tmp_path):
        results = some_results()
        results.save(tmp_path / "new" / "r.json")
        assert Results.load(tmp_path / "new" / "r.json") == results

    def test_other_files_are_refused(self, tmp_path):
        path = tmp_path / "r.json"
        path.write_text('{"format": 0}')
        with pytest.raises(ValueError, match="no results of this version"):
            Results.load(path)

    def test_incomplete_files_are_refused(self, tmp_path):
        path = tmp_path / "r.json"
        some_results().save(path)
        path.write_text(path.read_text().replace('"machine"', '"machines"'))
        with pytest.raises(ValueError, match="not complete: 'machine'"):
            Results.load(path)


class TestAdding:
    def test_rows_of_an_earlier_run_come_in_the_order_of_the_report(self):
        now, earlier = some_results(), some_results()
        now.rows, earlier.rows = [now.rows[3]], [*earlier.rows[:2], Row(now.rows[3].work, {ENGINE: timing(9.0)})]
        earlier.errors, earlier.others, now.others = ["x differs"], 0.2, 0.1
        now.add(earlier)
        assert [row.work.layer for row in now.rows] == ["conv1", "conv2", "LeNet-5"]
        assert now.rows[2].timings[ENGINE].median == 0.001
        assert (now.errors, now.others) == (["x differs"], 0.2)

    def test_the_day_may_differ_the_machine_may_not(self):
        now, earlier = some_results(), some_results()
        earlier.machine = {**earlier.machine, "date": "2025-12-31"}
        now.add(earlier)
        assert len(now.rows) == 4
        earlier.machine = {**earlier.machine, "cores": 64}
        with pytest.raises(ValueError, match=r"machine .*64"):
            now.add(earlier)


class TestReport:
    def shown(self, results):
        from rich.console import Console

        console = Console(width=170, record=True, file=io.StringIO())
        report.show(results, console)
        return console.export_text()

    def test_it_names_rows_ratios_means_machine_and_what_is_missing(self):
        text = self.shown(some_results())
        for part in ("Test CPU 1", "200 GFLOP/s with 2 threads", "vgg16:conv1", "tiles", "20.0 ms", "2.00", "0.50"):
            assert part in text
        assert "without JAX jit: jax is not installed" in text

    def test_figures_beside_the_limit(self):
        results = some_results()
        assert report.rates(results, results.rows[0]) == ("100", "0.10", "50%")

    def test_a_busy_machine_is_told(self):
        assert "spoilt" not in self.shown(some_results())
        results = some_results()
        results.others = 0.25
        assert "other programs took 25% of the processors" in self.shown(results)

    def test_rounds_that_differ_much_are_marked(self):
        results = some_results()
        assert "~" not in self.shown(results)
        results.rows[0].timings["torch"] = Timing(0.020, 0.010, 7)
        assert "~2.00" in self.shown(results)

    def test_errors_are_shown(self):
        results = some_results()
        results.errors.append("conv2d_forward/x differs")
        assert "failed: conv2d_forward/x differs" in self.shown(results)

    @pytest.mark.parametrize(
        ("seconds", "text"), [(1.5, "1.50 s"), (0.0123, "12.3 ms"), (0.00045678, "457 us"), (2e-8, "20.0 ns")]
    )
    def test_durations(self, seconds, text):
        assert report.duration(seconds) == text

    def test_picture(self, tmp_path):
        pytest.importorskip("matplotlib")
        from fastconv.bench import figure

        figure.draw(some_results(), tmp_path / "r.png")
        assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")

    def test_a_graphics_processor(self, tmp_path):
        results = gpu_results()
        lines = report.machine_lines(results)
        assert lines[0] == "Test GPU 2, 100 multiprocessors, sm_90, CUDA 13.0 (driver 13.1)"
        assert "60000 GFLOP/s in float32" in lines[1]
        assert "precision tf32" in lines[2]
        assert machine.file_name(results.machine, "tf32") == "test-gpu-2-tf32.json"


class TestComparison:
    def test_gains_are_measured_against_a_peer_of_the_same_run(self):
        old, new = some_results(), some_results()
        # Twice as slow as before, but so is the peer: the machine was busy.
        new.rows[0] = Row(new.rows[0].work, {ENGINE: timing(0.020), "torch": timing(0.040)})
        new.rows[2] = Row(new.rows[2].work, {ENGINE: timing(0.002), "torch": timing(0.012)})
        found = {c.key: c.gain for c in comparison.changes(old, new)}
        assert found[new.rows[0].work.key] == pytest.approx(1)
        assert found[new.rows[2].work.key] == pytest.approx(2)

    def test_without_a_peer_the_machines_limit_counts(self):
        old, new = some_results(), some_results()
        old.rows, new.rows = ([Row(a_work(), {ENGINE: timing(t)})] for t in (0.010, 0.005))
        (change,) = comparison.changes(old, new)
        assert (change.against, change.gain) == ("limit", pytest.approx(2))


class TestReadme:
    def test_only_what_stands_between_the_markers_changes(self, tmp_path):
        path = tmp_path / "README.md"
        path.write_text(f"before\n{readme.begin()}\nold \\1 table\n{readme.END}\nafter\n")
        assert "was written" in readme.rewrite(path, some_results())
        text = path.read_text()
        assert text.startswith(f"before\n{readme.begin()}\n")
        assert text.endswith(f"{readme.END}\nafter\n")
        assert "old" not in text
        assert "| Convolution, forward (with bias): 3x3 | 2 | 50% | 1.00 (0.50) |" in text
        assert "| Training step: LeNet-5, batch 100 | 1.00 ms | 6.00 (6.00 ms) |" in text
        assert readme.rewrite(path, some_results())
        assert path.read_text() == text

    def test_each_device_and_precision_has_a_table_of_its_own(self, tmp_path):
        path, results = tmp_path / "README.md", gpu_results()
        others = "".join(f"{begin}as before{readme.END}" for begin in (readme.begin("cpu"), readme.begin("gpu")))
        path.write_text(f"{others}{readme.begin('gpu', 'tf32')}old{readme.END}")
        readme.rewrite(path, results)
        text = path.read_text()
        assert text.startswith(others)
        assert "old" not in text
        assert "| Convolution, forward (with bias): 3x3 | 1 | 50% | 2.00 (2.00) |" in text

    def test_a_file_without_markers_is_left_alone(self, tmp_path):
        path = tmp_path / "README.md"
        path.write_text("nothing here\n")
        assert "no markers" in readme.rewrite(path, some_results())
        assert path.read_text() == "nothing here\n"

    def test_no_file_no_table(self, tmp_path):
        assert "does not exist" in readme.rewrite(tmp_path / "README.md", some_results())
        assert not (tmp_path / "README.md").exists()


class TestCommand:
    @pytest.fixture
    def invoke(self):
        import typer
        from typer.testing import CliRunner

        from fastconv.bench.command import bench

        app = typer.Typer()
        app.command()(bench)
        return lambda *arguments: CliRunner().invoke(app, arguments)

    @pytest.fixture
    def canned(self, monkeypatch):
        asked = {}

        def run(works, peers, settings, on_row):
            asked.update(works=works, peers=peers, settings=settings)
            return some_results()

        monkeypatch.setattr(suite, "run", run)
        return asked

    def test_selection(self, invoke, canned):
        done = invoke("--groups", "conv,pool", "--networks", "lenet5", "--peers", "numpy", "--threads", "1")
        assert done.exit_code == 0, done.output
        assert {w.network for w in canned["works"]} == {"lenet5"}
        assert {w.group for w in canned["works"]} == {"pooling", *work.FAMILIES["conv"]}
        assert canned["peers"] == ["numpy"]
        assert (canned["settings"].threads, canned["settings"].rounds) == (1, suite.QUICK.rounds)

    def test_everything_and_the_files(self, invoke, canned, tmp_path):
        (tmp_path / "README.md").write_text(f"{readme.begin()}{readme.END}")
        done = invoke("--full", "--json", str(tmp_path / "new"), "--readme", str(tmp_path / "README.md"))
        assert done.exit_code == 0, done.output
        assert len(canned["works"]) == len(work.select(quick=False))
        saved = Results.load(tmp_path / "new" / "test-cpu-1-2-cores-256-bit.json")
        assert len(saved.rows) == 4
        assert "LeNet-5" in (tmp_path / "README.md").read_text()

    def test_whole_runs_are_left_out_of_the_short_selection_unless_asked_for(self, invoke, canned):
        for options, there in (((), False), (("--full",), True), (("--groups", "runs"), True)):
            done = invoke("--peers", "none", *options)
            assert done.exit_code == 0, done.output
            assert any(w.group == "runs" for w in canned["works"]) == there

    def test_earlier_results_are_taken_in(self, invoke, canned, tmp_path):
        earlier = some_results()
        earlier.rows = [Row(a_work(layer="conv9"), {ENGINE: timing(0.010)})]
        earlier.save(tmp_path / "earlier.json")
        done = invoke("--peers", "none", "--add", str(tmp_path / "earlier.json"), "--json", str(tmp_path / "all.json"))
        assert done.exit_code == 0, done.output
        assert len(Results.load(tmp_path / "all.json").rows) == 5

    def test_results_of_another_machine_are_refused_and_nothing_is_lost(self, invoke, canned, tmp_path):
        gpu_results().save(tmp_path / "earlier.json")
        done = invoke("--peers", "none", "--add", str(tmp_path / "earlier.json"), "--json", str(tmp_path / "all.json"))
        assert done.exit_code == 1
        assert "cannot be added" in done.output
        saved = Results.load(tmp_path / "all.json")
        assert len(saved.rows) == 4
        assert "cannot be added" in saved.errors[0]

    @pytest.mark.parametrize(
        ("option", "known"), [("--groups", "matmul"), ("--networks", "vgg16"), ("--peers", PEERS[0])]
    )
    def test_unknown_names(self, invoke, option, known):
        done = invoke(option, "nonsense")
        assert done.exit_code == 2
        assert "nonsense" in done.output
        assert known in done.output

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--device", "tpu"), "cpu or gpu"),
            (("--precision", "tf32"), "float32 on the cpu"),
            (("--device", "gpu", "--precision", "float8"), "bfloat16"),
            (("--device", "gpu"), "no GPU here"),
        ],
    )
    def test_devices_and_precisions_that_cannot_be(self, invoke, monkeypatch, options, said):
        monkeypatch.setattr(select, "available", lambda: {"cpu": "ready", "gpu": "no GPU here"})
        done = invoke("--peers", "none", *options)
        assert done.exit_code == 2
        assert said in done.output

    def test_the_gpu_has_no_rows_of_whole_processes(self, invoke, canned, monkeypatch):
        monkeypatch.setattr(select, "available", lambda: {"cpu": "ready", "gpu": "ready"})
        done = invoke("--device", "gpu", "--precision", "tf32", "--full", "--peers", "none")
        assert done.exit_code == 0, done.output
        assert (canned["settings"].device, canned["settings"].precision) == ("gpu", "tf32")
        assert not {w.group for w in canned["works"]} & set(suite.CPU_ONLY)

    def test_a_failed_row_is_a_failed_run(self, invoke, monkeypatch):
        results = some_results()
        results.errors.append("something differs")
        monkeypatch.setattr(suite, "run", lambda *_: results)
        done = invoke("--peers", "none")
        assert done.exit_code == 1
        assert "failed: something differs" in done.output

    def test_ctrl_c_shows_what_there_is_and_ends_as_in_every_command(self, invoke, monkeypatch):
        results = some_results()
        results.errors.append(suite.INTERRUPTED)
        monkeypatch.setattr(suite, "run", lambda *_: results)
        done = invoke("--peers", "none")
        assert done.exit_code == 130
        assert "vgg16:conv2" in done.output
        assert "interrupted" in done.output

    def test_earlier_results_that_were_interrupted_do_not_interrupt(self, invoke, canned, tmp_path):
        earlier = some_results()
        earlier.errors.append(suite.INTERRUPTED)
        earlier.save(tmp_path / "earlier.json")
        assert invoke("--peers", "none", "--add", str(tmp_path / "earlier.json")).exit_code == 1


@pytest.mark.skipif(not machine.Others.STAT.exists(), reason="this system has no /proc/stat")
def test_the_share_of_others_leaves_out_our_own_work():
    watch = machine.Others()
    assert 0 <= watch.share() <= 1
    watch._start = tuple(t - s for t, s in zip(watch._read(), (10.0, 4.0, 3.0), strict=True))
    assert watch.share() == pytest.approx(0.1, abs=0.05)
