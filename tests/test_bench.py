"""How the benchmark suite measures: contestants, their processes, rounds. No time is measured here."""

import os

import numpy as np
import pytest
from canned_results import a_work

from fastconv.bench import measure, suite, work
from fastconv.bench.measure import Arena, Settings
from fastconv.bench.peers import CONTESTANTS, ENGINE, Entry, process, worker
from fastconv.bench.peers.contestant import Contestant, Declined, Variant
from fastconv.geometry import Conv2dGeometry

TINY = Conv2dGeometry.from_shapes((2, 3, 6, 6), (4, 3, 3, 3), padding=1)


def tiny(direction):
    return work.Work(
        group=f"conv2d_{direction}", operation=f"conv2d_{direction}", network="", layer="tiny", kind="3x3",
        shape=TINY.name, sizes=work.geometry_sizes(TINY), flops=TINY.flops, bytes=TINY.bytes(), reduction=144,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["numpy", "torch", "jax", "onnxruntime"])
def peer(request):
    entry = CONTESTANTS[request.param]
    for package in entry.needs:
        pytest.importorskip(package, reason=f"the peer {entry.title} needs it: pip install {entry.install}")
    return worker.load(request.param)


@pytest.fixture(scope="module")
def engine():
    return worker.load(ENGINE)


class TestContestants:
    """Each contestant gives the engine's results on small data; in this process, for speed."""

    NORMS = tuple(
        {"operation": f"batch_norm_{d}", "seed": 2, "sizes": {"shape": shape}}
        for d in ("forward", "backward") for shape in ([2, 3, 4, 4], [9, 5])
    )  # fmt: skip
    SMALL = (
        *(tiny(direction).request() for direction in work.PASSES),
        *({"operation": f"{p}_pool2d_{d}", "seed": 1,
           "sizes": {"N": 2, "C": 3, "H": 6, "W": 6, "KH": 2, "KW": 2, "SH": 2, "SW": 2}}
          for p in ("max", "avg") for d in ("forward", "backward")),
        *({"operation": f"activation_{d}", "seed": 2, "sizes": {"kind": kind, "shape": [2, 3, 4, 4]}}
          for kind in ("relu", "tanh", "sigmoid") for d in ("forward", "backward")),
        *NORMS,
        *({"operation": f"local_response_norm_{d}", "seed": 2, "sizes": {"shape": [2, 7, 4, 3], "size": 5}}
          for d in ("forward", "backward")),
        {"operation": "softmax_cross_entropy", "seed": 3, "sizes": {"shape": [5, 7]}},
        {"operation": "adam_step", "seed": 4, "sizes": {"shapes": [[4, 3, 3, 3], [4], [5, 6]]}},
        {"operation": "matmul", "seed": 5, "sizes": {"M": 3, "N": 4, "K": 5, "trans_a": True, "trans_b": False}},
        {"operation": "matmul", "seed": 6, "sizes": {"M": 3, "N": 4, "K": 5, "trans_a": False, "trans_b": True}},
        {"operation": "training_step", "seed": 7, "sizes": {"network": "lenet5", "N": 3}},
        {"operation": "inference", "seed": 8, "sizes": {"network": "lenet5", "N": 3}},
    )  # fmt: skip

    @pytest.mark.parametrize("request_", SMALL, ids=lambda r: r["operation"])
    def test_same_results(self, request_, peer, engine):
        expected = [v.result() for v in engine.prepare(request_).values()]
        try:
            variants = peer.prepare(request_)
        except Declined as reason:
            pytest.skip(f"this peer {reason}")
        for variant in variants.values():
            for results in expected:
                for ours, theirs in zip(results, variant.result(), strict=True):
                    np.testing.assert_allclose(theirs, ours, rtol=2e-4, atol=2e-5)

    @pytest.mark.parametrize("request_", NORMS, ids=lambda r: r["operation"])
    def test_batch_normalisation_as_pytorch_does_it_on_a_gpu(self, request_, engine):
        """cpu:0 is the CPU by another name, for which PyTorch's own function runs, as on a GPU."""
        pytest.importorskip("torch", reason="the peer PyTorch needs it: pip install torch")
        from fastconv.bench.peers.pytorch import PyTorch
        from fastconv.bench.peers.pytorch_device import place

        (expected,) = [v.result() for v in engine.prepare(request_).values()]
        for variant in PyTorch(place("cpu:0", "float32")).prepare(request_).values():
            for ours, theirs in zip(expected, variant.result(), strict=True):
                np.testing.assert_allclose(theirs, ours, rtol=2e-4, atol=2e-5)

    def test_each_operation_of_the_suite_is_known_to_the_engine(self, engine):
        rows = {w.operation for w in work.select(quick=False) if w.group not in suite.OWN_PROCESSES}
        assert all(callable(getattr(engine, operation, None)) for operation in rows)

    def test_a_layer_that_takes_too_long_is_declined(self):
        (big,) = [w for w in work.select(["conv2d_forward"]) if w.title == "vgg16:conv3_2"]
        with pytest.raises(Declined, match="too slow"):
            worker.load("numpy").prepare(big.request())


class Counting(Contestant):
    """Says what it was asked for."""

    def __init__(self):
        self.calls = 0

    def matmul(self, sizes, arrays):
        def run():
            self.calls += 1

        return {"": Variant(run, lambda: [np.arange(3.0), np.ones((2, 2))], "by hand")}


PRODUCT = {"operation": "matmul", "seed": 0, "sizes": {"M": 2, "N": 2, "K": 2, "trans_a": False, "trans_b": False}}


