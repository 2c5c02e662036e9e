"""Ctrl-C while training: the batch in hand is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C between two batches; the text says how to go on.

    where: the last batch done. saved: the checkpoint written, None where no folder was named.
    """

    def __init__(self, where: str, saved: Path | None) -> None:
        self.where, self.saved = where, saved
        how = (
            "nothing was saved, because Trainer(checkpoint=...) names no folder"
            if saved is None
            else f"saved in {saved}; fit(..., resume=True) goes on from there"
        )
        super().__init__(f"training stopped {where}; {how}")


class Request:
    """Whether Ctrl-C was pressed."""

    pending = False


@contextmanager
def deferred() -> Iterator[Request]:
    """Inside this block the first Ctrl-C only sets `pending`; a second one interrupts at once, as usual.

    Signals reach the main thread alone, so elsewhere this does nothing.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def note(number: int, frame: Any) -> None:
        request.pending = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, previous)
