"""One training step in a fresh process: `python -m fastconv.bench.peers.first_step CONTESTANT REQUEST [memory]`.

Prints a line when the first step is done, which the caller times from the start of the process. With `memory` the line
holds the bytes by which the process grew at most during later steps: beyond libraries, compiled code, parameters,
the optimizer's state and the input.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path

from .contestant import Variant
from .worker import load

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
STEPS = 3
FEW = 10  # images


def main() -> None:
    contestant, request = load(sys.argv[1]), json.loads(sys.argv[2])
    if sys.argv[3:] == ["memory"]:
        print(json.dumps(_growth(contestant, request)))
        return
    next(iter(contestant.prepare(request).values())).run()
    print("done", flush=True)


def _growth(contestant, request) -> dict[str, int]:
    """Peak of the process above where it stood before, by variant.

    Each variant first takes one step on a few images, which loads and compiles its code: libraries have other code for
    a single one. Linux counts the peak anew after a 5 is written to clear_refs (proc(5)).
    """
    if not CLEAR.exists():
        return {}
    few = {**request, "sizes": {**request["sizes"], "N": FEW}}
    growth = {}
    for name in contestant.prepare(few):
        contestant.prepare(few)[name].run()
        variant = contestant.prepare(request)[name]
        growth[name] = _growth_of(variant)
        del variant
    return growth


def _growth_of(variant: Variant) -> int:
    gc.collect()
    if hasattr(trim := ctypes.CDLL(None), "malloc_trim"):
        trim.malloc_trim(0)
    CLEAR.write_text("5")
    before = _status("VmRSS")
    for _ in range(STEPS):
        variant.run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
