"""Whether operations are recorded for a backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_recording: ContextVar[bool] = ContextVar("fastconv_recording", default=True)


def is_recording() -> bool:
    """True where operations on tensors that require a gradient are recorded."""
    return _recording.get()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside this block (or function, as a decorator) nothing is recorded: less memory, no backward."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)
