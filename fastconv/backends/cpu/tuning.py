"""What `fastconv tune` measured: the algorithm that beat the built-in choice, for a problem on this computer.

A JSON file in the folder of compiled kernels keeps it. Its name carries a hash of all kernels, of the code that plans
their work and of the CPU's features, so that a change of any of them forgets what was measured. The file is read once,
at the first convolution; the environment variable FASTCONV_TUNING=off leaves it unread. Whatever it holds, only an
algorithm that would take the problem anyway can be chosen, so a damaged or hostile file costs time at worst.

The key holds the size of the thread pool, not the number of threads in use: within a process results do not depend on
fc.set_threads with a tuned choice either.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ...kernels.cpu import disk_cache, jit
from ...kernels.cpu.threads import most_threads

REASON = "measured fastest here by fastconv tune"
MOST_BYTES = 1 << 20
OFF = ("off", "0", "no", "false")


def fastest(g: Conv2dGeometry, direction: str, dtype: Any = "float32") -> str | None:
    """The name of the algorithm that was measured to beat the built-in choice, or None."""
    return _fastest(g, direction, np.dtype(dtype)) if _winners() else None


def key(g: Conv2dGeometry, direction: str, dtype: Any) -> str:
    """What a winner is remembered under."""
    return f"{g.name} {direction} {np.dtype(dtype)} {most_threads()} threads"


def file() -> Path | None:
    """Where winners are remembered; None where no folder can be written to."""
    folder = jit.cache_folder()
    return None if folder is None else folder / _file_name()


def remember(found: Mapping[str, str | None]) -> Path | None:
    """Add winners by `key` to those that stand; None takes one out. Returns the file, None where there is no folder.

    Raises:
        OSError: the file cannot be written.
    """
    path = file()
    if path is None:
        return None
    winners = {k: name for k, name in ({**_read(path), **found}).items() if name is not None}
    disk_cache.write(path, json.dumps({"winners": winners}, indent=1, sort_keys=True).encode())
    _reread()
    return path


def forget() -> int:
    """Remove everything that was measured with these kernels; how many winners that were."""
    path = file()
    count = 0 if path is None else len(_read(path))
    if path is not None:
        path.unlink(missing_ok=True)
    _reread()
    return count


@lru_cache(maxsize=4096)
def _fastest(g: Conv2dGeometry, direction: str, dtype: np.dtype[Any]) -> str | None:
    return _winners().get(key(g, direction, dtype))


@cache
def _winners() -> dict[str, str]:
    if os.environ.get("FASTCONV_TUNING", "").lower() in OFF:
        return {}
    for folder in reversed(jit.cache_folders()):
        if found := _read(folder / _file_name()):
            return found
    return {}


def _reread() -> None:
    _winners.cache_clear()
    _fastest.cache_clear()


def _read(path: Path) -> dict[str, str]:
    """The winners in a file; none where it is missing, too large or anything else than `remember` writes."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    winners = content.get("winners") if isinstance(content, dict) else None
    if not isinstance(winners, dict):
        return {}
    return {k: name for k, name in winners.items() if isinstance(name, str)}


@cache
def _file_name() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"tuning-{digest.hexdigest()[:16]}.json"
