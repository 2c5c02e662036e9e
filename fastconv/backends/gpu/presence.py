"""Whether this machine has a GPU that the kernels run on, and if not, what is missing."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

OLDEST = 75  # compute capability, as in sm_75: the kernels need its instructions
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def missing() -> str | None:
    """Why the GPU cannot be used, and what to do; None where it can. CuPy is imported only where a driver is."""
    if importlib.util.find_spec("cupy") is None:
        return 'CuPy is not installed: pip install "fastconv[cuda13]"'
    if not _has_driver():
        return f"CuPy is installed, but there is no NVIDIA driver ({_DRIVER} cannot be loaded); use fc.use('cpu')"
    try:
        import cupy
    except ImportError as error:
        return f'CuPy cannot be imported: {error}; reinstall it: pip install "fastconv[cuda13]"'
    runtime = cupy.cuda.runtime
    try:
        if runtime.getDeviceCount() == 0:
            return "the NVIDIA driver sees no GPU"
        properties = runtime.getDeviceProperties(runtime.getDevice())
    except runtime.CUDARuntimeError as error:
        if "InsufficientDriver" in str(error):
            return 'the NVIDIA driver is older than CuPy\'s CUDA: update it, or try pip install "fastconv[cuda12]"'
        return f"the NVIDIA driver gives no GPU: {error}"
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        return (
            f"CuPy does not find CUDA's compiler, NVRTC: {str(error).strip()}; "
            'pip install "fastconv[cuda13]" brings it'
        )
    if 10 * properties["major"] + properties["minor"] < OLDEST:
        return (
            f"{properties['name'].decode()} has compute capability {properties['major']}.{properties['minor']}; "
            f"the kernels need {OLDEST // 10}.{OLDEST % 10} (Turing) or newer"
        )
    return None


def _has_driver() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True
