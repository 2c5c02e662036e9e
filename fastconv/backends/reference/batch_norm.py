"""Batch normalisation by its formulas, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import require_activation, require_batch_norm
from ..host import Array, HostMemory
from .store import silent, store


class ReferenceBatchNorm(HostMemory):
    """The batch normalisation of the contract."""

    @silent
    def batch_norm_statistics(
        self, x: Array, running_mean: Array | None, running_var: Array | None, *,
        momentum: float, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        dtype = require_batch_norm(
            "batch_norm", x, batch_statistics=True, running_mean=running_mean, running_var=running_var
        )
        C, axes = x.shape[1], _others(x)
        mean, var = x.mean(axes, np.float64), x.var(axes, np.float64)
        for running, s in ((running_mean, mean), (running_var, var * x.size / (x.size - C))):
            if running is not None:
                running[...] = (1 - momentum) * running + momentum * s
        mean_out, var_out = (None, None) if out is None else out
        return store(mean, mean_out, (C,), dtype), store(var, var_out, (C,), dtype)

    @silent
    def batch_norm_forward(
        self, x: Array, mean: Array, var: Array, gamma: Array | None, beta: Array | None, *,
        eps: float, activation: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        dtype = require_batch_norm("batch_norm", x, mean=mean, var=var, gamma=gamma, beta=beta)
        require_activation("batch_norm", activation)
        y = _normalised(x, mean, var, eps) * _along(x, 1.0 if gamma is None else gamma)
        y = store(y + _along(x, 0.0 if beta is None else beta), out, x.shape, dtype)
        return y if activation is None else self.activation_forward(activation, y, out=y)

    @silent
    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, var: Array, gamma: Array | None, *,
        eps: float, batch_statistics: bool, out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        op = "batch_norm_backward"
        dtype = require_batch_norm(op, x, dy=dy, batch_statistics=batch_statistics, mean=mean, var=var, gamma=gamma)
        C, xhat = x.shape[1], _normalised(x, mean, var, eps)
        dbeta, dgamma = dy.sum(_others(x), np.float64), (dy * xhat).sum(_others(x), np.float64)
        dx = np.asarray(dy, np.float64)
        if batch_statistics:
            dx = dx - (_along(x, dbeta) + xhat * _along(x, dgamma)) / (x.size // C)
        scale = (1.0 if gamma is None else gamma) / np.sqrt(np.float64(var) + eps)
        dx_out, dgamma_out, dbeta_out = (None, None, None) if out is None else out
        return (
            store(dx * _along(x, scale), dx_out, x.shape, dtype),
            store(dgamma, dgamma_out, (C,), dtype),
            store(dbeta, dbeta_out, (C,), dtype),
        )


def _normalised(x: Array, mean: Array, var: Array, eps: float) -> Array:
    return (x - _along(x, mean)) / np.sqrt(_along(x, var) + eps)


def _along(x: Array, a: Any) -> Array:
    """A value of each channel, as it broadcasts over x."""
    return np.asarray(a, np.float64).reshape(-1, *(1,) * (x.ndim - 2))


def _others(x: Array) -> tuple[int, ...]:
    """All axes but the channels'."""
    return (0, *range(2, x.ndim))
