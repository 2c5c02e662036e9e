"""Batch normalisation on the CPU: checks and memory; the loops are in kernels/cpu/batch_norm.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.cpu import batch_norm as kernels
from ...kernels.cpu import batch_norm_forms as forms
from ...kernels.cpu.activation import NONE
from ..checks import require_activation, require_batch_norm, require_writeable
from ..host import Array, HostMemory, as_flat, in_order, result
from ..launch import launch, launches
from ..workspace import scratch
from .pointwise import KINDS


class CpuBatchNorm(HostMemory):
    """The batch normalisation of the contract."""

    @launches
    def batch_norm_statistics(
        self, x: Array, running_mean: Array | None, running_var: Array | None, *,
        momentum: float, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        op, running = "batch_norm", {"running_mean": running_mean, "running_var": running_var}
        dtype = require_batch_norm(op, x, batch_statistics=True, **running)
        for name, a in running.items():
            if a is not None:
                require_writeable(op, name, a)
        mean, var = (result(op, out and out[i], x.shape[1:2], dtype) for i in range(2))
        moved, (_, *room) = (_or_empty(a, dtype) for a in running.values()), _room(x, 0)
        launch(
            kernels.batch_norm_statistics, mean, var, *map(as_flat, moved), in_order(x), float(momentum), *room,
            forms.moments(dtype.itemsize),
        )  # fmt: skip
        return mean, var

    @launches
    def batch_norm_forward(
        self, x: Array, mean: Array, var: Array, gamma: Array | None, beta: Array | None, *,
        eps: float, activation: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        require_activation("batch_norm", activation)
        dtype = require_batch_norm("batch_norm", x, mean=mean, var=var, gamma=gamma, beta=beta)
        y = result("batch_norm", out, x.shape, dtype)
        given = (np.ascontiguousarray(_or_empty(a, dtype)) for a in (mean, var, gamma, beta))
        form = forms.scaled_rows(NONE if activation is None else KINDS[activation], dtype.itemsize)
        wide = scratch("batch_norm columns", (3, kernels.columns_of(x.shape[1])), dtype)
        launch(kernels.batch_norm_forward, as_flat(y), in_order(x), *given, float(eps), wide, form)
        return y

    @launches
    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, var: Array, gamma: Array | None, *,
        eps: float, batch_statistics: bool, out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        op = "batch_norm_backward"
        dtype = require_batch_norm(op, x, dy=dy, batch_statistics=batch_statistics, mean=mean, var=var, gamma=gamma)
        dx = result(op, out and out[0], x.shape, dtype)
        dgamma, dbeta = (result(op, out and out[i], x.shape[1:2], dtype) for i in (1, 2))
        given = (np.ascontiguousarray(_or_empty(a, dtype)) for a in (mean, var, gamma))
        item = dtype.itemsize
        rows = forms.gradient_rows(item) if batch_statistics else forms.scaled_rows(NONE, item)
        launch(
            kernels.batch_norm_backward, as_flat(dx), dgamma, dbeta, in_order(dy), in_order(x), *given, float(eps),
            not batch_statistics, *_room(x, 4), (forms.gradient_sums(item), rows),
        )  # fmt: skip
        return dx, dgamma, dbeta


def _or_empty(a: Array | None, dtype: npt.DTypeLike) -> Array:
    """`a`, or no elements: kernels are compiled for arrays."""
    return np.empty(0, dtype) if a is None else a


def _room(x: Array, numbers: int) -> tuple[Array, Array, Array, Array]:
    """Scratch of the kernels: `wide`, some numbers for every column, then `joined`, `parts` and `sums`."""
    columns = kernels.columns_of(x.shape[1])
    chunks = kernels.chunks_of(x.size, columns)
    exact = scratch("batch_norm parts", (1 + chunks, 2, columns), np.float64)
    plain = scratch("batch_norm columns", (numbers + 2 * chunks, columns), x.dtype)
    return plain[:numbers], exact[0], exact[1:], plain[numbers:].reshape(chunks, 2, columns)
