"""The one place that names Numba's options, and where compiled kernels are kept.

Numba keys its disk cache by the defining file only: an edit in another kernel file would go unnoticed. So all kernels
are kept in a folder whose name is a hash of every kernel source, of the Numba, llvmlite and Python versions and of the
CPU's features.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import config, njit
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature

from . import disk_cache
from .compilers import InsideCompiler, KernelCompiler
from .disk_cache import KernelCache
from .threads import RELEASES_GIL

# Neither nnan nor ninf: NaN and infinity keep their meaning. Denormals keep their value: flushing would gain little
# (AMD Zen 5, all inputs denormal: convolution, matrix product, ReLU 1.0 times as long, Adam and sigmoid 1.6, tanh 3.4).
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
def cache_folders() -> tuple[Path, ...]:
    """Where this version's compiled kernels are looked for; FASTCONV_CACHE_DIR comes before the user's cache folder."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size} ".encode())
        digest.update(path.read_bytes())
    versions = numba.__version__, llvmlite.__version__, sys.version
    options = config.BOUNDSCHECK, config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, RELEASES_GIL
    digest.update(repr((versions, options, sorted(cpu_features()), vector_bytes())).encode())
    return disk_cache.folders(f"kernels-{digest.hexdigest()[:16]}")


def cache_folder() -> Path | None:
    """Where compiled kernels are written to, or None where no folder can be written to."""
    return next(reversed(cache_folders()), None)


def compiled_address(function, signature):
    """Compile `function` now, as native code that other kernels call through the address in the result's `.address`."""
    options = {"error_model": "numpy"}
    callback = CFunc(function, normalize_signature(signature), {}, options, pipeline_class=KernelCompiler)
    callback._cache = KernelCache(function, cache_folders())
    callback.compile()
    return callback


def _compiled(fastmath=FASTMATH, cache=True, pipeline_class=KernelCompiler, **options):
    def decorate(function):
        options.update(nogil=RELEASES_GIL, error_model="numpy", fastmath=set(fastmath), no_cfunc_wrapper=True)
        dispatcher = njit(pipeline_class=pipeline_class, **options)(function)
        if cache:
            dispatcher._cache = KernelCache(function, cache_folders())
        return dispatcher

    return decorate


kernel = _compiled()
parallel_kernel = _compiled(parallel=True)
# Arithmetic whose order is the point (range reduction, divisions that may meet infinity): nothing but a fused
# multiply-add may be formed.
ordered_kernel = _compiled(fastmath={"contract"})

# What only kernels call: neither kept on disk by itself nor callable from Python (compilers.py).
_INSIDE = {"cache": False, "no_cpython_wrapper": True}
inner = _compiled(**_INSIDE, pipeline_class=InsideCompiler)
ordered_inner = _compiled(fastmath={"contract"}, **_INSIDE, pipeline_class=InsideCompiler)
# Optimised by itself and again in its kernel: for a hot loop that becomes slower when only the kernel is optimised.
optimised_inner = _compiled(**_INSIDE)
