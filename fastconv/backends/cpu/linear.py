"""Matrix product and linear layer on the CPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels.cpu import gemm as kernels
from ...kernels.cpu.dots import SIDE, dot_tile, rows_by_rows
from ...kernels.cpu.gemm import COPIED, IN_PLACE, TRANSPOSED
from ...kernels.cpu.matvec import ROWS_OF_W, few_rows
from ...kernels.cpu.micro import COLUMNS, PACKED, PANELS, ROWS_2, block_address, blocks_for
from ...kernels.cpu.simd import VECTOR_BYTES
from ..checks import require_activation, require_float, require_linear, require_product
from ..host import HostMemory, result
from ..launch import launch, launches
from ..workspace import scratch

Array = npt.NDArray[Any]
Numbers = tuple[int, ...]

FEW_ROWS = 8  # of x, for which packing w costs more than the product
FEW_ROWS_BYTES = 256 * 1024  # of w a chunk
DEEP = 512  # products longer than this are cut along k,
PAGE = 4096  # and shorter ones whose rows lie a multiple of this apart, which share places in the first-level cache
DEPTH = 256  # of a slice
PACKED_BYTES = 384 * 1024  # of b that a chunk goes through: they stay in the second-level cache
CHUNK_ROWS = 512  # of a, at least, that share a packed b
CHUNKS = 16  # wanted, so that threads have equal shares; half as many where each packs a as well
CHUNK_FLOPS = 5e5  # that are worth a chunk,
BACKWARD_FLOPS = 2e6  # or where each chunk packs a as well,
DOTS_FLOPS = 8e4  # or where none packs anything
PART_BYTES = 3584  # of a row in a part: a tile's rows stay in the first-level cache
SHORT_BYTES = 4 * VECTOR_BYTES  # of a row that is not worth folding its vectors
PARTS_BYTES = 4 * 1024 * 1024  # of the parts' sums
_NOTHING = {item: np.empty(0, f"float{8 * item}") for item in (4, 8)}


class CpuLinear(HostMemory):
    """The GEMM part of the contract."""

    @launches
    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        c = result("matmul", out, require_product(a, b, trans_a, trans_b), dtype)
        gemm(c, a.T if trans_a else a, b.T if trans_b else b)
        return c

    @launches
    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        require_activation("linear", activation)
        dtype = require_linear("linear", x, w, b=b)
        y = result("linear", out, (x.shape[0], w.shape[0]), dtype)
        if activation in (None, "relu"):
            _affine(y, x, w, b, activation == "relu")
            return y
        z = scratch("linear before activation", y.shape, dtype)  # in place, the loop could not use vectors
        _affine(z, x, w, b, False)
        return self.activation_forward(activation, z, out=y)

    @launches
    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        dtype = require_linear("linear_backward", x, w, dy=dy)
        dx_out, dw_out, db_out = (None, None, None) if out is None else out
        dx = result("linear_backward", dx_out, x.shape, dtype) if needs_dx else None
        dw = result("linear_backward", dw_out, w.shape, dtype)
        db = result("linear_backward", db_out, w.shape[:1], dtype)
        of_dx = _NOTHING[dtype.itemsize] if dx is None else dx.reshape(-1)
        p, at_once = backward_plan(*x.shape, w.shape[0], dtype.itemsize)
        launch(kernels.linear_backward, of_dx, dw.reshape(-1), db, _flat(dy), _flat(x), _flat(w), p, at_once)
        return dx, dw, db


def gemm(c: Array, a: Array, b: Array, bias: Array | None = None, *, relu: bool = False) -> None:
    """c [M, N] = act(bias [N] + a [M, K] b [K, N]); any strides in a, b and bias, c contiguous."""
    (M, N), K = c.shape, a.shape[1]
    (a, a_turned), (b, b_turned) = _lying(a), _lying(b)
    operands = a.reshape(-1), b.reshape(-1), _bias(bias, c)
    cut = dots_plan(M, N, K, c.itemsize) if b_turned and not a_turned else None
    if cut is None:
        p = product_plan(M, N, K, a_turned, b_turned, c.itemsize)
        launch(kernels.gemm, c.reshape(-1), *operands, _with_relu(p, relu))
    else:
        parts = scratch("parts of a product", cut[:1], c.dtype) if cut[0] else _NOTHING[c.itemsize]
        launch(rows_by_rows, c.reshape(-1), parts, *operands, dot_tile(c.itemsize), (*cut[1], int(relu)))


def outer(c: Array, sums: Array, a: Array, b: Array) -> None:
    """c [M, N] = a^T b and sums [M] = the sum of a's rows, from contiguous a [K, M], b [K, N]."""
    p, at_once = backward_plan(a.shape[0], b.shape[1], a.shape[1], c.itemsize)
    nothing = _NOTHING[c.itemsize]
    launch(kernels.linear_backward, nothing, c.reshape(-1), sums, _flat(a), _flat(b), nothing, p, at_once)


