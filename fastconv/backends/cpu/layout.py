"""Reshaping on the CPU: images to rows and back without NumPy's slow strided copy."""

from __future__ import annotations

from collections.abc import Sequence

from ...kernels.cpu import layout as kernels
from ..checks import require_reshape
from ..host import Array, HostMemory, as_channels_last, result
from ..launch import launch, launches, made_of_calls


class CpuLayout(HostMemory):
    """The reshape of the contract, for maps (N, C, H, W) that become rows (N, C*H*W) and rows that become maps."""

    @launches
    def reshape(self, a: Array, shape: Sequence[int], *, out: Array | None = None) -> Array:
        shape = require_reshape(a, shape)
        if a.dtype.kind != "f" or (a.ndim, len(shape)) not in ((4, 2), (2, 4)) or a.shape[0] != shape[0]:
            made_of_calls()
            return super().reshape(a, shape, out=out)
        N, C, H, W = a.shape if a.ndim == 4 else shape
        if out is None and (C == 1 or H * W == 1):
            return super().reshape(a, shape)
        y = result("reshape", out, shape, a.dtype)
        if a.ndim == 4:
            launch(kernels.transpose_images, y.reshape(-1), as_channels_last(a).reshape(-1), N, C, H * W)
        else:
            planar = a if a.flags.c_contiguous else a.copy()
            launch(kernels.transpose_images, as_channels_last(y).reshape(-1), planar.reshape(-1), N, H * W, C)
        return y
