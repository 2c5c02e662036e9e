"""Matrix product and linear layer on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels.cpu import gemm as kernels
from ..host import HostMemory, require, require_activation, require_float, require_linear, require_product, result
from ..workspace import scratch

Array = npt.NDArray[Any]


class CpuLinear(HostMemory):
    """The GEMM part of the contract."""

    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        c = result("matmul", out, require_product(a, b, trans_a, trans_b), dtype)
        gemm(c, a.T if trans_a else a, b.T if trans_b else b, None)
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
        gemm(y, x, w.T, b)
        return y if activation is None else self.activation_forward(activation, y, out=y)

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
            gemm(dx, dy, w, None)
        dw = result("linear_backward", dw_out, w.shape, dtype)
        gemm(dw, dy.T, x, None)
        db = result("linear_backward", db_out, w.shape[:1], dtype)
        column_sums(db, dy)
        return dx, dw, db


def gemm(c: Array, a: Array, b: Array, bias: Array | None) -> None:
    """c [M, N] = bias [N] + a [M, K] b [K, N]; any strides in a, b and bias, c contiguous."""
    if bias is None:
        bias = scratch("gemm bias", (b.shape[1],), c.dtype)
        bias.fill(0)
    kernels.gemm(c, np.ascontiguousarray(a), np.ascontiguousarray(b), np.ascontiguousarray(bias))


def column_sums(total: Array, a: Array) -> None:
    """total [N] = the sum of the rows of a [M, N]."""
    kernels.column_sums(total, np.ascontiguousarray(a))
