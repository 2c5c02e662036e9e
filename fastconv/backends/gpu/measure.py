"""What the benchmark suite wants to know of a GPU: its name, its limits, and times by its own clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from ...kernels.cuda.source import Kernel
from .cuda import CudaDevice

REPEATS = 9
FMA_THREADS, FMA_BLOCKS_A_PROCESSOR, FMA_ITERATIONS = 256, 8, 4096
FMA_CHAINS = 8  # independent multiply-adds of a thread: CHAINS of kernels/cuda/peak.cu


def describe() -> dict[str, Any]:
    """Name, multiprocessors, architecture, CUDA versions of run time and driver."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return {
        "processor": properties["name"].decode(),
        "cores": properties["multiProcessorCount"],
        "architecture": f"sm_{properties['major']}{properties['minor']}",
        "cuda": _version(cupy.cuda.runtime.runtimeGetVersion()),
        "driver": _version(cupy.cuda.runtime.driverGetVersion()),
    }


def versions() -> dict[str, str]:
    """The libraries at work."""
    return {"cupy": cupy.__version__, "numpy": np.__version__}


def elapsed(run: Callable[[], Any]) -> float:
    """Seconds on the GPU from before the first to after the last thing that `run` launches (CUDA events)."""
    before, after = cupy.cuda.Event(), cupy.cuda.Event()
    before.record()
    run()
    after.record()
    after.synchronize()
    return cupy.cuda.get_elapsed_time(before, after) / 1e3


def fma_peak() -> float:
    """GFLOP/s of float32 multiply-adds in registers."""
    device = CudaDevice()
    blocks = FMA_BLOCKS_A_PROCESSOR * device.processors
    sums = device.empty((blocks * FMA_THREADS,), "float32")
    kernel = Kernel("peak", "fma_loop", (("CHAINS", FMA_CHAINS),))
    args = (sums, np.float32(0.5), np.float32(1), FMA_ITERATIONS)
    seconds = _quickest(lambda: device.launch(kernel, (blocks,), (FMA_THREADS,), args))
    return 2 * FMA_CHAINS * FMA_ITERATIONS * sums.size / seconds / 1e9


def copy_bandwidth(size: int) -> float:
    """GB/s of a copy that touches `size` bytes, read and written."""
    x, y = (cupy.zeros(size // 2, cupy.uint8) for _ in "xy")
    return size / _quickest(lambda: cupy.copyto(y, x)) / 1e9


def _quickest(run: Callable[[], Any]) -> float:
    run()
    return min(elapsed(run) for _ in range(REPEATS))


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