class TestWorker:
    def test_answers(self, tmp_path):
        contestant = Counting()
        served = worker.Worker(contestant)
        answer = served.answer({"do": "prepare", "request": PRODUCT, "seconds": 0.0, "folder": str(tmp_path)})
        (variant,) = answer["variants"].values()
        assert variant["note"] == "by hand"
        assert np.load(variant["file"]).tolist() == [0, 1, 2, 1, 1, 1, 1]
        assert variant["calls"] == 1
        before = contestant.calls
        assert served.answer({"do": "time", "variant": ""})["seconds"] >= 0
        assert contestant.calls == before + 2  # one of them untimed
        assert served.answer({"do": "release"}) == {}

    def test_what_it_does_not_know_is_declined(self, tmp_path):
        request = {**PRODUCT, "operation": "adam_step", "sizes": {"shapes": []}}
        answer = worker.Worker(Counting()).answer(
            {"do": "prepare", "request": request, "seconds": 0.0, "folder": str(tmp_path)}
        )
        assert answer == {"declined": "has no such operation"}

    def test_a_process_of_its_own(self, tmp_path):
        with process.Process("numpy", threads=1, keep_memory=True) as numpy:
            assert numpy.versions == {"numpy": np.__version__}
            assert os.getpgid(numpy._process.pid) != os.getpgid(0)  # Ctrl-C in a terminal does not reach it
            answer = numpy.prepare(tiny("forward").request(), 0.0, str(tmp_path))
            (variant,) = answer["variants"].values()
            assert np.load(variant["file"]).shape == (2 * 4 * 6 * 6,)
            assert numpy.time("") > 0
            numpy.release()
            with pytest.raises(process.ContestantError, match="KeyError"):
                numpy.time("no such variant")
        assert not numpy.alive


class Scripted:
    """A process that gives set results and times."""

    def __init__(self, name, values, seconds, folder):
        self.versions, self.alive, self.asked = {}, True, []
        self.seconds, self.files = seconds, {}
        for variant, value in values.items():
            path = folder / f"{name}-{variant}.npy"
            np.save(path, value)
            self.files[variant] = {"file": str(path), "calls": 1, "note": ""}

    def prepare(self, request, seconds, folder):
        return {"variants": self.files}

    def time(self, variant):
        self.asked.append(variant)
        return self.seconds[variant]

    def release(self):
        pass

    def close(self):
        pass


class TestMeasure:
    def arena(self, monkeypatch, contestants):
        arena = Arena([name for name in contestants if name != ENGINE], Settings(rounds=7))
        monkeypatch.setattr(arena, "_process", lambda name, threads, keep_memory: contestants[name])
        return arena

    def test_the_better_variant_is_the_row_and_slow_ones_are_dropped(self, monkeypatch, tmp_path):
        values = np.ones(4, np.float32)
        ours = Scripted("ours", {"": values}, {"": 0.5}, tmp_path)
        both = {"NCHW": values, "channels_last": values}
        peer = Scripted("peer", both, {"NCHW": 3.0, "channels_last": 1.0}, tmp_path)
        with self.arena(monkeypatch, {ENGINE: ours, "numpy": peer}) as arena:
            row = arena.measure(a_work())
        assert row.ratio("numpy") == 2
        assert (row.timings["numpy"].variant, row.timings["numpy"].rounds) == ("channels_last", 7)
        assert row.timings["numpy"].variants == {"NCHW": 3.0, "channels_last": 1.0}
        assert (peer.asked.count("NCHW"), peer.asked.count("channels_last"), ours.asked.count("")) == (2, 7, 7)

    @pytest.mark.parametrize("wrong", [np.array([1, 1, 1, 1.01]), np.array([1, 1, 1, np.nan]), np.ones(3)])
    def test_a_wrong_result_is_no_row(self, monkeypatch, tmp_path, wrong):
        ours = Scripted("ours", {"": np.ones(4)}, {"": 1.0}, tmp_path)
        peer = Scripted("peer", {"": wrong}, {"": 1.0}, tmp_path)
        arena = self.arena(monkeypatch, {ENGINE: ours, "numpy": peer})
        with arena, pytest.raises(measure.WrongResult, match="conv2d_forward/conv2d_forward/vgg16:conv1/mb1: numpy"):
            arena.measure(a_work())
        assert peer.asked == []

    def test_rounding_is_no_error(self, monkeypatch, tmp_path):
        ours = Scripted("ours", {"": np.ones(4)}, {"": 1.0}, tmp_path)
        peer = Scripted("peer", {"": np.ones(4) + 3e-6}, {"": 1.0}, tmp_path)
        with self.arena(monkeypatch, {ENGINE: ours, "numpy": peer}) as arena:
            assert arena.measure(a_work()).ratio("numpy") == 1

    def test_the_tolerance_grows_with_the_root_of_the_longest_sum(self):
        assert measure.tolerance(6400) == pytest.approx(10 * measure.tolerance(64))

    def test_peers_that_are_not_installed_are_named(self, monkeypatch):
        monkeypatch.setitem(CONTESTANTS, "jax", Entry("JAX", ("numpy", "no_such_package"), "jax", "jaxlax"))
        with Arena(["jax", "numpy"], Settings()) as arena:
            assert arena.peers == ["numpy"]
            assert arena.missing == {"jax": "no_such_package not installed: pip install jax"}

    def test_peers_take_part_where_they_run(self):
        with Arena(["numpy", "torch-graph"], Settings()) as arena:
            assert arena.missing["torch-graph"] == "runs on the gpu only"
        with Arena(["numpy"], Settings(device="gpu")) as arena:
            assert arena.missing == {"numpy": "runs on the cpu only"}

    def test_rounded_operands_are_no_error(self):
        assert measure.tolerance(6400) < measure.tolerance(6400, "tf32") < measure.tolerance(6400, "bfloat16")
        assert measure.tolerance(64, "tf32") == measure.tolerance(6400, "tf32")
