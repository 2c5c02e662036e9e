"""Optimizer steps on the GPU: checks and the tables of arrays; the loops are in kernels/cuda/update.cu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...kernels.cuda.source import Kernel
from ..base import Array
from ..checks import FLOATS, require_step
from .graph import refreshing
from .memory import THREADS, GpuMemory, kernel_of, require_order

TENSORS = 64  # of a launch, as in update.cu
PIECE = 1024  # elements of a block
GROUP = np.dtype(
    [("arrays", "u8", (4, TENSORS)), ("sizes", "i8", (TENSORS,)), ("first_piece", "i4", (TENSORS,))], align=True
)
RULES = ("gradient_descent_step", "momentum_step", "adagrad_step", "rmsprop_step", "adadelta_step", "adam_step")


class GpuUpdate(GpuMemory):
    """The update part of the contract."""

    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], velocities: Sequence[Array], *,
        lr: float, momentum: float, nesterov: bool, weight_decay: float,
    ) -> None:  # fmt: skip
        if velocities:
            hyper = (lr, weight_decay, momentum, float(nesterov))
            self._step("sgd_step", "momentum_step", hyper, params, grads, velocities)
        else:
            self._step("sgd_step", "gradient_descent_step", (lr, weight_decay), params, grads)

    def adagrad_step(
        self, params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], *,
        lr: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        self._step("adagrad_step", "adagrad_step", (lr, weight_decay, eps), params, grads, sums)

    def rmsprop_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], *,
        lr: float, alpha: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        hyper = (lr, weight_decay, eps, alpha, 1 - alpha)
        self._step("rmsprop_step", "rmsprop_step", hyper, params, grads, means)

    def adadelta_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], deltas: Sequence[Array], *,
        lr: float, rho: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        hyper = (lr, weight_decay, eps, rho, 1 - rho)
        self._step("adadelta_step", "adadelta_step", hyper, params, grads, means, deltas)

    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], squares: Sequence[Array], *,
        lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
    ) -> None:  # fmt: skip
        coupled, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
        rate, correction = lr / (1 - beta1**step), 1 - beta2**step
        hyper = (rate, coupled, eps, shrink, correction, beta1, 1 - beta1, beta2, 1 - beta2)
        self._step("adam_step", "adam_step", hyper, params, grads, means, squares)

    def _step(
        self, op: str, kernel: str, hyper: Sequence[float], params: Sequence[Array], grads: Sequence[Array],
        *states: Sequence[Array],
    ) -> None:  # fmt: skip
        require_step(op, params, grads, *states)
        if not params:
            return
        for a in (a for arrays in (params, *states) for a in arrays):
            require_order(a)
        dtype = params[0].dtype
        numbers = self._numbers(hyper, dtype)
        if refreshing():
            return
        lying = [g if g.strides == p.strides else self._ordered(g) for p, g in zip(params, grads, strict=True)]
        for group, pieces in self._groups(params, lying, *states):
            self._launch("update", kernel, (pieces,), (THREADS,), (group, numbers), dtype=dtype)

    def _groups(self, *rows: Sequence[Array]) -> Iterator[tuple[Any, int]]:
        """(the table that update.cu calls Group, its number of pieces) for every TENSORS tensors."""
        address = self._device.address
        tensors = [column for column in zip(*rows, strict=True) if column[0].size]
        for start in range(0, len(tensors), TENSORS):
            some = tensors[start : start + TENSORS]
            sizes = np.array([column[0].size for column in some], np.int64)
            pieces = np.cumsum(-(-sizes // PIECE))
            group = np.zeros((), GROUP)
            group["arrays"][: len(rows), : len(some)] = np.array([[address(a) for a in c] for c in some], "u8").T
            group["sizes"][: len(some)] = sizes
            group["first_piece"] = np.iinfo(np.int32).max
            group["first_piece"][: len(some)] = pieces - -(-sizes // PIECE)
            yield group[()], int(pieces[-1])


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [kernel_of("update", name, dtype) for name in RULES for dtype in FLOATS]
