"""Local response normalisation on the CPU: checks and memory; the loops are in kernels/cpu/local_response.py."""

from __future__ import annotations

from ...geometry import LocalResponse
from ...kernels.cpu import local_response as kernels
from ..checks import require_channels
from ..host import Array, HostMemory, as_flat, in_order, result
from ..launch import launch, launches
from ..workspace import scratch

WORTH = 16384  # elements of a chunk
CHUNKS = 32  # at most, so that little scratch is enough
BLOCK = 2048  # elements whose squares a chunk keeps at a time: in the first cache
LANES = 16  # of the widest vector


class CpuLocalResponse(HostMemory):
    """The local response normalisation of the contract."""

    @launches
    def local_response_norm_forward(self, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm", x=x)
        y = result("local_response_norm", out, x.shape, dtype)
        p = _problem(x, r)
        squares = scratch("local_response squares", (_chunks(x), p[-2] * p[-1]), dtype)
        launch(kernels.local_response_norm_forward, as_flat(y), in_order(x), squares, p, *_numbers(r))
        return y

    @launches
    def local_response_norm_backward(self, dy: Array, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        dtype = require_channels("local_response_norm_backward", dy=dy, x=x)
        dx = result("local_response_norm_backward", out, x.shape, dtype)
        p = _problem(x, r)
        shares = scratch("local_response shares", (_chunks(x), 2 * p[-2] * p[-1]), dtype)
        arrays = as_flat(dx), in_order(dy), in_order(x), shares
        launch(kernels.local_response_norm_backward, *arrays, p, *_numbers(r))
        return dx


def _problem(x: Array, r: LocalResponse) -> tuple[int, int, int, int, int]:
    """C, the taps of a window, those before its own channel, elements of a row of scratch, and rows of a block."""
    C = x.shape[1]
    before, after = r.taps(C)
    room = C + before + after + 1 + LANES
    return C, before + after + 1, before, room, max(1, BLOCK // room)


def _chunks(x: Array) -> int:
    return int(max(1, min(CHUNKS, x.size // WORTH, x.size // x.shape[1])))


def _numbers(r: LocalResponse) -> tuple[float, float, float]:
    return float(r.factor), float(r.k), float(r.beta)
