"""Local response normalisation by its formula."""

from __future__ import annotations

import numpy as np

from ...geometry import LocalResponse
from ..checks import require_channels
from ..host import Array, HostMemory
from .store import silent, store


class ReferenceLocalResponse(HostMemory):
    """The local response normalisation of the contract."""

    @silent
    def local_response_norm_forward(self, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm", x=x)
        return store(x * _denominators(x, r) ** -dtype.type(r.beta), out, x.shape, dtype)

    @silent
    def local_response_norm_backward(self, dy: Array, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm_backward", dy=dy, x=x)
        d = _denominators(x, r)
        part = dy * d ** -dtype.type(r.beta)
        before, after = r.taps(x.shape[1])
        inhibited = dtype.type(2 * r.beta * r.factor) * x * _windows(part * x / d, after, before)
        return store(part - inhibited, out, x.shape, dtype)


def _denominators(x: Array, r: LocalResponse) -> Array:
    """k + factor * sum of x^2 over each window."""
    return x.dtype.type(r.k) + x.dtype.type(r.factor) * _windows(x * x, *r.taps(x.shape[1]))


def _windows(a: Array, before: int, after: int) -> Array:
    """The sums over channels c - before .. c + after."""
    C = a.shape[1]
    padded = np.zeros((a.shape[0], before + C + after, *a.shape[2:]), a.dtype)
    padded[:, before : before + C] = a
    return sum((padded[:, tap : tap + C] for tap in range(1, before + after + 1)), padded[:, :C])
