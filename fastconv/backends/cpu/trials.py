"""Timing the algorithms of a convolution against each other, in turn, on one problem."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ..base import Backend
from ..checks import DIRECTIONS

ROUNDS = 7
HOPELESS = 3.0  # times the fastest one's time: such an algorithm is timed in the warm-up only
SAMPLE_SECONDS = 1e-3  # a short call is repeated until one sample takes this long
WORTH = 1.03  # the built-in choice has to take so many times the winner's time

Run = Callable[[], Any]


@dataclass(frozen=True)
class Trial:
    """seconds: the median for each algorithm, in the order of choice; default: what is chosen without measuring."""

    geometry: Conv2dGeometry
    direction: str
    dtype: str
    default: str
    seconds: dict[str, float]

    @property
    def fastest(self) -> str:
        return min(self.seconds, key=self.seconds.__getitem__)

    @property
    def gain(self) -> float:
        """How many times the fastest one's time the built-in choice takes."""
        return self.seconds[self.default] / self.seconds[self.fastest]

    @property
    def winner(self) -> str | None:
        """The algorithm to remember, or None where the built-in choice is as good."""
        return self.fastest if self.gain > WORTH else None


def trial(
    backend: Backend, g: Conv2dGeometry, direction: str, names: list[str], dtype: str = "float32", rounds: int = ROUNDS
) -> Trial:
    """Time these algorithms on random numbers; the first of them is the built-in choice."""
    run = _calls(backend, g, dtype)[direction]
    runs: dict[str, Run] = {name: partial(run, name) for name in names}
    for once in runs.values():
        once()  # compiles
    seconds = {name: _seconds(once) for name, once in runs.items()}
    limit = HOPELESS * min(seconds.values())
    repeats = {name: max(1, math.ceil(SAMPLE_SECONDS / s)) for name, s in seconds.items() if s <= limit}
    samples: dict[str, list[float]] = {name: [] for name in repeats}
    for _ in range(max(rounds, ROUNDS)):
        for name, count in repeats.items():
            samples[name].append(_seconds(runs[name], count))
    timed = {name: median(samples[name]) if name in samples else s for name, s in seconds.items()}
    return Trial(g, direction, dtype, names[0], timed)


def _seconds(run: Run, count: int = 1) -> float:
    start = perf_counter()
    for _ in range(count):
        run()
    return (perf_counter() - start) / count


def _calls(be: Backend, g: Conv2dGeometry, dtype: str) -> dict[str, Callable[[str], Any]]:
    """For each direction the call that one algorithm's name completes; results go into memory that is there."""
    rng = np.random.default_rng(0)
    shapes = (g.x_shape, g.w_shape, (g.OC,), g.y_shape)
    x, w, b, dy = (be.asarray(rng.standard_normal(shape, np.float32), dtype) for shape in shapes)
    y, dx, dw, db = (be.empty(shape, dtype) for shape in (g.y_shape, g.x_shape, g.w_shape, (g.OC,)))
    calls = (
        lambda name: be.conv2d_forward(x, w, b, g, algorithm=name, out=y),
        lambda name: be.conv2d_backward_data(dy, w, g, algorithm=name, out=dx),
        lambda name: be.conv2d_backward_weight(dy, x, g, algorithm=name, out=(dw, db)),
    )
    return dict(zip(DIRECTIONS, calls, strict=True))
