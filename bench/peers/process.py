"""The measuring side of a contestant's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from ..inputs import Request

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# glibc: keep freed memory instead of handing it back, so that a result's fresh pages are not what is timed.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}


class ContestantError(RuntimeError):
    """A contestant that failed or whose process ended."""


def environment(threads: int, keep_memory: bool) -> dict[str, str]:
    """The variables of a contestant's process: the same number of threads for every library."""
    own = {name: str(threads) for name in THREADS}
    # JAX counts the processors it may use, and its pool takes no other hint.
    xla = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    return {**os.environ, **own, "XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu", **(KEEP_MEMORY if keep_memory else {})}


class Process:
    """One contestant in a process of its own, asked one thing at a time; a context manager.

    keep_memory: freed memory stays with the process (single layers are timed so, as in a compiled step); else memory
    is what a user's process gets.
    """

    def __init__(
        self, name: str, threads: int, keep_memory: bool, device: str = "cpu", precision: str = "float32"
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastconv.bench.peers.worker", name, device, precision],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment(threads, keep_memory),
            start_new_session=True,  # a terminal's Ctrl-C is for the asking process, which ends this one
        )  # fmt: skip
        self.versions: dict[str, str] = self._answer()["versions"]

    def prepare(self, request: Request, seconds: float, folder: str) -> dict[str, Any]:
        """Make the data, compile, compute once, warm up; see worker.py for the answer."""
        return self._ask(do="prepare", request=request, seconds=seconds, folder=folder)

    def time(self, variant: str) -> float:
        """Seconds of one call in one round."""
        return self._ask(do="time", variant=variant)["seconds"]

    def release(self) -> None:
        """Forget the prepared work."""
        self._ask(do="release")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **message: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the reason stands in the errors, which _answer reads
            print(json.dumps(message), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise ContestantError(f"{self.name}: its process ended\n{self._errors.read()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantError(f"{self.name}: {answer['error']}")
        return answer
