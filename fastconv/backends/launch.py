"""The one way from a call of the backend to its kernels: at once, or noted down to be made again and again.

A compiled step makes the same calls on the same arrays at every run. What a call does before its kernels start (checks,
choice of an algorithm, scratch memory, views) has to happen once only: `record` makes the call without its work and
gives back the list of launches. Where a plan may rely on its parameters' values, what a call makes of them alone
(packed filters) is listed apart: `prepare` launches it, into memory from `lasting`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from .workspace import Blocks, scratch, separate

Launch = tuple[Callable[..., Any], tuple[Any, ...]]
Method = TypeVar("Method", bound=Callable[..., Any])


class CannotRecord(Exception):
    """The call does more than launch; it has to be made as a whole."""


class _Tape(threading.local):
    """What a call being recorded launches; `once`: what of it need not be repeated, None where all of it must."""

    launches: list[Launch] | None = None
    once: list[Launch] | None = None


_tape = _Tape()


def launch(function: Callable[..., Any], *arguments: Any) -> None:
    """function(*arguments): a kernel, or a few lines of NumPy, on arrays that stay where they are."""
    if _tape.launches is None:
        function(*arguments)
    else:
        _tape.launches.append((function, arguments))


def fixed() -> bool:
    """Whether a call is being recorded whose parameters keep their values."""
    return _tape.once is not None


def prepare(function: Callable[..., Any], *arguments: Any) -> None:
    """As `launch`, for work that reads parameters only and fills memory from `lasting`."""
    if _tape.once is None:
        launch(function, *arguments)
    else:
        _tape.once.append((function, arguments))


def lasting(name: str, shape: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """Memory for what `prepare` fills: scratch of this name, or the call's own where it is filled once."""
    if _tape.once is None:
        return scratch(name, shape, dtype)
    with separate({}):
        return scratch(name, shape, dtype)


def launches(call: Method) -> Method:
    """Mark a call of the contract, or an algorithm of one, that does all its work through `launch`."""
    call.launches = True  # type: ignore[attr-defined]
    return call


def made_of_calls() -> None:
    """Say that the call goes on to make others of the backend, which may not be launches: `record` gives up."""
    if _tape.launches is not None:
        raise CannotRecord


def record(call: Callable[[], Any], blocks: Blocks, *, fixed: bool = False) -> tuple[list[Launch], list[Launch]]:
    """What `call` would launch: once, before the first run, and at every run. Nothing is computed; scratch memory is
    taken from `blocks`.

    fixed: the call's parameters keep their values; else there is nothing to do once only.

    All work of the call must go through `launch` (see `launches`): what it does by itself is done now and never again.

    Raises:
        CannotRecord: the call says so.
    """
    once: list[Launch] = []
    launches: list[Launch] = []
    _tape.once, _tape.launches = once if fixed else None, launches
    try:
        with separate(blocks):
            call()
    finally:
        _tape.once = _tape.launches = None
    return once, launches
