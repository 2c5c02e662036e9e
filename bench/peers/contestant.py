"""What a contestant offers: for each operation it knows, one or more ways to run it on given data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import inputs
from ..inputs import Arrays, Request

# A training step's result is its losses over some steps. While it is timed, thousands of steps on one batch must not
# lead to denormals: then it hardly learns.
CHECK_STEPS, CHECK_RATE, TIMED_RATE = 4, 1e-3, 1e-6


class Declined(Exception):
    """This contestant has no such operation; the text says why."""


@dataclass
class Variant:
    """One way to do the work.

    run: once; on the CPU all of it is finished on return. result: what it computes, as arrays in logical order. note:
    the algorithm.
    """

    run: Callable[[], Any]
    result: Callable[[], list[np.ndarray]]
    note: str = ""


class Contestant:
    """A subclass has a method for each operation: method(sizes, arrays) gives its variants by name."""

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries at work."""
        raise NotImplementedError

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        """How long `calls` calls take together; by the device's own clock where it works on after `run` returns."""
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - start

    def prepare(self, request: Request) -> dict[str, Variant]:
        """The ways to do the requested work, on its data; raises Declined."""
        method = getattr(self, request["operation"], None)
        if method is None:
            raise Declined("has no such operation")
        arrays: Arrays = inputs.make(request)
        return method(request["sizes"], arrays)


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """All results in one row, in logical order."""
    return np.concatenate([np.ravel(a) for a in arrays])
