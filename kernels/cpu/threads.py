"""The pool of threads under the kernels: which of Numba's layers it is, how many threads are used, what a fork leaves.

Numba takes the first layer that loads of tbb, omp and workqueue. TBB lets several Python threads call at once, survives
a fork and does not wait for a thread that the system has taken away, but Numba finds its library only where the
linker looks; the wheel puts it into sys.prefix, so it is loaded from there first. GNU OpenMP kills a forked child at
its first parallel loop, so a child uses one thread and starts none. The workqueue ends the process where two Python
threads call at once: with nothing else at hand kernels keep Python's lock.
"""

import ctypes
import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path

import numba
from numba import config
from numba.np.ufunc import parallel

_TBB = {"linux": "lib/libtbb.so.12", "darwin": "lib/libtbb.12.dylib", "win32": "Library/bin/tbb12.dll"}


def _load_tbb():
    path = Path(sys.prefix) / _TBB.get(sys.platform, "none")
    if path.exists():
        with suppress(OSError):
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def _many_callers():
    """Whether a layer loads that several Python threads may call at once."""
    for pool in ("tbbpool", "omppool"):
        with suppress(ImportError):
            importlib.import_module(f"numba.np.ufunc.{pool}")
            return True
    return False


def _after_fork():
    if parallel._is_initialized and numba.threading_layer() == "omp":
        numba.set_num_threads(1)


_load_tbb()
RELEASES_GIL = _many_callers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def most_threads():
    """The size of the pool, fixed when Numba starts: NUMBA_NUM_THREADS, or one a core."""
    return config.NUMBA_NUM_THREADS


def set_threads(n):
    """Use n threads of the pool from now on, in this Python thread."""
    numba.set_num_threads(n)


def get_threads():
    """How many threads this Python thread's kernels use."""
    return numba.get_num_threads()
