"""Optimizer steps as their papers write them, one parameter after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..checks import require_step
from ..host import Array, HostMemory


class ReferenceUpdate(HostMemory):
    """The update part of the contract."""

    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], velocities: Sequence[Array], *,
        lr: float, momentum: float, nesterov: bool, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("sgd_step", params, grads, *([velocities] if velocities else []))
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            g = g + weight_decay * p
            if velocities:
                v = velocities[i]
                v[...] = momentum * v + g
                g = g + momentum * v if nesterov else v
            p -= lr * g

    def adagrad_step(
        self, params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], *,
        lr: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("adagrad_step", params, grads, sums)
        for p, g, s in zip(params, grads, sums, strict=True):
            g = g + weight_decay * p
            s += g * g
            p -= lr * g / (np.sqrt(s) + eps)

    def rmsprop_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], *,
        lr: float, alpha: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("rmsprop_step", params, grads, means)
        for p, g, m in zip(params, grads, means, strict=True):
            g = g + weight_decay * p
            m[...] = alpha * m + (1 - alpha) * g * g
            p -= lr * g / (np.sqrt(m) + eps)

    def adadelta_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], deltas: Sequence[Array], *,
        lr: float, rho: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("adadelta_step", params, grads, means, deltas)
        for p, g, m, u in zip(params, grads, means, deltas, strict=True):
            g = g + weight_decay * p
            m[...] = rho * m + (1 - rho) * g * g
            d = g * np.sqrt(u + eps) / np.sqrt(m + eps)
            u[...] = rho * u + (1 - rho) * d * d
            p -= lr * d

    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], squares: Sequence[Array], *,
        lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
    ) -> None:  # fmt: skip
        require_step("adam_step", params, grads, means, squares)
        for p, g, m, v in zip(params, grads, means, squares, strict=True):
            if decoupled:
                p *= 1 - lr * weight_decay
            else:
                g = g + weight_decay * p
            m[...] = beta1 * m + (1 - beta1) * g
            v[...] = beta2 * v + (1 - beta2) * g * g
            p -= lr / (1 - beta1**step) * m / (np.sqrt(v / (1 - beta2**step)) + eps)
