"""A few rows times a matrix that is read once, where it lies: the fully connected layer at small batches.

    y[m, n] = act(bias[n] + sum_k x[m, k] * w[n, k])

Both x and w have their k side by side: vectors run along k, 8 rows of w by one of x, or 4 by 4, at a time, and each
sum is folded at its end. One chunk owns some columns of y, which are rows of w.

Ladder (AMD Zen 5, AVX-512, 2 cores, float32, us)    1 x 400 x 120    1 x 4320 x 100    4 x 4320 x 100
    w packed, then the matrix product                      14.8              87                91
    rows of w as they lie                                   1.8               6.3              11
"""

from functools import partial

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import add_products, row_inside
from .jit import inner, kernel
from .parallel import parallel_for
from .simd import I64, address, vectors_of

ROWS_OF_W, ROWS_OF_X = 8, 4  # with one row of x 8 of w at a time, with 4 of them 4


@kernel
def few_rows(y, x, w, bias, p):
    """Fill y from x, w and bias (or none), all flat. p: (M, N, K, rows of w a chunk, 1 for ReLU)."""
    parallel_for(_columns_of_y, -(-p[1] // p[3]), (y, x, w, bias, p))


@inner
def _columns_of_y(chunk, y, x, w, bias, p):
    M, N, K, size, relu = p
    item = y.itemsize
    sums = np.empty(ROWS_OF_X * ROWS_OF_X, y.dtype)
    last = min((chunk + 1) * size, N)
    for m in range(0, M // ROWS_OF_X * ROWS_OF_X, ROWS_OF_X):
        for n in range(chunk * size, last, ROWS_OF_X):
            rows = address(w) + n * K * item
            dots(ROWS_OF_X, ROWS_OF_X, y, address(x) + m * K * item, rows, K * item, K, last - n, address(sums))
            for i in range(ROWS_OF_X):
                _write(y, bias, sums, i * ROWS_OF_X, m + i, n, min(ROWS_OF_X, last - n), N, relu)
    for m in range(M // ROWS_OF_X * ROWS_OF_X, M):
        for n in range(chunk * size, last, ROWS_OF_W):
            rows = address(w) + n * K * item
            dots(1, ROWS_OF_W, y, address(x) + m * K * item, rows, K * item, K, last - n, address(sums))
            _write(y, bias, sums, 0, m, n, min(ROWS_OF_W, last - n), N, relu)


@inner
def _write(y, bias, sums, first, m, n, count, N, relu):
    zero = y.dtype.type(0)
    for j in range(count):
        value = sums[first + j] + (bias[n + j] if len(bias) else zero)
        y[m * N + n + j] = zero if relu and value <= zero else value


@intrinsic(prefer_literal=True)
def dots(typingctx, X, W, like, x, w, step, length, rows, sums):
    """sums[i, j] = sum over k < length of x[i, k] w[j, k] for X rows of x and W of w, `step` bytes apart.

    rows: of w that are there; for those beyond, the last one is read again.
    """
    nx, nw = X.literal_value, W.literal_value
    signature = types.void(X, W, like, x, w, step, length, rows, sums)

    def codegen(context, builder, signature, args):
        v = vectors_of(builder, signature.args[2])
        x, w, step, length, rows, sums = args[3:]
        x_rows = [builder.add(x, builder.mul(step, I64(i))) for i in range(nx)]
        w_rows = [builder.add(w, builder.mul(step, row_inside(builder, j, rows))) for j in range(nw)]
        slots = [[cgutils.alloca_once_value(builder, v.zero) for _ in range(nw)] for _ in range(nx)]
        for row in slots:
            for slot in row:
                builder.store(v.zero, slot)

        v.walk(length, partial(add_products, v, slots, x_rows, w_rows))
        for i in range(nx):
            for j in range(nw):
                total = _folded(v, builder.load(slots[i][j], typ=v.type))
                builder.store(total, v.at(sums, (i * nw + j) * v.item), align=v.item)
        return context.get_dummy_value()

    return signature, codegen


def _folded(v, value):
    """The sum of a vector's lanes."""
    lanes = v.lanes
    while lanes > 1:
        lanes //= 2
        value = v.builder.fadd(v.shuffle(value, value, range(lanes)), v.shuffle(value, value, range(lanes, 2 * lanes)))
    return v.builder.extract_element(value, I64(0))
