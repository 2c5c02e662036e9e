"""Local response normalisation as a layer; it has no parameters."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..geometry import LocalResponse
from ..ops.local_response import local_response_norm
from .module import Module


class LocalResponseNorm(Module):
    """b[c] = a[c] / (k + alpha / size * sum of a[j]^2)^beta over the `size` channels j around c.

    x is (N, C, H, W) or (N, C). Arguments and defaults are PyTorch's. AlexNet's layer (Krizhevsky, Sutskever & Hinton
    2012, section 3.3), in whose formula alpha is not divided by the window's size, is
    LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0).
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        LocalResponse(size, alpha, beta, k)  # refuses what cannot be before any data comes
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def options(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
