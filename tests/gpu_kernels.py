"""Every kernel that the GPU backend can ask for, as its families list them."""

import importlib
import pkgutil
from functools import cache

from fastconv.backends import gpu


@cache
def listed_kernels():
    """The kernels of all families; a family is a module with a function variants()."""
    names = [m.name for m in pkgutil.iter_modules(gpu.__path__) if m.name != "cuda"]  # that one needs CuPy
    modules = [importlib.import_module(f"{gpu.__name__}.{name}") for name in names]
    return frozenset(kernel for module in modules if hasattr(module, "variants") for kernel in module.variants())
