"""Optimizer steps on the CPU: checks and addresses; the loops are in kernels/cpu/update.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...kernels.cpu import update as kernels
from ..host import Array, HostMemory, as_channels_last, as_flat, require_step

Kernel = Callable[[Array, Array, Array], None]


class CpuUpdate(HostMemory):
    """The update part of the contract."""

    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], velocities: Sequence[Array], *,
        lr: float, momentum: float, nesterov: bool, weight_decay: float,
    ) -> None:  # fmt: skip
        if velocities:
            hyper = (lr, weight_decay, momentum, nesterov)
            _step("sgd_step", kernels.momentum_step, hyper, params, grads, velocities)
        else:
            _step("sgd_step", kernels.gradient_descent_step, (lr, weight_decay), params, grads)

    def adagrad_step(
        self, params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], *,
        lr: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        _step("adagrad_step", kernels.adagrad_step, (lr, weight_decay, eps), params, grads, sums)

    def rmsprop_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], *,
        lr: float, alpha: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        hyper = (lr, weight_decay, eps, alpha, 1 - alpha)
        _step("rmsprop_step", kernels.rmsprop_step, hyper, params, grads, means)

    def adadelta_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], deltas: Sequence[Array], *,
        lr: float, rho: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        hyper = (lr, weight_decay, eps, rho, 1 - rho)
        _step("adadelta_step", kernels.adadelta_step, hyper, params, grads, means, deltas)

    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], squares: Sequence[Array], *,
        lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
    ) -> None:  # fmt: skip
        coupled, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
        rate, correction = lr / (1 - beta1**step), 1 - beta2**step
        hyper = (rate, coupled, eps, shrink, correction, beta1, 1 - beta1, beta2, 1 - beta2)
        _step("adam_step", kernels.adam_step, hyper, params, grads, means, squares)


def _step(
    op: str, kernel: Kernel, hyper: Sequence[float], params: Sequence[Array], grads: Sequence[Array],
    *states: Sequence[Array],
) -> None:  # fmt: skip
    require_step(op, params, grads, *states)
    if not params:
        return
    rows = [[as_flat(p) for p in params], [_in_order_of(p, g) for p, g in zip(params, grads, strict=True)]]
    rows += [[as_flat(a) for a in state] for state in states]
    starts = np.cumsum([0] + [p.size for p in params], dtype=np.int64)
    addresses = np.array([[_address(a) for a in row] for row in rows], np.int64)
    kernel(starts, addresses, np.array(hyper, params[0].dtype))


def _in_order_of(p: Array, g: Array) -> Array:
    """The gradient's elements in the order of the parameter's memory."""
    return (as_channels_last(g) if p.ndim == 4 else np.ascontiguousarray(g)).reshape(-1)


def _address(a: Array) -> int:
    address: int = a.__array_interface__["data"][0]
    return address
