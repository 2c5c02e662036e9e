"""Optimizer steps on the CPU: checks and addresses; the loops are in kernels/cpu/update.py."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from ...kernels.cpu import update as kernels
from ..checks import require, require_step
from ..host import Array, HostMemory, as_channels_last, as_flat

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
    if not params:
        require_step(op, params, grads, *states)
        return
    key = op, id(params[0])
    group = _groups.get(key)
    if group is None or not group.holds(params, states) or len(grads) != len(params):
        group = _Group(op, params, grads, states, forget=lambda _: _groups.pop(key, None))
        _groups[key] = group
    lying = [_in_order_of(op, i, p, g) for i, (p, g) in enumerate(zip(params, grads, strict=True))]
    addresses = group.addresses.copy()
    addresses[1] = [_address(g) for g in lying]
    kernel(group.starts, addresses, np.array(hyper, params[0].dtype))


class _Group:
    """Parameters and states of one optimizer group, checked once, with the addresses of their memory.

    Checking and asking 30 arrays for their address costs three times what LeNet's whole step computes, and they are the
    same arrays in every step. The group keeps none of them alive: an array that is gone, or another one in its place,
    makes a new group; with the first parameter the group itself is forgotten. Gradients are looked at in every step.
    """

    def __init__(
        self, op: str, params: Sequence[Array], grads: Sequence[Array], states: Sequence[Sequence[Array]],
        forget: Callable[[weakref.ref[Array]], object],
    ) -> None:  # fmt: skip
        require_step(op, params, grads, *states)
        self.members = [weakref.ref(a) for a in chain(params[1:], *states)]
        self.members.insert(0, weakref.ref(params[0], forget))
        self.starts = np.cumsum([0] + [p.size for p in params], dtype=np.int64)
        self.addresses = np.zeros((2 + len(states), len(params)), np.int64)
        self.addresses[0] = [_address(as_flat(p)) for p in params]
        for row, state in enumerate(states, 2):
            self.addresses[row] = [_address(as_flat(a)) for a in state]

    def holds(self, params: Sequence[Array], states: Sequence[Sequence[Array]]) -> bool:
        arrays = list(chain(params, *states))
        return len(arrays) == len(self.members) and all(
            member() is a for member, a in zip(self.members, arrays, strict=True)
        )


_groups: dict[tuple[str, int], _Group] = {}


def _in_order_of(op: str, i: int, p: Array, g: Array) -> Array:
    """The gradient with its elements in the order of the parameter's memory."""
    if g.strides == p.strides and g.shape == p.shape and g.dtype == p.dtype:
        return g
    require(op, f"gradient {i}", g, p.shape, p.dtype)
    return as_channels_last(g) if p.ndim == 4 else np.ascontiguousarray(g)


def _address(a: Array) -> int:
    address: int = a.__array_interface__["data"][0]
    return address
