"""From a Kernel to a function of the GPU: NVRTC compiles it at its first launch, CuPy keeps it on disk."""

from functools import cache

import cupy
from cupy.cuda.compiler import CompileException

from .source import source, with_source_lines


def function(kernel, shared=0):
    """The compiled kernel on the current device; called as function(grid, block, args, shared_mem=shared).

    shared: bytes of shared memory that its launches give.

    Raises:
        RuntimeError: it does not compile; the text shows the compiler's messages with their source lines.
    """
    return _function(cupy.cuda.runtime.getDevice(), kernel, shared)


@cache
def _function(device, kernel, shared):
    run = _compiled(device, kernel)
    if shared:  # without asking a block gets 48 KiB, and the arrays that the kernel itself declares count among them
        run.max_dynamic_shared_size_bytes = shared
    return run


def _compiled(device, kernel):
    try:
        return _module(device, kernel.file, kernel.options).get_function(kernel.name)
    except CompileException as error:
        constants = " ".join(kernel.options)
        raise RuntimeError(
            f"{kernel.file}.cu does not compile ({constants}):\n{with_source_lines(str(error))}"
        ) from error


@cache
def _module(device, file, options):
    """A file with one set of constants: all its entries are compiled together."""
    return cupy.RawModule(code=source(file), options=("-std=c++17", *options))
