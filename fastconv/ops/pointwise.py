"""Activations, element by element; backward needs only the output."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor
from ..backends.base import Array, Backend
from ..errors import ArgumentError


class Activation(Function):
    """One of backends.base.ACTIVATIONS."""

    name = "activation"

    def forward(self, be: Backend, x: Array, *, kind: str, slope: float = 0.01) -> Array:
        y = be.activation_forward(kind, x, slope=slope)
        self.save(kind, y, slope)
        return y

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        kind, y, slope = self.saved
        return (be.activation_backward(kind, dy, y, slope=slope),)


def relu(x: Any) -> Tensor:
    """0 for x < 0, x for x >= 0."""
    return Activation.apply(as_tensor(x), kind="relu")


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """negative_slope * x for x < 0, x for x >= 0; the slope must be positive, so that the output tells the sign."""
    if not negative_slope > 0:
        raise ArgumentError(f"leaky_relu: negative_slope must be positive, got {negative_slope}")
    return Activation.apply(as_tensor(x), kind="leaky_relu", slope=negative_slope)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))"""
    return Activation.apply(as_tensor(x), kind="sigmoid")


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return Activation.apply(as_tensor(x), kind="tanh")


def scaled_tanh(x: Any) -> Tensor:
    """1.7159 tanh(2/3 x): 1 at 1, -1 at -1, and curved most there.

    LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, equation 6 and appendix A.
    """
    return tanh(as_tensor(x) * (2 / 3)) * 1.7159
