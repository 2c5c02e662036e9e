"""The one way from a call of the backend to its kernels: at once, or noted down to be made again and again.

A compiled step makes the same calls on the same arrays at every run. What a call does before its kernels start (checks,
choice of an algorithm, scratch memory, views) has to happen once only: `record` makes the call without its work and
gives back the list of launches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .workspace import Blocks, separate

Launch = tuple[Callable[..., Any], tuple[Any, ...]]
Method = TypeVar("Method", bound=Callable[..., Any])


class CannotRecord(Exception):
    """The call does more than launch; it has to be made as a whole."""


class _Tape(threading.local):
    launches: list[Launch] | None = None


_tape = _Tape()


def launch(function: Callable[..., Any], *arguments: Any) -> None:
    """function(*arguments): a kernel, or a few lines of NumPy, on arrays that stay where they are."""
    if _tape.launches is None:
        function(*arguments)
    else:
        _tape.launches.append((function, arguments))


def launches(call: Method) -> Method:
    """Mark a call of the contract, or an algorithm of one, that does all its work through `launch`."""
    call.launches = True  # type: ignore[attr-defined]
    return call


def made_of_calls() -> None:
    """Say that the call goes on to make others of the backend, which may not be launches: `record` gives up."""
    if _tape.launches is not None:
        raise CannotRecord


def record(call: Callable[[], Any], blocks: Blocks) -> list[Launch]:
    """What `call` would launch. Nothing is computed; its scratch memory is taken from `blocks`.

    All work of the call must go through `launch` (see `launches`): what it does by itself is done now and never again.

    Raises:
        CannotRecord: the call says so.
    """
    launches: list[Launch] = []
    _tape.launches = launches
    try:
        with separate(blocks):
            call()
    finally:
        _tape.launches = None
    return launches
