"""From a Kernel to a function of the GPU: NVRTC compiles it at its first launch, and its machine code is kept on disk.

CuPy's RawModule is not used: it compiles with -ftz=true, whatever it is given, and denormals are numbers like others.
"""

from functools import cache

import cupy
from cupy.cuda import compiler, driver

from . import disk_cache
from .source import source, with_source_lines

LANGUAGE = "-std=c++17"


def function(kernel, shared=0):
    """The compiled kernel on the current device; called as function(grid, block, args, shared_mem=shared).

    shared: bytes of shared memory that this launch gives.

    Raises:
        RuntimeError: it does not compile; the text shows the compiler's messages with their source lines.
    """
    loaded = _loaded(cupy.cuda.runtime.getDevice(), kernel)
    if shared > loaded.shared:
        loaded.allow(shared)
    return loaded.run


class _Loaded:
    """A function of the GPU; shared: the most bytes of shared memory that its launches may give."""

    def __init__(self, run):
        self.run, self.shared = run, 0

    def allow(self, shared):
        """Raise that limit: without it a block gets 48 KiB, what the kernel itself declares included.

        It is the function's, for launches of every size, so it is never lowered.
        """
        driver.funcSetAttribute(self.run.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        self.shared = shared


@cache
def _loaded(device, kernel):
    return _Loaded(_module(device, kernel.file, kernel.options).get_function(kernel.name))


@cache
def _module(device, file, options):
    """A file with one set of constants: all its entries are compiled together."""
    module = cupy.cuda.function.Module()
    module.load(_machine_code(file, options))
    return module


def _machine_code(file, options):
    text = source(file)
    key = text, options, cupy.cuda.Device().compute_capability, cupy.cuda.nvrtc.getVersion(), cupy.__version__
    kept = disk_cache.load(*key)
    if kept is not None:
        return kept
    try:
        binary, _ = compiler.compile_using_nvrtc(text, (LANGUAGE, *options), filename=f"{file}.cu")
    except compiler.CompileException as error:
        constants = " ".join(options)
        raise RuntimeError(f"{file}.cu does not compile ({constants}):\n{with_source_lines(str(error))}") from error
    disk_cache.save(binary, *key)
    return binary
