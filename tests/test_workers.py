"""The threads that share loops: every item once, whoever sleeps, is late, is busy or is gone."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fastconv.backends import select

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready: " + select.available()["cpu"], allow_module_level=True)

from fastconv.kernels.cpu import threads, workers
from fastconv.kernels.cpu.cores import leave_core, own_core
from fastconv.kernels.cpu.jit import inner, kernel
from fastconv.kernels.cpu.parallel import parallel_for


@inner
def _mark(item, marks, work):
    for _ in range(work):
        marks[item] += 1


@kernel
def mark(marks, work):
    parallel_for(_mark, len(marks), (marks, work))


def assert_every_item_is_done_once(items, work=1, rounds=1):
    marks = np.zeros(items, np.int64)
    for _ in range(rounds):
        mark(marks, work)
    assert (marks == work * rounds).all()


def in_a_process(function, cores):
    """Run a function of this file in a fresh Python with so many threads; returns what it prints."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    code = f"import test_workers as t; t.{function.__name__}()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "NUMBA_NUM_THREADS": str(cores), "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def count_in_many_ways():
    for n in range(1, threads.most_threads() + 1):
        threads.set_threads(n)
        for items in (0, 1, 2, 3, 7, 64, 1000):
            assert_every_item_is_done_once(items, rounds=20)
    print(len(workers._workers.threads), *(t.is_alive() for t in workers._workers.threads))


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_every_item_is_done_once(cores):
    alive = in_a_process(count_in_many_ways, cores)
    assert alive == [str(cores - 1), *["True"] * (cores - 1)]


def test_workers_that_fell_asleep_wake_up():
    for rest in (0.0, 0.001, 0.05):
        time.sleep(rest)
        assert_every_item_is_done_once(40, work=1000)


def test_python_threads_at_the_same_time():
    running = [
        threading.Thread(target=assert_every_item_is_done_once, args=(50, 2000), kwargs={"rounds": 50})
        for _ in range(4)
    ]
    failed = []
    hook, threading.excepthook = threading.excepthook, lambda problem: failed.append(problem.exc_value)
    try:
        for t in running:
            t.start()
        for t in running:
            t.join()
    finally:
        threading.excepthook = hook
    assert not failed


def compute_in_a_forked_child():
    assert_every_item_is_done_once(40)
    child = os.fork()
    assert_every_item_is_done_once(40, rounds=5)
    if not child:
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert_every_item_is_done_once(40)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_without_them():
    assert in_a_process(compute_in_a_forked_child, 3) == ["7"]


def test_without_workers_numbas_pool_runs_the_loop():
    assert_every_item_is_done_once(2)
    lines = workers._workers.lines
    before = lines[0, workers.WORKERS // 8]
    lines[0, workers.WORKERS // 8] = 0
    try:
        assert_every_item_is_done_once(50, rounds=3)
    finally:
        lines[0, workers.WORKERS // 8] = before


@kernel
def cores_before_and_after(cores):
    cores[0] = own_core()
    leave_core(cores[0])
    cores[1] = own_core()
    leave_core(-1)  # where the system does not say


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux moves threads so")
@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="there is one core only")
def test_a_thread_leaves_its_core_and_may_come_back():
    cores, allowed = np.zeros(2, np.int64), []

    def run():
        cores_before_and_after(cores)
        allowed.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert cores[0] != cores[1]
    assert set(cores) <= os.sched_getaffinity(0)
    assert allowed == [os.sched_getaffinity(0)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux moves threads so")
def test_a_thread_with_one_core_stays():
    cores, allowed = np.zeros(2, np.int64), []

    def run():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        cores_before_and_after(cores)
        allowed.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert cores[0] == cores[1]
    assert allowed == [{min(os.sched_getaffinity(0))}]
