"""k-max pooling by sorting every row."""

from __future__ import annotations

import numpy as np

from ..host import Array, HostMemory
from ..k_max import PLACE, require_k_max, require_k_max_backward
from .store import store


class ReferenceKMax(HostMemory):
    """The k-max pooling of the contract."""

    def k_max_forward(
        self, x: Array, k: int, axis: int, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype, shape, axis = require_k_max(x, k, axis)
        rows = np.moveaxis(x, axis, -1)
        order = np.lexsort((-rows, ~np.isnan(rows)))  # NaN first, then from large to small; stable
        places = np.moveaxis(np.sort(order[..., :k]), -1, axis)
        y_out, places_out = out if out is not None else (None, None)
        y = store(np.take_along_axis(x, places, axis), y_out, shape, dtype)
        return y, store(places, places_out, shape, PLACE)

    def k_max_backward(self, dy: Array, places: Array, size: int, axis: int, *, out: Array | None = None) -> Array:
        dtype, shape, axis = require_k_max_backward(dy, places, size, axis)
        dx = np.zeros(shape, dtype)
        numbers = np.arange(size).reshape([-1 if i == axis else 1 for i in range(dy.ndim)])
        for j in range(dy.shape[axis]):
            one = [slice(None)] * dy.ndim
            one[axis] = slice(j, j + 1)
            dx += np.where(places[tuple(one)] == numbers, dy[tuple(one)], 0)
        return store(dx, out, shape, dtype)
