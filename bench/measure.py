"""Timing in rounds: every contestant in turn, round by round, so that a ratio is of the same minute.

Results are compared before anything is timed; one that differs is an error and not a row. A contestant's figure is the
median of its rounds, each the mean of enough calls to fill `seconds`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .peers import ENGINE, missing
from .peers.process import Process
from .work import Work

ONE_THREAD = "fastconv, one thread"
# Layers are timed with memory that is there already; whole steps as a user's process finds it.
WHOLE_STEPS = ("training_step", "inference")
SLOWER = 1.25  # a variant that is so much slower than another after two rounds is not timed any more


@dataclass(frozen=True)
class Settings:
    """How long it takes: rounds, and seconds for the calls of one round together; and where.

    device: "cpu" or "gpu". precision: what convolutions and products compute in, on both sides.
    """

    rounds: int = 7
    seconds: float = 0.005
    threads: int = 2
    device: str = "cpu"
    precision: str = "float32"


@dataclass(frozen=True)
class Timing:
    """A contestant's figures for a row: median and minimum over the rounds, of its best variant.

    variants: the median of each, in the row's unit. note: the algorithm.
    """

    median: float
    minimum: float
    rounds: int
    variant: str = ""
    note: str = ""
    variants: dict[str, float] = field(default_factory=dict)


@dataclass
class Row:
    """A measured item: timings by contestant, and who declined with the reason."""

    work: Work
    timings: dict[str, Timing] = field(default_factory=dict)
    declined: dict[str, str] = field(default_factory=dict)

    def ratio(self, peer: str) -> float | None:
        """How many times the peer's time (or memory) ours goes into it: above 1 fastconv is ahead."""
        if ENGINE not in self.timings or peer not in self.timings:
            return None
        return self.timings[peer].median / max(self.timings[ENGINE].median, 1e-12)


class WrongResult(RuntimeError):
    """Two contestants computed different things."""


class Arena:
    """The contestants' processes, started when a row first needs them; a context manager."""

    def __init__(self, peers: list[str], settings: Settings) -> None:
        self.settings = settings
        reasons = {p: missing(p, settings.device) for p in peers}
        self.peers = [p for p, reason in reasons.items() if reason is None]
        self.missing = {p: reason for p, reason in reasons.items() if reason is not None}
        self.versions: dict[str, str] = {}
        self._processes: dict[tuple[str, int, bool], Process] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="fastconv-bench-")

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.close()
        self._folder.cleanup()

    def measure(self, work: Work) -> Row:
        """One row.

        Raises:
            WrongResult: a peer's result differs from ours by more than rounding.
            ContestantError: one failed.
        """
        row = Row(work)
        contestants = self._contestants(work)
        try:
            self._prepare(row, contestants)
        finally:
            for process in contestants.values():
                if process.alive:
                    process.release()
        return row

    def _prepare(self, row: Row, contestants: dict[str, Process]) -> None:
        ready: dict[str, dict[str, Any]] = {}
        for name, process in contestants.items():
            answer = process.prepare(row.work.request(), self.settings.seconds, self._folder.name)
            if "declined" in answer:
                row.declined[name] = answer["declined"]
            else:
                ready[name] = answer["variants"]
        _compare(row.work, ready, self.settings.precision)
        turns = {(name, variant): contestants[name] for name, variants in ready.items() for variant in variants}
        times = _rounds(turns, self.settings.rounds)
        row.timings = {name: _best(name, variants, times) for name, variants in ready.items()}

    def _contestants(self, work: Work) -> dict[str, Process]:
        keep_memory = work.operation not in WHOLE_STEPS
        threads = self.settings.threads
        ours = {ENGINE: self._process(ENGINE, threads, keep_memory)}
        if work.group == "threads":
            return ours | {ONE_THREAD: self._process(ENGINE, 1, keep_memory)}
        return ours | {peer: self._process(peer, threads, keep_memory) for peer in self.peers}

    def _process(self, name: str, threads: int, keep_memory: bool) -> Process:
        key = name, threads, keep_memory
        if key not in self._processes or not self._processes[key].alive:
            self._processes[key] = Process(*key, self.settings.device, self.settings.precision)
            self.versions |= self._processes[key].versions
        return self._processes[key]


# The distance of neighbouring numbers at 1.
ROUNDING = {"float32": 2.0**-23, "tf32": 2.0**-10, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def tolerance(reduction: int, precision: str = "float32") -> float:
    """The difference that rounding explains, relative to the largest value: eps times the root of the longest sum.

    Rounding errors of a sum of n like terms grow as sqrt(n) (Higham & Mary 2019); 16 leaves room for fast algorithms.
    """
    if precision == "float32":
        return 16 * ROUNDING[precision] * max(reduction, 16) ** 0.5
    return 16 * ROUNDING[precision]  # the operands are rounded, sums are float32: errors do not grow with the sum


def _compare(work: Work, ready: dict[str, dict[str, Any]], precision: str) -> None:
    """Every variant's result against the first one's; the files go."""
    first: np.ndarray | None = None
    for name, variants in ready.items():
        for variant, answer in variants.items():
            result = np.load(answer["file"])
            Path(answer["file"]).unlink()
            if first is None:
                first = result
            elif first.shape != result.shape:
                raise WrongResult(f"{work.key}: {name} {variant} gives {result.size} values, not {first.size}")
            else:
                scale = float(np.abs(first).max())
                error = float(np.abs(first - result).max()) / (scale or 1)
                allowed = tolerance(work.reduction, precision)
                if not (error <= allowed):
                    raise WrongResult(
                        f"{work.key}: {name} {variant} differs by {error:.1e} of the largest value, "
                        f"{allowed:.1e} is rounding"
                    )


def _rounds(turns: dict[tuple[str, str], Process], rounds: int) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {turn: [] for turn in turns}
    for i in range(rounds):
        order = list(turns) if i % 2 == 0 else list(reversed(turns))
        for name, variant in order:
            times[name, variant].append(turns[name, variant].time(variant))
        if i == 1:
            turns = {turn: process for turn, process in turns.items() if _promising(turn, times)}
    return times


def _promising(turn: tuple[str, str], times: dict[tuple[str, str], list[float]]) -> bool:
    best = min(min(taken) for (name, _), taken in times.items() if name == turn[0])
    return min(times[turn]) <= SLOWER * best


def _best(name: str, variants: dict[str, Any], times: dict[tuple[str, str], list[float]]) -> Timing:
    medians = {variant: median(times[name, variant]) for variant in variants}
    most = max(len(times[name, variant]) for variant in variants)
    timed = [variant for variant in variants if len(times[name, variant]) == most]
    best = min(timed, key=medians.__getitem__)
    return Timing(
        medians[best], min(times[name, best]), most, best, variants[best]["note"], medians if len(medians) > 1 else {}
    )
