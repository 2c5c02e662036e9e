"""fastconv: a small, fast CNN engine. `import fastconv as fc`.

The public names stand in __init__.pyi and are loaded when they are first used, so that importing the package and
asking the command line for help cost next to nothing; Numba and CuPy are not imported before a backend needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

del lazy_loader
