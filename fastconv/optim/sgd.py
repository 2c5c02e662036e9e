"""Stochastic gradient descent, plain or with momentum."""

from __future__ import annotations

from collections.abc import Iterable

from ..autograd.tensor import Tensor
from ..backends.base import Array, Backend
from ..errors import ArgumentError
from .optimizer import Optimizer, require


class SGD(Optimizer):
    """p -= lr g, or with momentum v = momentum v + g; p -= lr v (nesterov: p -= lr (g + momentum v)).

    weight_decay adds weight_decay * p to each gradient (Sutskever et al. 2013 for Nesterov's form).
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        self.momentum = require(self, "momentum", momentum, 1.0)
        if nesterov and not momentum:
            raise ArgumentError("SGD: nesterov needs a momentum above 0")
        self.nesterov = nesterov
        self.slots = ("velocity",) if momentum else ()  # type: ignore[misc]
        super().__init__(params, lr, weight_decay)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        be.sgd_step(
            params, grads, state.get("velocity", []),
            lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay,
        )  # fmt: skip
