"""What the GPU backend asks of a device: NumPy-like arrays and kernel launches.

`cuda.CudaDevice` is the real one. The tests have another that runs the same kernels on the CPU, so every line of the
backend and of the kernels is checked on machines without a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ...kernels.cuda.source import Kernel
from ..base import Array


class Device(Protocol):
    """Memory and launches."""

    name: str
    xp: Any  # the array module: cupy, or numpy for the emulator
    processors: int  # streaming multiprocessors, for choosing how finely to split work

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """Uninitialised, contiguous in the order of its axes."""

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        """`a` on this device, from main memory or from another library's GPU array (DLPack)."""

    def to_numpy(self, a: Array) -> Any:
        """A contiguous array in main memory, after everything that computes it has finished."""

    def launch(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        """Start a kernel; Python ints are passed as C int, NumPy scalars as their own type, arrays as pointers."""

    def synchronize(self) -> None:
        """Wait until everything launched so far has finished."""
