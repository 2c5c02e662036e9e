"""From a Kernel to a function of the GPU: NVRTC compiles it at its first launch, CuPy keeps it on disk."""

from functools import cache

import cupy
from cupy.cuda.compiler import CompileException

from .source import with_source_lines


def function(kernel):
    """The compiled kernel on the current device; called as function(grid, block, args).

    Raises:
        RuntimeError: it does not compile; the text shows the compiler's messages with their source lines.
    """
    return _function(cupy.cuda.runtime.getDevice(), kernel)


@cache
def _function(device, kernel):
    module = cupy.RawModule(code=kernel.source, options=("-std=c++17", *kernel.options))
    try:
        return module.get_function(kernel.name)
    except CompileException as error:
        constants = " ".join(kernel.options)
        raise RuntimeError(
            f"{kernel.file}.cu does not compile ({constants}):\n{with_source_lines(str(error))}"
        ) from error
