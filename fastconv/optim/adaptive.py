"""Optimizers that give every weight a rate of its own."""

from __future__ import annotations

from collections.abc import Iterable

from ..autograd.tensor import Tensor
from ..backends.base import Array, Backend
from ..errors import ArgumentError
from .optimizer import Optimizer, require


class AdaGrad(Optimizer):
    """Divides by the root of the sum of all squared gradients (Duchi, Hazan & Singer 2011)."""

    slots = ("sum",)

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, eps: float = 1e-10, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.eps = require(self, "eps", eps)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        be.adagrad_step(params, grads, state["sum"], lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)


class RMSprop(Optimizer):
    """Divides by the root of a running mean of squared gradients (Hinton, Coursera lecture 6e, 2012)."""

    slots = ("mean",)

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        self.alpha, self.eps = require(self, "alpha", alpha, 1.0), require(self, "eps", eps)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        be.rmsprop_step(
            params, grads, state["mean"], lr=self.lr, alpha=self.alpha, eps=self.eps, weight_decay=self.weight_decay
        )


class Adadelta(Optimizer):
    """Steps in the units of the weights themselves (Zeiler, arXiv 1212.5701)."""

    slots = ("mean", "delta")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.rho, self.eps = require(self, "rho", rho, 1.0), require(self, "eps", eps)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        be.adadelta_step(
            params, grads, state["mean"], state["delta"],
            lr=self.lr, rho=self.rho, eps=self.eps, weight_decay=self.weight_decay,
        )  # fmt: skip


class Adam(Optimizer):
    """Running means of the gradient and its square, corrected for their start (Kingma & Ba, arXiv 1412.6980)."""

    slots = ("mean", "square")
    decoupled = False

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ArgumentError(f"{type(self).__name__}: betas must be two numbers, (0.9, 0.999) say, got {betas!r}")
        self.betas = require(self, "betas[0]", betas[0], 1.0), require(self, "betas[1]", betas[1], 1.0)
        self.eps = require(self, "eps", eps)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        be.adam_step(
            params, grads, state["mean"], state["square"],
            lr=self.lr, beta1=self.betas[0], beta2=self.betas[1], eps=self.eps,
            weight_decay=self.weight_decay, decoupled=self.decoupled, step=self.steps,
        )  # fmt: skip


class AdamW(Adam):
    """Adam with weight decay taken from the weights, not added to gradients (Loshchilov & Hutter, arXiv 1711.05101)."""

    decoupled = True

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay)
