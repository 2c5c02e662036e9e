"""From a Kernel to a function of the CPU: g++ builds its file behind emulator.h, once for all test processes."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HEADERS = sorted(Path(__file__).parent.glob("*.h"))
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-ffp-contract=off", "-fno-gnu-unique")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ENTRY = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)')


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


def library(kernel, flags=()):
    """The built file of the kernel, with all its entries; raises RuntimeError with the compiler's messages."""
    return _library(kernel.file, kernel.source, (*FLAGS, *flags, *kernel.options))


@cache
def _library(name, source, flags):
    entries = "".join(f"FASTCONV_ENTRY({entry})\n" for entry in ENTRY.findall(source))
    text = f'#include "{Path(__file__).with_name("emulator.h")}"\n{source}\n{entries}'
    key = hashlib.sha256("\0".join((*(h.read_text() for h in HEADERS), text, *flags)).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"fastconv-cuda-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{name}-{key}.so"
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
