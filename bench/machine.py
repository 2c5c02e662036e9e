"""What the figures were taken on: processor, its features, versions."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The features that decide how fast dense arithmetic can be, by LLVM's names.
TELLING = (
    "avx2",
    "fma",
    "avx512f",
    "avx512vl",
    "avx512bf16",
    "avx512fp16",
    "amx-tile",
    "amx-bf16",
    "neon",
    "sve",
    "bf16",
)


def describe(device: str = "cpu") -> dict[str, Any]:
    """The processor or the graphics processor with what decides its speed; system, Python, date (UTC)."""
    return {
        **(_gpu() if device == "gpu" else _cpu()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _cpu() -> dict[str, Any]:
    """Processor, cores this process may use, vector width in bits, telling features."""
    from fastconv.kernels.cpu import jit

    features = jit.cpu_features()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vector_bits": 8 * jit.vector_bytes(),
        "features": [name for name in TELLING if name in features],
    }


def _gpu() -> dict[str, Any]:
    """Name, multiprocessors, architecture, CUDA version of driver and run time."""
    from fastconv.backends.gpu.measure import describe

    return describe()


def title(machine: dict[str, Any]) -> str:
    """The machine in a line."""
    if "architecture" in machine:
        return (
            f"{machine['processor']}, {machine['cores']} multiprocessors, {machine['architecture']}, "
            f"CUDA {machine['cuda']} (driver {machine['driver']})"
        )
    features = ", ".join(machine["features"])
    return f"{machine['processor']}, {machine['cores']} cores, {machine['vector_bits']}-bit vectors ({features})"


class Others:
    """How much of the processors went to others (and to the host of a virtual machine) since this was made.

    Only finished child processes count as our own, so ask when they are. Linux tells; elsewhere the answer is None.
    """

    STAT = Path("/proc/stat")

    def __init__(self) -> None:
        self._start = self._read()

    def share(self) -> float | None:
        """From 0 to 1."""
        if self._start is None:
            return None
        everyone, busy, own = (now - then for now, then in zip(self._read() or (), self._start, strict=True))
        return max(0.0, (busy - own) / max(everyone, 1.0))

    def _read(self) -> tuple[float, float, float] | None:
        """Seconds of all processors together, those that were busy, our own (with our children's)."""
        if not self.STAT.exists():
            return None
        ticks = [int(n) for n in self.STAT.read_text().split("\n", 1)[0].split()[1:9]]  # proc(5): user ... steal
        unit, idle = os.sysconf("SC_CLK_TCK"), ticks[3] + ticks[4]
        return sum(ticks) / unit, (sum(ticks) - idle) / unit, sum(os.times()[:4])


def file_name(machine: dict[str, Any], precision: str = "float32") -> str:
    """A name for this machine's results: processor, cores and width, or the graphics processor and the precision."""
    if "architecture" in machine:
        words = f"{machine['processor']} {precision}"
    else:
        words = f"{machine['processor']} {machine['cores']} cores {machine['vector_bits']} bit"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") + ".json"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()
