"""How many threads the CPU backend uses. Results do not depend on it, bit for bit."""

from __future__ import annotations

from types import ModuleType

from .backends import select
from .errors import ArgumentError
from .geometry import whole_number


def set_threads(n: int) -> None:
    """Let the CPU's kernels use n threads, in the Python thread that calls this.

    Raises:
        ArgumentError: n is not from 1 to the number of cores (or NUMBA_NUM_THREADS, read at the start).
        BackendError: the cpu backend cannot be used here.
    """
    kernels = _kernels()
    n = whole_number("set_threads", "n", n)
    most = kernels.most_threads()
    if not 1 <= n <= most:
        more = f"; start Python with the environment variable NUMBA_NUM_THREADS={n} to allow more" if n > most else ""
        raise ArgumentError(f"set_threads: n must be from 1 to {most}, got {n}{more}")
    kernels.set_threads(n)


def get_threads() -> int:
    """How many threads the CPU's kernels use in this Python thread."""
    threads: int = _kernels().get_threads()
    return threads


def _kernels() -> ModuleType:
    select.get("cpu")
    from .kernels.cpu import threads

    return threads
