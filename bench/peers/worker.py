"""The process that serves one contestant: `python -m fastconv.bench.peers.worker NAME DEVICE PRECISION`.

A line of JSON in, a line of JSON out:
    at start                                      {"versions": {...}} or {"error": ...}
    {"do": "prepare", "request", "seconds", "folder"}   {"variants": {name: {"file", "calls", "note"}}} or {"declined"}
    {"do": "time", "variant"}                     {"seconds": of one call, the mean of `calls` after one untimed}
    {"do": "release"}                             {}
`seconds` is how long the calls of one round shall take together; `file` holds the results, an .npy in `folder`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from . import CONTESTANTS
from .contestant import Contestant, Declined, Variant, joined

WARM_UP = 0.03  # seconds, and at least two calls
LET_OTHERS_SLEEP = 0.003  # seconds: idle OpenMP threads of the contestant before spin for about a millisecond


class Worker:
    """Answers one message after the other."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.variants: dict[str, Variant] = {}
        self.calls: dict[str, int] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        return getattr(self, message.pop("do"))(**message)

    def prepare(self, request: dict[str, Any], seconds: float, folder: str) -> dict[str, Any]:
        try:
            self.variants = self.contestant.prepare(request)
        except Declined as reason:
            return {"declined": str(reason)}
        answer = {}
        for i, (name, variant) in enumerate(self.variants.items()):
            path = Path(folder) / f"{os.getpid()}-{i}.npy"
            np.save(path, joined(variant.result()))
            self.calls[name] = max(1, ceil(seconds / warm_up(self.contestant, variant)))
            answer[name] = {"file": str(path), "calls": self.calls[name], "note": variant.note}
        return {"variants": answer}

    def time(self, variant: str) -> dict[str, Any]:
        run, calls = self.variants[variant].run, self.calls[variant]
        time.sleep(LET_OTHERS_SLEEP)
        run()
        return {"seconds": self.contestant.seconds(run, calls) / calls}

    def release(self) -> dict[str, Any]:
        self.variants = {}
        gc.collect()
        return {}


def warm_up(contestant: Contestant, variant: Variant) -> float:
    """Call it for WARM_UP seconds, and at least twice; seconds of the quickest call."""
    best, end = float("inf"), time.perf_counter() + WARM_UP
    for calls in count(1):
        best = min(best, contestant.seconds(variant.run, 1))
        if calls > 1 and time.perf_counter() > end:
            return best


def load(name: str, device: str = "cpu", precision: str = "float32") -> Contestant:
    """The contestant of this name, its libraries imported."""
    entry = CONTESTANTS[name]
    module = importlib.import_module(f".{entry.module}", __package__)
    where = {"device": device, "precision": precision} if "gpu" in entry.devices else {}
    return module.contestant(**where, **dict(entry.options))


def main() -> None:
    """Serve until the input ends. What libraries print goes to the error output: answers are alone on theirs."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    worker = Worker(load(*sys.argv[1:]))
    send({"versions": worker.contestant.versions()})
    for line in sys.stdin:
        try:
            send(worker.answer(json.loads(line)))
        except Exception:  # the asking process raises it (process.py): this one goes on to the next row
            send({"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
