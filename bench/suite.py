"""One run of the suite: machine and limits, then row after row."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

from . import machine, measure, runs, startup
from .measure import Arena, Row, Settings
from .peak import Limits
from .peers import CONTESTANTS, PEERS, missing
from .peers.process import ContestantError, environment
from .results import Results
from .work import Work

QUICK, FULL = Settings(rounds=7, seconds=0.005), Settings(rounds=11, seconds=0.03)
INTERRUPTED = "interrupted"  # the error of a run that Ctrl-C ended
OWN_PROCESSES = ("startup", "memory", "runs")
CPU_ONLY = (*OWN_PROCESSES, "threads")


def default_peers(quick: bool, device: str = "cpu") -> list[str]:
    """Those that are installed; in the short selection without the further ways to run a peer's whole steps."""
    return [p for p in PEERS if missing(p, device) is None and (CONTESTANTS[p].quick or not quick)]


def limits(threads: int, device: str = "cpu") -> Limits:
    """What the machine can do, measured in a process of its own."""
    command = [sys.executable, "-m", "fastconv.bench.peak", device, str(threads)]
    done = subprocess.run(
        command, env=environment(threads, keep_memory=False), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ContestantError(f"measuring the machine's limits failed:\n{done.stderr[-2000:]}")
    return Limits.from_json(json.loads(done.stdout))


def run(works: list[Work], peers: list[str], settings: Settings, on_row: Callable[[Work, Row | None], None]) -> Results:
    """Measure all rows; `on_row` gets each when it is done, None where it failed. Ctrl-C ends with what there is."""
    others = machine.Others()
    with Arena(peers, settings) as arena:
        measured = limits(settings.threads, settings.device)
        results = Results(machine.describe(settings.device), measured, asdict(settings), missing=arena.missing)
        try:
            for work in works:
                row = _row(work, arena, results.errors)
                if row:
                    results.rows.append(row)
                on_row(work, row)
        except KeyboardInterrupt:
            results.errors.append(INTERRUPTED)
        results.versions = arena.versions
    results.others = others.share()
    results.limits = results.limits.better(limits(settings.threads, settings.device))
    return results


def _row(work: Work, arena: Arena, errors: list[str]) -> Row | None:
    try:
        if work.group == "runs":
            return runs.measure(work, arena.peers, arena.settings)
        if work.group in OWN_PROCESSES:
            return startup.measure(work, arena.peers, arena.settings)
        return arena.measure(work)
    except (measure.WrongResult, ContestantError) as error:
        errors.append(str(error))
        return None
