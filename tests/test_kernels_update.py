"""Optimizer steps: many tensors in one line, groups that are remembered, and the parallel loop under all of it."""

import gc
from itertools import chain

import numba
import numpy as np
import pytest

from fastconv.backends import select

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01, "decoupled": False, "step": 2}


@pytest.fixture
def cpu():
    return select.get("cpu")


def group(cpu, rng, shapes):
    """Parameters, gradients and Adam's two states."""
    return [[cpu.asarray(rng.random(shape, dtype="float32")) for shape in shapes] for _ in range(4)]


def copies(cpu, arrays):
    return [[cpu.asarray(a.copy(order="K")) for a in row] for row in arrays]


class TestGroups:
    SHAPES = ((1,), (0,), (6, 1, 5, 5), (6,), (300, 100), (300,), (1,), (17, 33), (2, 3, 4, 5))

    def test_a_group_steps_like_its_tensors_one_by_one(self, cpu, rng):
        together = group(cpu, rng, self.SHAPES)
        apart = copies(cpu, together)
        cpu.adam_step(*together, **ADAM)
        for row in zip(*apart, strict=True):
            cpu.adam_step(*([a] for a in row), **ADAM)
        for a, b in zip(chain(*together), chain(*apart), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_new_gradients_and_states_of_remembered_parameters_are_used(self, cpu, rng):
        arrays = group(cpu, rng, [(40, 3), (3,)])
        params = arrays[0]
        for _ in range(3):
            expected = copies(cpu, arrays)
            cpu.adam_step(*expected, **ADAM)
            cpu.adam_step(*arrays, **ADAM)
            for a, b in zip(chain(*arrays), chain(*expected), strict=True):
                np.testing.assert_array_equal(a, b)
            arrays = [params, *group(cpu, rng, [(40, 3), (3,)])[1:]]

    def test_a_group_is_forgotten_with_its_parameters(self, cpu, rng):
        from fastconv.backends.cpu import update

        gc.collect()
        before = len(update._groups)
        arrays = group(cpu, rng, [(5,), (7,)])
        cpu.adam_step(*arrays, **ADAM)
        assert len(update._groups) == before + 1
        del arrays
        gc.collect()
        assert len(update._groups) == before


class TestParallelFor:
    @pytest.mark.parametrize("chunks", [0, 1, 2, 3, 1000])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_every_chunk_runs_once(self, chunks, threads):
        from fastconv.kernels.cpu.parallel import parallel_for

        @numba.njit
        def visit(chunk, seen, amount):
            seen[chunk] += amount

        @numba.njit
        def run(seen, chunks, amount):
            parallel_for(visit, chunks, (seen, amount))

        if threads > numba.config.NUMBA_NUM_THREADS:
            pytest.skip("this machine has one thread")
        seen = np.zeros(1001, np.int64)
        given = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            run(seen, chunks, 3)
        finally:
            numba.set_num_threads(given)
        np.testing.assert_array_equal(seen, np.where(np.arange(1001) < chunks, 3, 0))

    @pytest.mark.parametrize(("chunks", "n", "unit"), [(1, 0, 1), (3, 10, 1), (7, 1000, 16), (5, 3, 16), (4, 64, 16)])
    def test_spans_cover_everything_once_in_whole_units(self, chunks, n, unit):
        from fastconv.kernels.cpu.parallel import span

        @numba.njit
        def run(chunk):
            return span(chunk, chunks, n, unit)

        spans = [run(chunk) for chunk in range(chunks)]
        assert [i for first, last in spans for i in range(first, last)] == list(range(n))
        assert all(last == n or last % unit == 0 for _, last in spans)
