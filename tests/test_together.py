"""Kernels compiled by several processes at once: by this one where the other fails, is slow or is not allowed."""

import os
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from fastconv.backends import select

if select.available()["cpu"] != "ready":
    pytest.skip("the cpu backend is not ready: " + select.available()["cpu"], allow_module_level=True)

from numba import typeof
from numba.core import event

from fastconv.kernels.cpu import bound, together
from fastconv.kernels.cpu.jit import inner, kernel

ARRAY = np.arange(4.0)


@kernel
def doubled(y, x):
    for i in range(len(x)):
        y[i] = 2 * x[i]


@inner
def _power(x, n):
    result = x
    for _ in range(n - 1):
        result *= x
    return result


@kernel
def cubed(y, x):
    for i in range(len(x)):
        y[i] = _power(x[i], 3)


KERNELS = {doubled: 2 * ARRAY, cubed: ARRAY**3}


class Compiled(event.Listener):
    """The names of what this process compiles."""

    def __init__(self):
        self.names = []

    def on_start(self, e):
        self.names.append(e.data["dispatcher"].py_func.__name__)

    def on_end(self, e):
        pass


@pytest.fixture
def here(monkeypatch):
    """What this process compiles of the two kernels, which are compiled nowhere yet."""
    monkeypatch.setattr(together, "_announced", together._Announced())
    monkeypatch.setattr(together._announced, "worth", 1)
    monkeypatch.setattr(together, "PATIENCE", 0.1)
    monkeypatch.setattr(together, "config", SimpleNamespace(NUMBA_NUM_THREADS=2))
    for one in KERNELS:
        one._cache.flush()
        one.overloads.clear()
    with event.install_listener("numba:compile", Compiled()) as listener:
        yield listener.names
    for thread in partners():
        thread.join(30)
    assert not partners()


def partners():
    return [t for t in threading.enumerate() if t.name == "fastconv-compile"]


def calls():
    """Both kernels bound to arrays, with the array that the call shall fill and what with."""
    outputs = [np.full_like(ARRAY, np.nan) for _ in KERNELS]
    return [(bound.bound(k, (y, ARRAY)), y, KERNELS[k]) for k, y in zip(KERNELS, outputs, strict=True)]


def assert_they_compute(made):
    for call in bound.made_direct([call for call, *_ in made]):
        call()
    for _, y, expected in made:
        np.testing.assert_array_equal(y, expected)


def test_another_process_compiles_what_is_announced(here):
    made = calls()
    for call, *_ in made:
        assert together._announced.finished[call.kernel, call.types].wait(60)
    assert_they_compute(made)
    assert here == []


def test_what_the_other_process_has_not_begun_is_compiled_here(here, monkeypatch):
    monkeypatch.setattr(together, "_SERVE", "import time; time.sleep(0.5)")
    assert_they_compute(calls())
    assert {"doubled", "cubed"} <= set(here)


@pytest.mark.parametrize("code", ["", "raise SystemExit(3)", "print('ready', flush=True)"])
def test_a_process_that_fails_costs_nothing_but_time(here, monkeypatch, code):
    monkeypatch.setattr(together, "_SERVE", code)
    assert_they_compute(calls())
    assert {"doubled", "cubed"} <= set(here)


def test_a_process_that_cannot_be_started(here, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    assert_they_compute(calls())
    assert {"doubled", "cubed"} <= set(here)


def test_a_kernel_that_the_other_process_cannot_find(here, monkeypatch):
    monkeypatch.setattr(doubled, "__name__", "somewhere_else")
    assert_they_compute(calls())


@pytest.mark.parametrize("why", ["one thread", "no folder", "a frozen program"])
def test_no_process_is_started_where_it_is_not_wanted(here, monkeypatch, why):
    if why == "one thread":
        monkeypatch.setattr(together, "config", SimpleNamespace(NUMBA_NUM_THREADS=1))
    elif why == "no folder":
        monkeypatch.setattr(together, "cache_folder", lambda: None)
    else:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(together.subprocess, "Popen", None)
    assert_they_compute(calls())
    assert partners() == []


def test_what_is_on_disk_is_not_announced(here):
    for one in KERNELS:
        one(np.empty_like(ARRAY), ARRAY)
        one.overloads.clear()
    del here[:]
    assert_they_compute(calls())
    assert (together._announced.finished, here) == ({}, [])


def test_large_kernels_come_first():
    announced = together._Announced()
    types = typeof(ARRAY), typeof(ARRAY)
    announced.partners = 99  # as if they were all busy
    for one in KERNELS:
        announced.add((one, types))
        announced.add((one, types))
    order = [announced.waiting.get_nowait()[-1][0] for _ in range(announced.waiting.qsize())]
    assert order == [cubed, doubled], "with what it calls, cubed is the larger one"


def test_a_wrong_kernel_raises_where_it_is_needed(here):
    call = bound.bound(doubled, (ARRAY, 3))
    with pytest.raises(Exception, match="len"):
        bound.made_direct([call])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_waits_for_nobody(here):
    together._announced.finished[doubled, (typeof(ARRAY), typeof(ARRAY))] = threading.Event()
    child = os.fork()
    if not child:
        together.compile_announced([(doubled, (typeof(ARRAY), typeof(ARRAY)))])
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
