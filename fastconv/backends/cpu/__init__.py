"""The CPU backend: Numba kernels over channels-last NumPy arrays."""

from .batch_norm import CpuBatchNorm
from .binding import CpuBinding
from .conv2d import CpuConv2d
from .conv2d_pool import CpuConv2dPool
from .k_max import CpuKMax
from .layout import CpuLayout
from .linear import CpuLinear
from .local_response import CpuLocalResponse
from .loss import CpuLoss
from .pointwise import CpuPointwise
from .pool2d import CpuPool2d
from .update import CpuUpdate


class CpuBackend(
    CpuBinding,
    CpuLayout,
    CpuConv2dPool,
    CpuConv2d,
    CpuLinear,
    CpuPool2d,
    CpuKMax,
    CpuPointwise,
    CpuBatchNorm,
    CpuLocalResponse,
    CpuLoss,
    CpuUpdate,
):
    """All threads of the CPU; kernels are compiled at first use and kept on disk."""

    name = "cpu"
