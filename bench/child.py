"""Processes of one job each, timed from outside."""

from __future__ import annotations

import subprocess
import tempfile
import time

from .peers.process import ContestantError

PATIENCE = 300  # seconds


def output(command: list[str], env: dict[str, str] | None) -> str:
    """What it prints; ContestantError with the end of its errors where it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise _failed(command, done.stderr)
    return done.stdout


def wall(command: list[str], env: dict[str, str]) -> float:
    """Seconds from its start to its end."""
    start = time.perf_counter()
    output(command, env)
    return time.perf_counter() - start


def until_line(command: list[str], env: dict[str, str]) -> tuple[float, str]:
    """Seconds from its start to its first line, and the line: what it does to end is not counted."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        process.communicate(timeout=PATIENCE)
        if not line:
            errors.seek(0)
            raise _failed(command, errors.read())
    return seconds, line


def _failed(command: list[str], errors: str) -> ContestantError:
    return ContestantError(f"{' '.join(command[1:4])} failed:\n{errors[-2000:]}")
