"""The NVIDIA GPU as a device: CuPy's arrays, memory pool and streams, our kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt

from ...errors import BackendError
from ...kernels.cuda.load import function
from ...kernels.cuda.source import Kernel
from ..base import Array, Run


class CudaDevice:
    """CuPy's current device. Everything runs on CuPy's current stream."""

    name = "gpu"

    def __init__(self) -> None:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        self.processors: int = properties["multiProcessorCount"]
        self.architecture: int = 10 * properties["major"] + properties["minor"]

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        return _with_memory(lambda: cupy.empty(tuple(shape), dtype))

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        if not isinstance(a, cupy.ndarray | np.ndarray) and hasattr(a, "__dlpack__"):
            a = cupy.from_dlpack(a) if a.__dlpack_device__()[0] == _DLPACK_CUDA else np.from_dlpack(a)
        return _with_memory(lambda: cupy.asarray(a, dtype))

    def to_numpy(self, a: Array) -> npt.NDArray[Any]:
        return cupy.asnumpy(a)

    def copy(self, to: Array, a: Array) -> None:
        to[...] = a

    def address(self, a: Array) -> int:
        return a.data.ptr

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared: int = 0
    ) -> None:
        run = function(kernel, shared)
        run(grid, block, tuple(_argument(a) for a in args), shared_mem=shared)

    def capture(self, runs: Sequence[Run]) -> Callable[[], None]:
        pool = cupy.cuda.MemoryPool()  # of the graph's own: what it takes and frees is nobody else's meanwhile
        stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(pool.malloc), stream:
            stream.begin_capture(cupy.cuda.runtime.streamCaptureModeRelaxed)  # the pool may ask for memory
            try:
                for run in runs:
                    run.call()
            except BaseException:
                with suppress(cupy.cuda.runtime.CUDARuntimeError):  # a capture that an error has ended already
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return _GraphLaunch(graph, pool)

    def synchronize(self) -> None:
        cupy.cuda.get_current_stream().synchronize()


@dataclass(frozen=True)
class _GraphLaunch:
    """A CUDA graph and the memory that it works in."""

    graph: Any
    pool: Any

    def __call__(self) -> None:
        self.graph.launch(cupy.cuda.get_current_stream())


_DLPACK_CUDA = 2  # kDLCUDA of dlpack.h
_NULL = np.intp(0)  # CuPy 13 passes None as 0xffffffff


def _argument(a: Any) -> Any:
    """`a` as CuPy passes it: an array of one record by value."""
    if a is None:
        return _NULL
    if type(a) is int:
        return np.int32(a)
    return np.asarray(a) if isinstance(a, np.void) else a


def _with_memory(allocate: Callable[[], Array]) -> Array:
    """`allocate()`; where memory is short, once more after the pool has given back what lies unused."""
    try:
        return allocate()
    except cupy.cuda.memory.OutOfMemoryError:
        pool = cupy.get_default_memory_pool()
        pool.free_all_blocks()
    try:
        return allocate()
    except cupy.cuda.memory.OutOfMemoryError as error:
        free, total = cupy.cuda.runtime.memGetInfo()
        raise BackendError(
            f"the GPU's memory is full: {error}; of {total / 2**20:,.0f} MiB {free / 2**20:,.0f} are free and arrays "
            f"hold {pool.used_bytes() / 2**20:,.0f}. Use smaller batches, or compile the step: `step.plan` says what "
            f"it needs"
        ) from error
