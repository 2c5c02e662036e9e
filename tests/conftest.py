"""The backends and the random numbers that every test draws on."""

import os
import zlib

import numpy as np
import pytest
from cuda_emulator.array import CupyLikeDevice
from cuda_emulator.build import compiler
from gpu_kernels import listed_kernels
from hypothesis import settings

from fastconv.backends import select
from fastconv.backends.gpu import GpuBackend

settings.register_profile("quick", max_examples=60, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def _missing_emulator():
    return None if compiler() else "g++, which builds the CUDA kernels for the CPU, is not installed"


select.register("cuda-emu", _missing_emulator, lambda: GpuBackend(CupyLikeDevice(known=listed_kernels())))


def pytest_report_header(config):
    """Which backends the tests run on, and why the others are left out."""
    return [f"backend {name}: {state}" for name, state in select.available().items()]


def _ready_backends():
    marks = {"gpu": [pytest.mark.gpu]}
    ready = [name for name, state in select.available().items() if state == "ready"]
    return [pytest.param(name, marks=marks.get(name, [])) for name in ready]


@pytest.fixture(scope="session", params=_ready_backends())
def backend(request):
    """Every backend that can run here, one after the other."""
    return select.get(request.param)


@pytest.fixture(scope="session", params=[p for p in _ready_backends() if p.values[0] in ("cuda-emu", "gpu")])
def gpu_backend(request):
    """The emulated GPU, and the real one where it is."""
    return select.get(request.param)


@pytest.fixture
def rng(request):
    """Random numbers that depend on the test's name only."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
