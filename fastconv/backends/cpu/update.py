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
    if _are(group.gradients, grads):
        addresses = group.addresses
    else:
        lying = [_in_order_of(op, i, p, g) for i, (p, g) in enumerate(zip(params, grads, strict=True))]
        addresses = group.with_gradients(grads, lying)
    kernel(group.starts, addresses, np.array(hyper, params[0].dtype))


class _Group:
    """Parameters and states of one optimizer group, checked once, with the addresses of their memory.

    Checking and asking 30 arrays for their address costs three times what LeNet's whole step computes, and they are the
    same arrays in every step. The group keeps none of them alive: an array that is gone, or another one in its place,
    makes a new group; with the first parameter the group itself is forgotten. Gradients are other arrays in every eager
    step and the same ones in a compiled one: 23 us and 9 us for LeNet's step of ten.
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
        self.gradients: list[weakref.ref[Array]] = []

    def holds(self, params: Sequence[Array], states: Sequence[Sequence[Array]]) -> bool:
        return _are(self.members, list(chain(params, *states)))

    def with_gradients(self, grads: Sequence[Array], lying: Sequence[Array]) -> Array:
        """The addresses with those of the gradients, remembered unless one had to be copied."""
        addresses = self.addresses.copy()
        addresses[1] = [_address(g) for g in lying]
        if all(a is g for a, g in zip(lying, grads, strict=True)):
            self.addresses, self.gradients = addresses, [weakref.ref(g) for g in grads]
        return addresses


def _are(members: Sequence[weakref.ref[Array]], arrays: Sequence[Array]) -> bool:
    """Whether these are the very arrays that were remembered."""
    if len(members) != len(arrays):
        return False
    for member, a in zip(members, arrays, strict=True):  # noqa: SIM110 (a loop takes half the time of all())
        if member() is not a:
            return False
    return True


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
