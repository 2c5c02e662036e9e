"""k-max pooling: the k largest values of each row, in the order in which they stand there."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor
from ..backends.base import Array, Backend
from ..geometry import whole_number


class KMaxPool(Function):
    """The k largest along an axis; their places are kept."""

    name = "k_max_pool"

    def forward(self, be: Backend, x: Array, *, k: int, axis: int) -> Array:
        y, places = be.k_max_forward(x, k, axis)
        self.save(places, x.shape[axis], axis)
        return y

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        return (be.k_max_backward(dy, *self.saved),)


def k_max_pool(x: Any, k: int, axis: int = -1) -> Tensor:
    """The k largest values of x along `axis`, in their original order: that axis becomes k long.

    Kalchbrenner, Grefenstette & Blunsom (arXiv 1404.2188, section 3.2) take them from each row of a map (N, C, H, W)
    whose width is the sentence: the last axis. x.reshape(N, C, -1) before it takes them from whole maps.
    Of equal values the first are taken; a NaN is larger than every number.
    """
    return KMaxPool.apply(as_tensor(x), k=whole_number("k_max_pool", "k", k), axis=axis)
