"""Where a compiled step's time goes, call by call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..tables import as_text
from ..tensor_files import Path_, write_whole
from .plan import Call
from .table import profile_table

if TYPE_CHECKING:
    from .replay import Replay


@dataclass(frozen=True)
class ProfileRow:
    """One call and its median time in seconds."""

    call: Call
    seconds: float


@dataclass(frozen=True)
class Profile:
    """The calls of a step in order, with their times. Printing it gives a table."""

    rows: tuple[ProfileRow, ...]

    @property
    def total(self) -> float:
        """Seconds of all calls together."""
        return sum(row.seconds for row in self.rows)

    def __str__(self) -> str:
        return as_text(profile_table(self))

    def __rich__(self) -> Any:
        return profile_table(self)

    def save_trace(self, path: Path_) -> None:
        """Write the step as a Chrome trace (open it at ui.perfetto.dev or chrome://tracing).

        Raises:
            DataError: the file cannot be written.
        """
        events, at = [], 0.0
        for row in self.rows:
            events.append(
                {
                    "name": row.call.describe(), "cat": row.call.phase, "ph": "X", "pid": 0, "tid": 0,
                    "ts": at * 1e6, "dur": row.seconds * 1e6,
                    "args": {"multiplications": row.call.multiplications, "bytes": row.call.bytes},
                }
            )  # fmt: skip
            at += row.seconds
        write_whole(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}).encode())


def measure(replay: Replay, inputs: tuple[Any, ...], rounds: int) -> Profile:
    """The median time of each call over `rounds` runs of the step, after one to warm up."""
    times: list[list[float]] = [[] for _ in replay.steps]
    replay.run(inputs)
    for _ in range(rounds):
        replay.enter(inputs)
        for step, seen in zip(replay.steps, times, strict=True):
            start = perf_counter()
            for run in step:
                run.call()
            replay.backend.synchronize()
            seen.append(perf_counter() - start)
    return Profile(tuple(ProfileRow(call, median(t)) for call, t in zip(replay.plan.calls, times, strict=True)))
