"""A compiled step as one CUDA graph: launched as a whole, with the numbers that change refreshed before.

A learning rate, a step count or a dropout seed reaches a kernel through device memory (`GpuMemory._numbers`). While a
step is captured each of these calls keeps its place in memory, and the numbers are written there once the capture is
over; before the graph is launched again the live calls are made once more, and all they do then is write their numbers
to those places.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from ..base import Array, Run
from .device import Device


class StepGraph:
    """The runs of a step as a function: the first call makes them one by one, the second captures them."""

    def __init__(self, device: Device, runs: Sequence[Run]) -> None:
        self._device, self._runs = device, runs
        self._numbers: list[Array] = []
        self._first_stores: list[Callable[[], None]] = []
        self._launch: Callable[[], None] | None = None
        self._seen = False

    def __call__(self) -> None:
        if not self._seen:  # kernels are compiled and the memory pool is filled, which a capture cannot do
            self._seen = True
            for run in self._runs:
                run.call()
            return
        if self._launch is None:
            self._numbers.clear()
            self._first_stores.clear()  # of a capture that failed
            with _doing(self, "capture"):
                self._launch = self._device.capture(self._runs)
            for store in self._first_stores:
                store()
            self._first_stores.clear()
        else:
            self._refresh()
        self._launch()

    def _refresh(self) -> None:
        with _doing(self, "refresh") as doing:
            for run in self._runs:
                if run.kind == "live":
                    run.call()
        assert doing.count == len(self._numbers), "the live calls of a step are always the same"


class _doing:
    """What the calling thread does with a step's graph at the moment."""

    def __init__(self, graph: StepGraph, what: str) -> None:
        self.graph, self.what, self.count = graph, what, 0

    def __enter__(self) -> _doing:
        _current.doing = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.doing = None


class _Current(threading.local):
    doing: _doing | None = None


_current = _Current()


def numbers_place(allocate: Callable[[], Array], store: Callable[[Array], None]) -> Array:
    """Device memory for a call's numbers, with store(memory) done: after the capture where a step is captured."""
    doing = _current.doing
    if doing is not None and doing.what == "refresh":
        place = doing.graph._numbers[doing.count]
        doing.count += 1
    else:
        place = allocate()
    if doing is not None and doing.what == "capture":
        doing.graph._numbers.append(place)
        doing.graph._first_stores.append(partial(store, place))
    else:
        store(place)
    return place


def refreshing() -> bool:
    """Whether a call is made for its numbers only and shall launch nothing else."""
    return _current.doing is not None and _current.doing.what == "refresh"
