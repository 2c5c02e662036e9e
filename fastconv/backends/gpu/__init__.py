"""The GPU backend: CUDA C kernels, launched by CuPy, over channels-last arrays."""

from .pointwise import GpuPointwise
from .pool2d import GpuPool2d


class GpuBackend(GpuPointwise, GpuPool2d):
    """One NVIDIA GPU; kernels are compiled at first use and kept on disk."""
