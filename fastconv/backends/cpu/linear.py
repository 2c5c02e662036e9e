"""Matrix product and linear layer on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu import gemm as kernels
from ...kernels.cpu.gemm import DEPTH
from ...kernels.cpu.micro import COLUMNS, PACKED, ROWS_2, blocks_for
from ...kernels.cpu.pack import pack, packed_size
from ...kernels.cpu.simd import VECTOR_BYTES
from ..checks import require, require_activation, require_float, require_linear, require_product
from ..host import HostMemory, result
from ..workspace import scratch
from .conv2d_weight import backward_weight

Array = npt.NDArray[Any]

DEEP = 512  # products longer than this are cut along k,
PAGE = 4096  # and shorter ones whose rows lie a multiple of this apart, which share places in the first-level cache
PACKED_BYTES = 384 * 1024  # of b that a chunk goes through: they stay in the second-level cache
CHUNK_FLOPS = 4e6
DEEP_TILES = 32  # of rows a chunk, so that fetching b is paid for


class CpuLinear(HostMemory):
    """The GEMM part of the contract."""

    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        c = result("matmul", out, require_product(a, b, trans_a, trans_b), dtype)
        gemm(c, a.T if trans_a else a, b.T if trans_b else b)
        return c

    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        require_activation("linear", activation)
        dtype = require_float("linear", x=x, w=w, b=b)
        require_linear("linear", x, w)
        if b is not None:
            require("linear", "b", b, (w.shape[0],), dtype)
        y = result("linear", out, (x.shape[0], w.shape[0]), dtype)
        if activation in (None, "relu"):
            gemm(y, x, w.T, b, relu=activation == "relu")
            return y
        z = scratch("linear before activation", y.shape, dtype)  # in place, the loop could not use vectors
        gemm(z, x, w.T, b)
        return self.activation_forward(activation, z, out=y)

    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        dtype = require_float("linear_backward", dy=dy, x=x, w=w)
        require_linear("linear_backward", x, w)
        require("linear_backward", "dy", dy, (x.shape[0], w.shape[0]), dtype)
        dx_out, dw_out, db_out = (None, None, None) if out is None else out
        dx = None
        if needs_dx:
            dx = result("linear_backward", dx_out, x.shape, dtype)
            gemm(dx, dy, w)
        dw = result("linear_backward", dw_out, w.shape, dtype)
        db = result("linear_backward", db_out, w.shape[:1], dtype)
        outer(dw, db, np.ascontiguousarray(dy), np.ascontiguousarray(x))
        return dx, dw, db


def gemm(c: Array, a: Array, b: Array, bias: Array | None = None, *, relu: bool = False) -> None:
    """c [M, N] = act(bias [N] + a [M, K] b [K, N]); any strides in a, b and bias, c contiguous."""
    M, N = c.shape
    if bias is None and not relu and a.T.flags.c_contiguous and not a.flags.c_contiguous:
        outer(c, scratch("gemm unused sums", (M,), c.dtype), a.T, np.ascontiguousarray(b))
        return
    a = np.ascontiguousarray(a)
    plan = gemm_plan(M, N, a.shape[1], c.itemsize)
    packed = pack_columns(b, "gemm packed")
    p = *plan.p, int(relu), blocks_for(PACKED, c.itemsize)
    kernels.gemm(c.reshape(-1), a.reshape(-1), packed, plan.start(bias, c.dtype), p)


def outer(c: Array, sums: Array, a: Array, b: Array) -> None:
    """c [M, N] = a^T b and sums [M] = the sum of a's rows, from contiguous a [K, M], b [K, N]: rows taken as pixels."""
    (K, M), N = a.shape, b.shape[1]
    backward_weight(c.reshape(M, 1, 1, N), sums, a.reshape(K, 1, 1, M), b.reshape(K, 1, 1, N), _rows_as_pixels(K, M, N))


@lru_cache(maxsize=1024)
def _rows_as_pixels(K: int, M: int, N: int) -> Conv2dGeometry:
    return Conv2dGeometry(N=K, C=N, H=1, W=1, OC=M, KH=1, KW=1)


def pack_columns(b: Array, name: str) -> Array:
    """b [K, N] in the blocks of the micro-kernel, in scratch memory."""
    K, N = b.shape
    if not (b.flags.c_contiguous or b.T.flags.c_contiguous):
        b = np.ascontiguousarray(b)
    steps, source = ((1, N), b) if b.flags.c_contiguous else ((K, 1), b.T)
    packed = scratch(name, (packed_size(K, N, b.itemsize),), b.dtype)
    pack(packed, source.reshape(-1), _FROM_START, (N, K, *steps, COLUMNS))
    return packed


_FROM_START = np.zeros(1, np.int64)


@dataclass(frozen=True)
class GemmPlan:
    """How a product is cut: the arguments of the kernel that follow from its sizes."""

    N: int
    blocks: int
    p: tuple[tuple[int, ...], ...]

    def start(self, bias: Array | None, dtype: np.dtype[Any]) -> Array:
        """The bias padded with zeros to whole blocks."""
        start = scratch("gemm start", (self.blocks * COLUMNS * VECTOR_BYTES // dtype.itemsize,), dtype)
        start.fill(0)
        if bias is not None:
            start[: self.N] = bias
        return start


@lru_cache(maxsize=1024)
def gemm_plan(
    M: int, N: int, K: int, item: int, a: tuple[int, int] | None = None, c: tuple[int, int] | None = None
) -> GemmPlan:
    """Cut M x N x K.

    a, c: first element and elements between rows, where the matrices are a part of the columns of wider ones.
    """
    a, c = a or (0, K), c or (0, N)
    width = COLUMNS * VECTOR_BYTES // item
    blocks = -(-N // width)
    deep = K > DEEP or (K > DEPTH and a[1] * item % PAGE == 0)
    depth = min(K, DEPTH) if deep else K
    per_chunk = max(1, min(blocks, PACKED_BYTES // max(1, depth * width * item)))
    flops_per_row = 2 * max(K, 1) * min(N, per_chunk * width)
    wanted = DEEP_TILES * ROWS_2 if deep else CHUNK_FLOPS / flops_per_row
    size = max(1, math.ceil(min(wanted, M / 2) / ROWS_2)) * ROWS_2
    return GemmPlan(N, blocks, ((M, N, K), a, c, (size, per_chunk, int(deep))))
