"""The GPU backend: CUDA C kernels, launched by CuPy, over channels-last arrays."""

from .pointwise import GpuPointwise


class GpuBackend(GpuPointwise):
    """One NVIDIA GPU; kernels are compiled at first use and kept on disk."""
