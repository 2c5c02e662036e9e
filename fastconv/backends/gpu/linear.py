"""Matrix product and linear layer on the GPU: checks and memory; the loops are in kernels/cuda/gemm.cu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.cuda.source import Kernel
from ..base import ACTIVATIONS, Array
from ..checks import require_activation, require_float, require_linear, require_product
from . import tiles
from .counting import require_countable
from .memory import GpuMemory, kernel_of

SUMMING_THREADS = 256  # in a block of sum_parts
SHARED_PARTS = 8  # threads of it that share an element of many parts
KINDS = (*ACTIVATIONS, None)  # in the order of activation.cuh's constants


class GpuLinear(GpuMemory):
    """The GEMM part of the contract."""

    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        c = self._result("matmul", out, require_product(a, b, trans_a, trans_b), dtype)
        (a, trans_a), (b, trans_b) = self._as_it_lies(a, trans_a), self._as_it_lies(b, trans_b)
        self._gemm(c, a, b, trans_a=trans_a, trans_b=trans_b)
        return c

    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        require_activation("linear", activation)
        dtype = require_linear("linear", x, w, b=b)
        y = self._result("linear", out, (x.shape[0], w.shape[0]), dtype)
        self._gemm(y, self._ordered(x), self._ordered(w), trans_b=True, bias=b, activation=activation)
        return y

    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        dtype = require_linear("linear_backward", x, w, dy=dy)
        dx_out, dw_out, db_out = (None, None, None) if out is None else out
        dy, dx = self._ordered(dy), None
        if needs_dx:
            dx = self._result("linear_backward", dx_out, x.shape, dtype)
            self._gemm(dx, dy, self._ordered(w))
        dw = self._result("linear_backward", dw_out, w.shape, dtype)
        db = self._result("linear_backward", db_out, w.shape[:1], dtype)
        self._gemm(dw, dy, self._ordered(x), trans_a=True, sums=db)
        return dx, dw, db

    def _gemm(
        self, c: Array, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False,
        bias: Array | None = None, sums: Array | None = None, activation: str | None = None,
    ) -> None:  # fmt: skip
        """c [M, N] = act(op(a) op(b) + bias [N]) and sums [M] = the sums of op(a)'s rows.

        op(a) is a [M, K], or a [K, M] transposed; op(b) is b [K, N], or b [N, K] transposed; all are contiguous.
        """
        M, N, K, dtype = c.shape[0], c.shape[1], a.shape[0 if trans_a else 1], np.dtype(c.dtype)
        require_countable("matmul", (M, N, K), f"{(M, K)} times {(K, N)}")
        if M * N == 0:
            return
        in_fours = self._aligned(a, b) and (M if trans_a else K) % 4 == 0 and (K if trans_b else N) % 4 == 0
        cut = self._cut(M, N, K, dtype, vec=4 if in_fours else 1)
        fixed = {"TRANS_A": int(trans_a), "TRANS_B": int(trans_b), "SUMS": int(sums is not None)}

        def launch(c: Array, sums: Array | None, bias: Array | None, part: int, kind: int) -> None:
            self._launch(
                "gemm", "gemm", (cut.tile.count(M, N), 1, cut.parts), (cut.tile.threads,),
                (c, sums, a, b, bias, M, N, K, cut.depth, np.int64(part)),
                dtype=dtype, VEC=4 if in_fours else 1, KIND=kind, **fixed, **cut.tile.constants,
            )  # fmt: skip

        self._whole_or_in_parts(launch, cut, c, sums, None if bias is None else self._ordered(bias), activation)

    def _as_it_lies(self, a: Array, transposed: bool) -> tuple[Array, bool]:
        """`a` contiguous, without a copy where its columns already lie so; and whether it is to be transposed then."""
        if a.T.flags.c_contiguous and not a.flags.c_contiguous:
            return self._ordered(a.T), not transposed
        return self._ordered(a), transposed

    def _cut(self, M: int, N: int, K: int, dtype: np.dtype[Any], *, vec: int, products: int = 1) -> tiles.Plan:
        device = self._device
        return tiles.plan(
            M, N, K, products=products, vec=vec, itemsize=dtype.itemsize,
            processors=device.processors, architecture=device.architecture,
        )  # fmt: skip

    def _whole_or_in_parts(
        self,
        launch: Callable[..., None],
        cut: tiles.Plan,
        c: Array,
        sums: Array | None,
        bias: Array | None,
        activation: str | None,
    ) -> None:
        """launch(c, sums, bias, part, kind) once, for the results themselves or for parts of them that are then added:
        `part` elements lie from one to the next."""
        kind = KINDS.index(activation)
        if cut.parts == 1:
            launch(c, sums, bias, 0, kind)
            return
        columns = c.shape[1]
        rows = 0 if sums is None else sums.size
        part = c.size + rows
        parts = self._device.empty((cut.parts * part,), c.dtype)
        launch(parts, None if sums is None else parts[c.size :], None, part, KINDS.index(None))
        self._sum_parts(c, sums, parts, bias, cut.parts, columns, kind)

    def _sum_parts(
        self, c: Array, sums: Array | None, parts: Array, bias: Array | None, count: int, columns: int, kind: int
    ) -> None:
        """c and sums from `count` parts, each as long as both; `columns` is the length of the bias."""
        rows = 0 if sums is None else sums.size
        across = SHARED_PARTS if count > SHARED_PARTS else 1
        width = SUMMING_THREADS // across
        args = (c, sums, parts, bias, count, columns, rows, np.int64(c.size))
        grid = (-(-(c.size + rows) // width),)
        self._launch("parts", "sum_parts", grid, (width, across), args, dtype=c.dtype, KIND=kind)


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    kinds = range(len(KINDS))
    flags = ((0, 1, 0), (0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1))
    return [
        kernel_of("parts", "sum_parts", dtype, KIND=kind) for dtype in ("float32", "float64") for kind in kinds
    ] + [
        kernel_of(
            "gemm", "gemm", dtype, VEC=vec, KIND=kind, TRANS_A=trans_a, TRANS_B=trans_b, SUMS=sums, **tile.constants
        )
        for dtype, itemsize in (("float32", 4), ("float64", 8))
        for vec in (4, 1)
        for tile in tiles.tiles_for(vec, itemsize, 80)
        for trans_a, trans_b, sums in flags
        for kind in (kinds if (trans_a, trans_b, sums) == (0, 1, 0) else [KINDS.index(None)])
    ]  # fmt: skip
