"""Matrix product and linear layer by NumPy's own product."""

from __future__ import annotations

from ..checks import require_activation, require_float, require_linear, require_product
from ..host import Array, HostMemory
from .store import silent, store


class ReferenceLinear(HostMemory):
    """The GEMM part of the contract."""

    @silent
    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        shape = require_product(a, b, trans_a, trans_b)
        return store((a.T if trans_a else a) @ (b.T if trans_b else b), out, shape, dtype)

    @silent
    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_linear("linear", x, w, b=b)
        require_activation("linear", activation)
        y = x @ w.T
        if b is not None:
            y = y + b
        return store(y if activation is None else self.activation_forward(activation, y), out, y.shape, dtype)

    @silent
    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        dtype = require_linear("linear_backward", x, w, dy=dy)
        dx_out, dw_out, db_out = (None, None, None) if out is None else out
        dx = store(dy @ w, dx_out, x.shape, dtype) if needs_dx else None
        return dx, store(dy.T @ x, dw_out, w.shape, dtype), store(dy.sum(0), db_out, w.shape[:1], dtype)
