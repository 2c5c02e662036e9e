"""What the GPU backend asks of a device: NumPy-like arrays and kernel launches.

`cuda.CudaDevice` is the real one. The tests have another that runs the same kernels on the CPU, so every line of the
backend and of the kernels is checked on machines without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ...kernels.cuda.source import Kernel
from ..base import Array, Run


class Device(Protocol):
    """Memory and launches."""

    name: str
    processors: int  # streaming multiprocessors, for choosing how finely to split work
    architecture: int  # compute capability as in sm_75: 75, 80, 86, 89, 90, 100, 120

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """Uninitialised, contiguous in the order of its axes."""

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        """`a` on this device, from main memory or from another library's GPU array (DLPack)."""

    def to_numpy(self, a: Array) -> Any:
        """A contiguous array in main memory, after everything that computes it has finished."""

    def copy(self, to: Array, a: Array) -> None:
        """Write `a` into `to`, which has its shape; both may lie in any order."""

    def address(self, a: Array) -> int:
        """Where the first element lies."""

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared: int = 0
    ) -> None:
        """Start a kernel; Python ints are passed as C int, NumPy scalars as their own type (records as structs by
        value), arrays as pointers, None as the null pointer. `shared`: bytes of shared memory given at the launch."""

    def capture(self, runs: Sequence[Run]) -> Callable[[], None]:
        """What these runs launch as one function that launches all of it; nothing is computed meanwhile."""

    def synchronize(self) -> None:
        """Wait until everything launched so far has finished."""
