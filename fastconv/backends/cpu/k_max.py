"""k-max pooling on the CPU: checks and memory; the loops are in kernels/cpu/k_max.py."""

from __future__ import annotations

from ...kernels.cpu import k_max as kernels
from ..host import Array, HostMemory, as_flat, in_order, result
from ..k_max import PLACE, require_k_max, require_k_max_backward, rows_in_memory
from ..launch import launch, launches


class CpuKMax(HostMemory):
    """The k-max pooling of the contract."""

    @launches
    def k_max_forward(
        self, x: Array, k: int, axis: int, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype, shape, axis = require_k_max(x, k, axis)
        y = result("k_max", out and out[0], shape, dtype)
        places = result("k_max", out and out[1], shape, PLACE)
        _, beside = rows_in_memory(shape, axis)
        launch(kernels.k_max_forward, as_flat(y), as_flat(places), in_order(x), x.shape[axis], k, beside)
        return y, places

    @launches
    def k_max_backward(self, dy: Array, places: Array, size: int, axis: int, *, out: Array | None = None) -> Array:
        dtype, shape, axis = require_k_max_backward(dy, places, size, axis)
        dx = result("k_max_backward", out, shape, dtype)
        _, beside = rows_in_memory(shape, axis)
        launch(kernels.k_max_backward, as_flat(dx), in_order(dy), in_order(places), size, dy.shape[axis], beside)
        return dx
