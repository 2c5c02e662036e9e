"""The one place that names Numba's options, and where compiled kernels are kept.

Numba keys its disk cache by the defining file only: an edit in another kernel file would go unnoticed. So all kernels
are kept in a folder whose name is a hash of every kernel source, of the Numba, llvmlite and Python versions and of the
CPU's features.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import cfunc, config, njit

from .inside import InsideCompiler
from .threads import RELEASES_GIL

# Neither nnan nor ninf: NaN and infinity keep their meaning.
FASTMATH = frozenset({"contract", "reassoc", "nsz", "arcp"})


@cache
def cpu_features() -> frozenset[str]:
    """What this CPU can execute, by LLVM's names ('avx512f', 'avx2', 'neon', ...)."""
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


@cache
def vector_bytes() -> int:
    """Bytes of the vectors that kernels use: what the CPU has, or FASTCONV_SIMD_WIDTH (in bits) where that is less."""
    features = cpu_features()
    widest = 64 if {"avx512f", "avx512vl"} <= features else 32 if {"avx2", "fma"} <= features else 16
    chosen = os.environ.get("FASTCONV_SIMD_WIDTH")
    if chosen is None:
        return widest
    if chosen not in ("128", "256", "512"):
        raise ValueError(f"FASTCONV_SIMD_WIDTH must be 128, 256 or 512 bits, got {chosen!r}")
    return min(int(chosen) // 8, widest)


@cache
def cache_folder() -> Path:
    """Where this version's compiled kernels are kept; FASTCONV_CACHE_DIR overrides the user's cache folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(
        repr(
            (
                numba.__version__,
                llvmlite.__version__,
                sys.version,
                sorted(cpu_features()),
                vector_bytes(),
                config.BOUNDSCHECK,
            )
        ).encode()
    )
    return _writable_base() / f"kernels-{digest.hexdigest()[:16]}"


def _writable_base() -> Path:
    chosen = os.environ.get("FASTCONV_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for base in ([Path(chosen)] if chosen else []) + [Path(home) / "fastconv"]:
        try:
            base.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=base):
                return base
        except OSError:
            continue
    return Path(tempfile.gettempdir()) / f"fastconv-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


@contextmanager
def _kept_on_disk():
    chosen, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = chosen


def compiled_address(function, signature):
    """Compile `function` now, as native code that other kernels call through the address in the result's `.address`."""
    with _kept_on_disk():
        return cfunc(signature, cache=True, error_model="numpy")(function)


def _compiled(fastmath=FASTMATH, cache=True, **options):
    def decorate(function):
        with _kept_on_disk():
            return njit(cache=cache, nogil=RELEASES_GIL, error_model="numpy", fastmath=set(fastmath), **options)(
                function
            )

    return decorate


kernel = _compiled()
parallel_kernel = _compiled(parallel=True)
# Arithmetic whose order is the point (range reduction, divisions that may meet infinity): nothing but a fused
# multiply-add may be formed.
ordered_kernel = _compiled(fastmath={"contract"})

# What only kernels call: neither kept on disk by itself nor callable from Python (inside.py).
_INSIDE = {"cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": InsideCompiler}
inner = _compiled(**_INSIDE)
ordered_inner = _compiled(fastmath={"contract"}, **_INSIDE)
