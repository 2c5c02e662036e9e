"""The reason why there is no GPU names what is missing; nothing heavy is imported before a driver was found."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fastconv.backends import select
from fastconv.backends.gpu import presence
from fastconv.errors import BackendError


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


def answer(given):
    """A function that returns what is given, or raises it."""

    def call():
        if isinstance(given, Exception):
            raise given
        return given

    return call


def fake_cupy(count=1, major=9, minor=0, nvrtc=(13, 0)):
    """CuPy with `count` devices and such an NVRTC; an exception in their place is raised."""

    properties = {"major": major, "minor": minor, "name": b"Tesla V100"}
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError, getDeviceCount=answer(count), getDevice=lambda: 0,
        getDeviceProperties=lambda device: properties,
    )  # fmt: skip
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=answer(nvrtc))))


@pytest.fixture
def machine(monkeypatch):
    """A function that makes this machine one with such a CuPy (None: it cannot be imported) and driver."""

    def make(cupy, installed=True, driver=True):
        monkeypatch.setattr(presence.importlib.util, "find_spec", lambda name: object() if installed else None)
        monkeypatch.setattr(presence, "_has_driver", lambda: driver)
        monkeypatch.setitem(sys.modules, "cupy", cupy)

    return make


@pytest.mark.parametrize(
    ("given", "options", "reason"),
    [
        (None, {"installed": False}, r'CuPy is not installed: pip install "fastconv\[cuda13\]"'),
        (None, {"driver": False}, r"there is no NVIDIA driver \((libcuda.so.1|nvcuda.dll) cannot be loaded\)"),
        (None, {}, r'CuPy cannot be imported: .*; reinstall it: pip install "fastconv\[cuda13\]"'),
        (fake_cupy(count=0), {}, "the NVIDIA driver sees no GPU"),
        (
            fake_cupy(count=CUDARuntimeError("cudaErrorNoDevice")),
            {},
            "the NVIDIA driver gives no GPU: cudaErrorNoDevice",
        ),
        (
            fake_cupy(count=CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")),
            {},
            r"the NVIDIA driver is older than CuPy's CUDA: update it, or try pip install .fastconv\[cuda12\].",
        ),
        (
            fake_cupy(nvrtc=RuntimeError("CuPy failed to load libnvrtc.so.13")),
            {},
            r"find CUDA's compiler, NVRTC: CuPy failed to load libnvrtc.so.13; pip install .fastconv\[cuda13\].",
        ),
        (fake_cupy(major=7), {}, r"Tesla V100 has compute capability 7.0; the kernels need 7.5 \(Turing\) or newer"),
    ],
)
def test_the_reason(machine, given, options, reason):
    machine(given, **options)
    assert re.search(reason, presence.missing())


@pytest.mark.parametrize(("major", "minor"), [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0)])
def test_nothing_is_missing(machine, major, minor):
    machine(fake_cupy(major=major, minor=minor))
    assert presence.missing() is None


def test_the_drivers_library_is_looked_for(monkeypatch):
    def cannot_load(name):
        raise OSError(name)

    monkeypatch.setattr(presence.ctypes, "CDLL", cannot_load)
    assert not presence._has_driver()
    monkeypatch.setattr(presence.ctypes, "CDLL", lambda name: object())
    assert presence._has_driver()


def test_the_question_alone_imports_no_cupy_where_there_is_no_driver():
    code = (
        "import sys, fastconv as fc\n"
        "from fastconv.backends.gpu import presence\n"
        "presence._has_driver = lambda: False\n"
        "print(fc.available()['gpu'] != 'ready', 'cupy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], done.stderr


class TestRegister:
    def test_a_backend_of_ones_own(self, monkeypatch):
        monkeypatch.setattr(select, "_BACKENDS", dict(select._BACKENDS))
        select.register("mine", lambda: "it is not plugged in", lambda: pytest.fail("nothing to make"))
        assert select.available()["mine"] == "it is not plugged in"
        with pytest.raises(BackendError, match="the mine backend cannot be used: it is not plugged in"):
            select.get("mine")

    def test_a_name_that_is_taken(self):
        with pytest.raises(BackendError, match="there is a backend 'cpu' already"):
            select.register("cpu", lambda: None, lambda: pytest.fail("nothing to make"))
