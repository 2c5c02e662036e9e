"""Every kernel that the GPU backend can ask for, as its families list them."""

import importlib
import pkgutil
from functools import cache

from fastconv.backends import gpu
from fastconv.kernels.cuda.source import Kernel

NEED_CUPY = ("cuda", "measure")
PEAK = Kernel("peak", "fma_loop", (("CHAINS", 8),))  # as measure.py launches it


@cache
def listed_kernels():
    """The kernels of all families; a family is a module with a function variants()."""
    names = [m.name for m in pkgutil.iter_modules(gpu.__path__) if m.name not in NEED_CUPY]
    modules = [importlib.import_module(f"{gpu.__name__}.{name}") for name in names]
    families = [module.variants() for module in modules if hasattr(module, "variants")]
    return frozenset([PEAK, *(kernel for family in families for kernel in family)])