def _affine(y: Array, x: Array, w: Array, b: Array | None, relu: bool) -> None:
    """y [M, N] = act(x w^T + b): by rows of w as they lie where x has few rows, else by packed blocks."""
    (M, N), K = y.shape, w.shape[1]
    if M > FEW_ROWS:
        gemm(y, x, w.T, b, relu=relu)
        return
    chunks = -(-w.nbytes // FEW_ROWS_BYTES)
    chunks += chunks % 2 if chunks > 1 else 0  # so that two threads have equal shares
    size = -(-N // max(1, chunks) // ROWS_OF_W) * ROWS_OF_W
    p = M, N, K, max(ROWS_OF_W, size), int(relu)
    launch(few_rows, y.reshape(-1), _flat(x), _flat(w), _bias(b, y), p)


def _flat(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(-1)


def _bias(bias: Array | None, c: Array) -> Array:
    return _NOTHING[c.itemsize] if bias is None else np.ascontiguousarray(bias)


def _lying(a: Array) -> tuple[Array, bool]:
    """A matrix or its transpose, whichever lies row by row in memory, and whether it is the transpose."""
    if a.T.flags.c_contiguous and not a.flags.c_contiguous:
        return a.T, True
    return np.ascontiguousarray(a), False


Plan = tuple[Numbers, Numbers, Numbers, Numbers, int, tuple[Numbers, Numbers]]


@lru_cache(maxsize=1024)
def product_plan(
    M: int, N: int, K: int, a_turned: bool, b_turned: bool, item: int, per_chunk: int | None = None
) -> Plan:
    """Cut M x N x K: the arguments of the kernel that follow from its sizes. Turned operands lie as their transposes.

    per_chunk: blocks of columns a chunk, where they are not free.
    """
    lanes = VECTOR_BYTES // item
    width = COLUMNS * lanes
    blocks = -(-N // width)
    conflict = not a_turned and K > DEPTH and K * item % PAGE == 0
    depth = DEPTH if K > DEEP or conflict else max(K, 1)
    groups = max(1, M // CHUNK_ROWS)  # of rows
    size = -(-M // groups // ROWS_2) * ROWS_2
    if per_chunk is None:
        chunks = CHUNKS // 2 if a_turned else CHUNKS
        per_chunk = _blocks_a_chunk(M, N, K, depth * width * item, groups, CHUNK_FLOPS, width, chunks)
    reading = TRANSPOSED if a_turned else COPIED if conflict else IN_PLACE
    if a_turned:
        narrow, wide = ((ROWS_2, block_address(PANELS, item, n, ROWS_2)) for n in (1, COLUMNS))
    else:
        narrow, wide = ((rows, place) for _, rows, place in blocks_for(PACKED, item))
    a_steps, b_steps = (1, M) if a_turned else (K, 1), (K, 1) if b_turned else (1, N)
    micro = (lanes, *narrow), (width, *wide)
    return (M, N, K), (*a_steps, reading), b_steps, (size, min(per_chunk, blocks), depth), 0, micro


@lru_cache(maxsize=1024)
def dots_plan(M: int, N: int, K: int, item: int) -> tuple[int, Numbers] | None:
    """Cut rows by rows: elements of the parts' sums, (M, N, K, rows of x and of w a chunk, steps a part); None where
    sums are too short to be worth folding, or the parts would take too much memory."""
    parts = max(1, -(-K * item // PART_BYTES))
    depth = max(1, -(-K // (16 * parts))) * 16
    if K * item < SHORT_BYTES or (parts > 1 and parts * M * N * item > PARTS_BYTES):
        return None
    groups_n = -(-N * depth * item // PACKED_BYTES)
    wanted = min(CHUNKS, 2 * M * N * K / DOTS_FLOPS) / max(1, parts * groups_n)
    return M * N * parts if parts > 1 else 0, (M, N, K, _rows_each(M, wanted), _rows_each(N, groups_n), depth)


def _rows_each(rows: int, groups: float) -> int:
    """Rows of one of so many groups, in whole tiles."""
    return max(1, -(-rows // (SIDE * max(1, int(groups))))) * SIDE


def _blocks_a_chunk(
    M: int, N: int, K: int, block_bytes: int, groups: int, worth: float, width: int, chunks: int
) -> int:
    """So many that there are enough chunks, each worth its while, and what a chunk packs stays in the cache."""
    blocks = -(-N // width)
    wanted = min(chunks, 2 * M * N * K / worth)
    return max(1, min(PACKED_BYTES // block_bytes, int(blocks * groups / max(wanted, 1))))


def _with_relu(p: Plan, relu: bool) -> Plan:
    return (*p[:4], int(relu), p[5])


@lru_cache(maxsize=1024)
def backward_plan(rows: int, inputs: int, outputs: int, item: int) -> tuple[tuple[Plan, Plan], int]:
    """The plans of dx and dw, with equally many chunks, and how many chunks a thread takes at least."""
    width = COLUMNS * VECTOR_BYTES // item
    depth = max(rows, outputs) if max(rows, outputs) <= DEEP else DEPTH
    worth = (rows, inputs, outputs, depth * width * item, 1, BACKWARD_FLOPS, width, CHUNKS)
    per_chunk = _blocks_a_chunk(*worth)
    dx = product_plan(rows, inputs, outputs, False, False, item, per_chunk)
    dw = product_plan(outputs, inputs, rows, True, False, item, per_chunk)
    flops = 2 * rows * inputs * outputs / -(-inputs // (width * per_chunk))
    return (dx, dw), 1 if flops >= CHUNK_FLOPS else 1000
