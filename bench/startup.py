"""Figures of whole processes: import, command line, first training step with warm and cold caches, peak memory.

Each round starts a fresh process for every contestant in turn. Processes may keep Python's byte code, whatever this
one was told: an installed library has its own, and ours, run from its sources, would be the only one without.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from statistics import median

from . import child
from .measure import Row, Settings, Timing
from .peers import CONTESTANTS, ENGINE
from .peers.process import environment
from .work import Work

IMPORTS = {
    "import_bare": {ENGINE: "fastconv", "torch": "torch", "jax": "jax", "numpy": "numpy"},
    "import_layers": {
        ENGINE: "fastconv as fc; fc.nn, fc.optim, fc.functional, fc.models",
        "torch": "torch, torch.nn, torch.optim, torch.nn.functional",
        "jax": "jax, jax.numpy, jax.nn, jax.lax",
    },
}
# Where the contestants keep compiled code.
CACHES = ("FASTCONV_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")


def measure(work: Work, peers: list[str], settings: Settings) -> Row:
    """One row of the groups start-up and memory."""
    row = Row(work)
    with tempfile.TemporaryDirectory(prefix="fastconv-bench-") as folder:
        run = Runs(work, settings, folder)
        if work.operation in IMPORTS:
            contestants = {n: run.importer(s) for n, s in IMPORTS[work.operation].items() if n in (ENGINE, *peers)}
            row.timings = _in_turn(contestants, settings.rounds)
        elif work.operation == "help":
            row.timings = _in_turn({ENGINE: run.help}, settings.rounds)
        elif work.operation == "training_memory":
            _memory(row, _with_steps(peers), run)
        else:
            cold = work.operation == "first_step_cold"
            steps = {name: (run.cold_step if cold else run.warm_step)(name) for name in _with_steps(peers)}
            # A cold step takes seconds, with little spread.
            row.timings = _in_turn(steps, settings.rounds // 3 if cold else settings.rounds, warm_up=not cold)
    return row


class Runs:
    """Processes that run for one row; each method gives or is a function that returns seconds."""

    def __init__(self, work: Work, settings: Settings, folder: str) -> None:
        self.request = json.dumps({**work.request(), "operation": "training_step"})
        self.environment = environment(settings.threads, keep_memory=False)
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.folder = folder

    def importer(self, modules: str) -> Callable[[], float]:
        code = f"import time; t = time.perf_counter(); import {modules}; print(time.perf_counter() - t)"
        return lambda: float(child.output([sys.executable, "-c", code], self.environment))

    def help(self) -> float:
        return child.wall([sys.executable, "-m", "fastconv", "--help"], self.environment)

    def warm_step(self, name: str) -> Callable[[], float]:
        """A first step that finds all it needs compiled on disk."""
        return lambda: child.until_line(self._step(name), self._with_caches(self.folder))[0]

    def cold_step(self, name: str) -> Callable[[], float]:
        """A first step that finds nothing."""

        def run() -> float:
            with tempfile.TemporaryDirectory(dir=self.folder) as empty:
                return child.until_line(self._step(name), self._with_caches(empty))[0]

        return run

    def memory(self, name: str) -> dict[str, int]:
        """Peak growth in bytes by variant; empty where the system does not say."""
        return json.loads(child.output([*self._step(name), "memory"], self.environment))

    def _step(self, name: str) -> list[str]:
        return [sys.executable, "-m", "fastconv.bench.peers.first_step", name, self.request]

    def _with_caches(self, folder: str) -> dict[str, str]:
        return {**self.environment, **{name: f"{folder}/{name}" for name in CACHES}}


def _with_steps(peers: list[str]) -> list[str]:
    return [ENGINE, *(p for p in peers if CONTESTANTS[p].trains)]


def _memory(row: Row, names: list[str], run: Runs) -> None:
    for name in names:
        growth = run.memory(name)
        if growth:
            best = min(growth, key=growth.__getitem__)
            row.timings[name] = Timing(growth[best], growth[best], 1, best, "", growth)
        else:
            row.declined[name] = "this system does not tell a process's peak"


def _in_turn(runs: dict[str, Callable[[], float]], rounds: int, warm_up: bool = True) -> dict[str, Timing]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(-int(warm_up), rounds):
        for name, run in runs.items():
            seconds = run()
            if i >= 0:
                times[name].append(seconds)
    return {name: Timing(median(t), min(t), len(t)) for name, t in times.items()}
