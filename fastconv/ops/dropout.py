"""Dropout: some elements become 0 while training, so that no unit can rely on one other."""

from __future__ import annotations

from typing import Any

from .. import random
from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor
from ..backends.base import Array, Backend


class Dropout(Function):
    """x / (1 - p) with probability 1 - p, else 0 (Srivastava et al. 2014); nothing but the seed is kept."""

    name = "dropout"

    def forward(self, be: Backend, x: Array, *, p: float, seed: int) -> Array:
        self.save(p, seed)
        return be.dropout(x, p, seed)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        p, seed = self.saved
        return (be.dropout(dy, p, seed),)


def dropout(x: Any, p: float = 0.5, training: bool = True, *, seed: int | None = None) -> Tensor:
    """Each element 0 with probability p, else scaled by 1 / (1 - p); x itself where not `training`.

    The same seed drops the same elements; without one, the next of `fc.manual_seed`'s stream is taken.
    """
    x = as_tensor(x)
    if not training or p == 0:
        return x
    return Dropout.apply(x, p=p, seed=random.next_seed() if seed is None else seed)
