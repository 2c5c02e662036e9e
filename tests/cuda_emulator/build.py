"""From a Kernel to a function of the CPU: g++ builds its source behind emulator.h, once for all test processes."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HEADER = Path(__file__).parent / "emulator.h"
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-ffp-contract=off")


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


@cache
def library(kernel):
    """The built kernel; raises RuntimeError with the compiler's messages."""
    text = f'#include "{HEADER}"\n{kernel.source}\nFASTCONV_ENTRY({kernel.name})\n'
    flags = (*FLAGS, *kernel.options)
    key = hashlib.sha256("\0".join((HEADER.read_text(), text, *flags)).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"fastconv-cuda-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{kernel.file}-{kernel.name}-{key}.so"
    if not built.exists():
        _build(text, flags, built)
    return ctypes.CDLL(str(built))


def _build(text, flags, built):
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        source, made = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        source.write_text(text)
        done = subprocess.run([compiler(), *flags, "-o", made, source], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{built.stem} does not build for the emulator ({' '.join(flags)}):\n{done.stderr}")
        made.replace(built)
