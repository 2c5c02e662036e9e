"""The GPU backend: CUDA C kernels, launched by CuPy, over channels-last arrays."""

from .batch_norm import GpuBatchNorm
from .conv2d_mma import GpuConv2dMma
from .k_max import GpuKMax
from .local_response import GpuLocalResponse
from .loss import GpuLoss
from .pointwise import GpuPointwise
from .pool2d import GpuPool2d
from .update import GpuUpdate


class GpuBackend(GpuConv2dMma, GpuPool2d, GpuKMax, GpuPointwise, GpuBatchNorm, GpuLocalResponse, GpuLoss, GpuUpdate):
    """One NVIDIA GPU; kernels are compiled at first use and kept on disk."""
