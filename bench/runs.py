"""Whole training runs on MNIST: the time of an epoch, and from the start of a process to an accuracy.

Each round starts a fresh process for every contestant in turn, with the round's number as its seed.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

from . import child
from .measure import Row, Settings, Timing
from .peers import ENGINE
from .peers.process import environment
from .peers.whole_run import RUNNERS, WARM_IMAGES
from .work import Work


class Short(Exception):
    """A run that ended below its target."""


def measure(work: Work, peers: list[str], settings: Settings) -> Row:
    """One row; a contestant that misses the target with one of the seeds declines, and says so."""
    row = Row(work)
    folder, reason = data_folder()
    if reason:
        row.declined[ENGINE] = reason
        return row
    env = {**environment(settings.threads, keep_memory=False), "FASTCONV_DATA": folder}
    names = [ENGINE, *(p for p in peers if p in RUNNERS)]
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in names}
    for name in names:
        child.output([*_command(name, work, 0), str(WARM_IMAGES)], env)
    for seed in range(max(settings.rounds // 2, 1)):
        for name in names if seed % 2 == 0 else names[::-1]:
            if name not in row.declined:
                try:
                    found[name].append(_run(_command(name, work, seed), env))
                except Short as reached:
                    row.declined[name] = f"{reached} with seed {seed}"
    row.timings = {name: _timing(found[name]) for name in names if name not in row.declined}
    return row


def data_folder() -> tuple[str, str | None]:
    """Where MNIST's files lie, and why they cannot be used, if so; nothing is downloaded."""
    from fastconv.data import load
    from fastconv.data.download import cache_folder
    from fastconv.data.files import chosen_root
    from fastconv.errors import DataError

    folder = str(chosen_root(None) or cache_folder("mnist"))
    try:
        for split in ("train", "test"):
            load("mnist", root=folder, split=split)
    except DataError as error:
        return folder, f"no MNIST here: {error}"
    return folder, None


def _command(name: str, work: Work, seed: int) -> list[str]:
    return [sys.executable, "-m", "fastconv.bench.peers.whole_run", name, work.sizes["recipe"], str(seed)]


def _run(command: list[str], env: dict[str, str]) -> tuple[float, str]:
    """Seconds and a note."""
    seconds, line = child.until_line(command, env)
    answer: dict[str, Any] = json.loads(line)
    if "short" in answer:
        raise Short(f"came to {answer['short']:.2%} only")
    return (answer["seconds"], "") if "seconds" in answer else (seconds, f"{answer['accuracy']:.2%}")


def _timing(found: list[tuple[float, str]]) -> Timing:
    """The note is that of the run with the lowest accuracy."""
    seconds = [s for s, _ in found]
    return Timing(median(seconds), min(seconds), len(seconds), note=min(note for _, note in found))
