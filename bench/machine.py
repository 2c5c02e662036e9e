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


def describe() -> dict[str, Any]:
    """Processor, cores this process may use, vector width in bits, telling features, system, date (UTC)."""
    from fastconv.kernels.cpu import jit

    features = jit.cpu_features()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vector_bits": 8 * jit.vector_bytes(),
        "features": [name for name in TELLING if name in features],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def file_name(machine: dict[str, Any]) -> str:
    """A name for this machine's results: processor, cores, width."""
    words = f"{machine['processor']} {machine['cores']} cores {machine['vector_bits']} bit"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") + ".json"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()
