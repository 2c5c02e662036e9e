"""Every error that fastconv raises on purpose.

Each one also derives from the built-in exception that a Python user would expect, so `except ValueError` keeps
working. Messages name the operation, the rule that was broken, the values and all shapes.
"""


class FastconvError(Exception):
    """The base of all errors of this package.

    layer: the innermost layer of a network in whose forward it was raised, None elsewhere.
    """

    layer: object = None


class ShapeError(FastconvError, ValueError):
    """Sizes that do not fit together: wrong number of axes, channel mismatch, a kernel larger than its input."""


class ArgumentError(FastconvError, ValueError):
    """An option whose value can never be right: stride 0, negative padding, an unknown name."""


class DTypeError(FastconvError, TypeError):
    """Element types that an operation does not take, or that differ where they must agree."""


class BackendError(FastconvError, RuntimeError):
    """A backend that is missing or unknown, or tensors of two backends in one operation."""


class UnsupportedError(FastconvError, NotImplementedError):
    """A request that makes sense but that this version does not implement."""


class DivergenceError(FastconvError, ArithmeticError):
    """A training whose loss is no longer a finite number."""


class DataError(FastconvError, ValueError):
    """A data set or a file that is missing, truncated, corrupt or not what its name says."""
