"""Kernels of the GPU, emulated: the same bits in any order of threads, and no access beyond an array.

The order: whoever forgets a barrier reads what another thread has not written yet, or has already overwritten. The
accesses: kernels are built with address and undefined-behaviour sanitizers and run in a process of their own on arrays
that the heap holds exactly, so that one element too far, a misaligned pack or an overflowing index ends it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_emulator.build import SANITIZERS, compiler
from cuda_emulator.device import EmulatedDevice
from test_memory_guards import calls

from fastconv.backends.gpu import GpuBackend
from fastconv.errors import FastconvError

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="g++, which builds the kernels for the CPU, is not installed"
)

ORDERS = ("backward", 1, 2)
CAN_DECLINE = (
    "forward",
    "backward_data",
    "backward_weight",
)  # an algorithm by name, on a problem that it does not take


class ExactDevice(EmulatedDevice):
    """Arrays of the size asked for, straight from the heap that the sanitizer watches."""

    def empty(self, shape, dtype):
        a = np.empty(shape, dtype)
        a.reshape(-1).view(np.uint8).fill(0xFF)
        return a


def is_alike(name):
    """Whether another call reaches the same accesses: fused ones are made of others here, precisions share a tile."""
    return "fused" in name or any(f" {precision} " in name for precision in ("tf32x3", "bfloat16", "float16"))


def results(backend, dtype, share=slice(None), leave_out=lambda name: False):
    """(name, bytes of every result) of all kernels at the edge cases of the memory tests, or of a share of them."""
    chosen = [call for call in calls(backend, dtype) if not leave_out(call[0])]
    for name, function, arrays in chosen[share]:
        print(name, flush=True)
        try:
            made = function(*(backend.asarray(a.copy()) for a in arrays))
        except FastconvError:
            if not name.startswith(CAN_DECLINE):
                raise
            continue
        yield name, [backend.to_numpy(a).tobytes() for a in made]


def is_thorough():
    return os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def share_of(i):
    """The i-th of four shares of the calls; thorough: all of them."""
    return slice(None) if is_thorough() else slice(i, None, 4)


@pytest.mark.parametrize(("i", "order"), list(enumerate(ORDERS)))
def test_results_do_not_depend_on_the_order_of_threads(i, order):
    share = share_of(i)
    forward = dict(results(GpuBackend(EmulatedDevice("forward")), "float32", share))
    assert dict(results(GpuBackend(EmulatedDevice(order)), "float32", share)) == forward


def library_of(sanitizer):
    """The path of g++'s own runtime for a sanitizer, or None."""
    if compiler() is None:
        return None
    found = subprocess.run([compiler(), f"-print-file-name=lib{sanitizer}.so"], capture_output=True, text=True)
    path = Path(found.stdout.strip())
    return path if path.is_absolute() else None


def sanitized(code):
    """A Python process in which the sanitizers watch every access."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    options = {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0", "LD_PRELOAD": str(library_of("asan"))}
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **options, "PYTHONPATH": path}, capture_output=True,
        text=True, timeout=280,
    )  # fmt: skip


def touch_everything(dtype):
    """The kernels at the edge cases, built with the sanitizers.

    To build takes a second a kernel: so those of every thirteenth call, which is of every file; thorough: all of them.
    """
    backend = GpuBackend(ExactDevice(flags=SANITIZERS))
    wanted = {} if is_thorough() else {"share": slice(1, None, 13), "leave_out": is_alike}
    for _ in results(backend, dtype, **wanted):
        pass
    print("untouched")


needs_sanitizers = pytest.mark.skipif(library_of("asan") is None, reason="g++ has no address sanitizer (libasan)")


@needs_sanitizers
@pytest.mark.slow
def test_the_sanitizers_find_nothing():
    done = sanitized("import test_gpu_memory as t; t.touch_everything('float32')")
    last = (done.stdout.splitlines() or ["nothing ran"])[-1]
    assert (done.returncode, last) == (0, "untouched"), f"{last}\n{done.stderr[-3000:]}"


@needs_sanitizers
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("y[threadIdx.x] = x[threadIdx.x + 1];", "heap-buffer-overflow"),
        ("y[threadIdx.x + 1] = 0;", "heap-buffer-overflow"),
        ("y[threadIdx.x] = load_pack<4>(x + 1).at[0];", "misaligned"),
        ("const int i = 0x7fffffff - threadIdx.x; y[threadIdx.x] = i + 1;", "signed integer overflow"),
        ("__shared__ T s[8]; s[threadIdx.x] = 1; y[threadIdx.x] = s[0];", "out of bounds"),
    ],
)
def test_the_sanitizers_find_a_planted_mistake(body, message):
    code = (
        "import numpy as np, test_gpu_memory as t\n"
        "from test_gpu_emulator import Planted\n"
        "device = t.ExactDevice(flags=t.SANITIZERS)\n"
        "text = 'extern \"C\" __global__ void planted(T *y, const T *x) { BODY }'\n"
        "y, x = np.zeros(64, 'float32'), np.zeros(64, 'float32')\n"
        "device.launch(Planted('planted', text), (1,), (64,), (y, x))"
    )
    done = sanitized(code.replace("BODY", body))
    assert done.returncode != 0
    assert message in done.stderr
