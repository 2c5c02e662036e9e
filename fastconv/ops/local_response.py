"""Local response normalisation: the strongest neuron at a place inhibits the others there."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor
from ..backends.base import Array, Backend
from ..geometry import LocalResponse


class LocalResponseNorm(Function):
    """x over a power of the squares around it; only x is kept."""

    name = "local_response_norm"

    def forward(self, be: Backend, x: Array, *, response: LocalResponse) -> Array:
        self.save(x, response)
        return be.local_response_norm_forward(x, response)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        x, response = self.saved
        return (be.local_response_norm_backward(dy, x, response),)


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """b[c] = a[c] / (k + alpha / size * sum of a[j]^2)^beta over the `size` channels j around c (PyTorch's meaning).

    x is (N, C, H, W) or (N, C). AlexNet's n = 5, alpha = 1e-4, beta = 0.75, k = 2 (Krizhevsky, Sutskever & Hinton 2012,
    section 3.3), where the sum is not divided by n, are size=5, alpha=5e-4, beta=0.75, k=2 here.
    """
    return LocalResponseNorm.apply(as_tensor(x), response=LocalResponse(size, alpha, beta, k))
