"""Which backends there are, why one is missing, which one makes new tensors, and how precisely it multiplies."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import cache
from types import TracebackType
from typing import Any

from ..errors import ArgumentError, BackendError
from .base import Backend
from .precision import chosen, get_precision, require_precision
from .winograd import chosen as winograd_chosen

DEFAULT = "cpu"


def _missing_cpu() -> str | None:
    return None if importlib.util.find_spec("numba") else "numba is not installed: pip install numba"


def _make_cpu() -> Backend:
    from .cpu import CpuBackend

    return CpuBackend()


def _make_reference() -> Backend:
    from .reference import ReferenceBackend

    return ReferenceBackend()


def _missing_gpu() -> str | None:
    from .gpu.presence import missing

    return missing()


def _make_gpu() -> Backend:
    from .gpu import GpuBackend
    from .gpu.cuda import CudaDevice

    return GpuBackend(CudaDevice())


# name -> (why it cannot be used, or None; how to make it)
_BACKENDS: dict[str, tuple[Callable[[], str | None], Callable[[], Backend]]] = {
    "cpu": (_missing_cpu, _make_cpu),
    "gpu": (_missing_gpu, _make_gpu),
    "reference": (lambda: None, _make_reference),
}

_current: ContextVar[str] = ContextVar("fastconv_backend", default=DEFAULT)


def register(name: str, missing: Callable[[], str | None], make: Callable[[], Backend]) -> None:
    """Add a backend under a name of its own.

    missing: why it cannot be used here and what to do, or None. make: called at its first use.
    """
    if name in _BACKENDS:
        raise BackendError(f"there is a backend {name!r} already")
    _BACKENDS[name] = missing, make


def available() -> dict[str, str]:
    """Every backend's name with "ready", or with the reason it cannot be used and what to do."""
    return {name: missing() or "ready" for name, (missing, _) in _BACKENDS.items()}


@cache
def get(name: str) -> Backend:
    """The backend called `name`, made at its first use.

    Raises:
        BackendError: it is unknown or cannot be used here; never falls back to another one.
    """
    if name not in _BACKENDS:
        raise BackendError(f"there is no backend {name!r}; choose one of {', '.join(_BACKENDS)}")
    missing, make = _BACKENDS[name]
    reason = missing()
    if reason:
        raise BackendError(f"the {name} backend cannot be used: {reason}")
    return make()


def current() -> Backend:
    """The backend that makes new tensors here."""
    return get(_current.get())


class _Choice:
    """A value that stands from here on, or inside a `with` block."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable = variable
        self._token: Token[Any] = variable.set(value)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._variable.reset(self._token)


class use(_Choice):
    """Choose the backend that makes new tensors, for good or inside a `with` block; has all the backend's functions.

    >>> be = fc.use("cpu")             # from here on
    >>> be.explain(g)                  # the backend's own functions
    >>> with fc.use("reference"):      # in here only
    ...     t = fc.tensor(x)

    Raises:
        BackendError: the backend is unknown or cannot be used here.
        UnsupportedError: it cannot compute in the precision that stands (see `set_precision`).
    """

    def __init__(self, name: str) -> None:
        self.backend = get(name)
        require_precision(get_precision(), self.backend)
        super().__init__(_current, name)

    def __enter__(self) -> Backend:
        return self.backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def __repr__(self) -> str:
        return f"<fastconv backend {self.backend.name}>"


class set_precision(_Choice):
    """Choose what convolutions and matrix products of float32 arrays compute in, for good or inside a `with` block.

    >>> fc.use("gpu")
    >>> fc.set_precision("tf32")                # from here on
    >>> with fc.set_precision("float32"):       # in here strictly
    ...     y = model(x)

    precision: "float32", the default, is strict. "tf32" rounds the factors of every product to 10 bits of mantissa,
        "bfloat16" to 7, "float16" to 10 with numbers beyond 65504 becoming infinite; they use tensor cores. Arrays,
        sums and updates stay float32 in all of them (see precision.py). Problems that tensor cores do not serve, and
        tensors of a backend without them, are computed in float32.

    Raises:
        ArgumentError: there is no such precision.
        UnsupportedError: the backend in use cannot compute in it.
    """

    def __init__(self, precision: str) -> None:
        if precision != get_precision():
            require_precision(precision, current())
        super().__init__(chosen, precision)

    def __enter__(self) -> str:
        return chosen.get()

    def __repr__(self) -> str:
        return f"<fastconv precision {chosen.get()}>"


class set_winograd(_Choice):
    """Choose whether the CPU's 3x3 and 5x5 convolutions may use Winograd's algorithm, for good or in a `with` block.

    >>> fc.set_winograd(False)                  # from here on
    >>> with fc.set_winograd(True):             # in here again
    ...     y = model(x)

    It is on from the start: some two times the speed where channels are many, for rounding errors in float32 that are
    1.3 to 4 times as large (see kernels/cpu/conv2d/winograd_transforms.py). `explain` says where it runs and why.

    Raises:
        ArgumentError: `on` is neither True nor False.
    """

    def __init__(self, on: bool) -> None:
        if not isinstance(on, bool):
            raise ArgumentError(f"set_winograd takes True or False, got {on!r}")
        super().__init__(winograd_chosen, on)

    def __enter__(self) -> bool:
        return winograd_chosen.get()

    def __repr__(self) -> str:
        return f"<fastconv winograd {'on' if winograd_chosen.get() else 'off'}>"
