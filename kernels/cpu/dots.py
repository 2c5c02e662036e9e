"""Rows times rows, where both lie along the sum: the fully connected layer forward, nothing packed.

    y[m, n] = act(bias[n] + sum_k x[m, k] * w[n, k])

A tile is some rows of x by as many of w, with a vector of partial sums for each pair: vectors run along k, so that
columns which do not fill a vector cost nothing, and no operand is turned. At its end the vectors are folded together,
two into one at every level. The sum is cut into parts, each of which keeps its piece of all rows of w in the
second-level cache; parts are added in their order, so that results do not depend on the threads.

AMD Zen 5, 2 cores, AVX-512, float32, us of layers as inputs x outputs at batch 100, in turn with the packed product of
gemm.py, and a training step of SimpleConvNet
                                 4320 x 100   1600 x 120   400 x 120   120 x 84   84 x 10   step
    b packed (gemm.py)           269          104          24.3        8.8        2.8       1238
    this                         181          92           21.7        6.5        1.3       1110
10 % more where w does not start on a cache line: parameters do. Parts of 544 to 1088 steps take the same time,
longer ones half as much again: a tile's rows leave the first-level cache.
"""

from functools import partial

from numba.core import cgutils

from .forms import call_form, form_address
from .jit import inner, kernel
from .parallel import parallel_for, span
from .rows import add_rows
from .simd import I64, REGISTERS, VECTOR_BYTES, Vectors, address

SIDE = 5 if REGISTERS == 32 else 3  # rows of x, and of w, of a tile: SIDE * SIDE sums, SIDE rows of w, one of x
SUMS = 4096  # elements that a chunk adds up at the end


@kernel
def rows_by_rows(y, sums, x, w, bias, tile, p):
    """Fill y from x, w and bias (or none), all flat.

    sums: scratch for the parts' y where there are several. tile: the form's address.
    p: (M, N, K; rows of x and of w a chunk, steps of k a part; 1 for ReLU).
    """
    M, N, K, own_m, own_n, depth, relu = p
    parts = max(1, -(-K // depth))
    to = address(y) if parts == 1 else address(sums)
    args = to, address(x), address(w), address(bias) if len(bias) else 0, y.itemsize, tile, p
    parallel_for(_tiles, parts * -(-N // own_n) * -(-M // own_m), args)
    if parts > 1:
        chunks = -(-M * N // SUMS)
        parallel_for(_add_parts, chunks, (chunks, y, sums, parts, relu))


@inner
def _tiles(chunk, to, x, w, bias, item, tile, p):
    """Some rows of x by some of w in one part; the chunks of a part lie side by side, and in it those of the same w."""
    M, N, K, own_m, own_n, depth, relu = p
    groups_m, groups_n = -(-M // own_m), -(-N // own_n)
    part, first_m = chunk // (groups_m * groups_n), chunk % groups_m * own_m
    first_n = chunk // groups_m % groups_n * own_n
    last_m, last_n = min(first_m + own_m, M), min(first_n + own_n, N)
    k, alone = part * depth, relu if depth >= K else 0
    out = to + part * M * N * item
    for m in range(first_m, last_m, SIDE):
        for n in range(first_n, last_n, SIDE):
            call_form(tile, (
                out + (m * N + n) * item, N * item, x + (m * K + k) * item, w + (n * K + k) * item, K * item,
                min(depth, K - k), min(SIDE, last_m - m), min(SIDE, last_n - n),
                bias + n * item if bias and part == 0 else 0, alone,
            ))  # fmt: skip


@inner
def _add_parts(chunk, chunks, y, sums, parts, relu):
    first, last = span(chunk, chunks, len(y), 64)
    item, zero = y.itemsize, y.dtype.type(0)
    lanes = VECTOR_BYTES // item
    for i in range(first, last, 2 * lanes):
        add_rows(2, 1, zero, address(sums) + i * item, len(y) * item, parts, address(y) + i * item, last - i, 0)
    for i in range(first, last if relu else first):
        y[i] = zero if y[i] <= zero else y[i]


def dot_tile(item):
    """The form of a tile for elements of `item` bytes; its arguments are addresses, numbers and, for rows, bytes:

    y, a row of y, x, w, a row of x and w, length of the sum, rows of x and of w that are there, start (address of a
    number for each row of w, or 0), 1 for ReLU.
    """
    return form_address(_emit_tile, (item, SIDE), 10)


def _emit_tile(builder, args, item, side):
    y, y_step, x, w, step, length, rows, columns, start, relu = args
    v, b = Vectors(builder, item, VECTOR_BYTES // item), builder
    x_rows, w_rows = (
        [b.add(a, b.mul(step, row_inside(b, i, n))) for i in range(side)] for a, n in ((x, rows), (w, columns))
    )
    slots = [[cgutils.alloca_once_value(b, v.zero) for _ in range(side)] for _ in range(side)]

    v.walk(length, partial(add_products, v, slots, x_rows, w_rows))
    write_sums(v, slots, (y, y_step, rows, columns), start, relu)


def add_products(v, slots, left, right, offset, read, _):
    """slots[i][j] += the vector at left[i] + offset times the one at right[j] + offset, lane by lane."""
    b = v.builder
    others = [read(v.at(row, offset)) for row in right]
    for row, own in zip(left, slots, strict=True):
        value = read(v.at(row, offset))
        for slot, other in zip(own, others, strict=True):
            b.store(v.multiply_add(value, other, b.load(slot, typ=v.type)), slot)


def write_sums(v, slots, out, start, relu):
    """y[i, j] = act(start[j] + the sum over the lanes of slots[i][j]) for i < rows, j < columns.

    out: (y, bytes of a row, rows, columns); start an address, or 0 for nothing; relu 1 for ReLU.
    """
    b, side = v.builder, len(slots)
    y, y_step, rows, columns = out
    sums = _folded(v, [b.load(slot, typ=v.type) for own in slots for slot in own])
    for first in range(0, side, v.lanes):
        mask, begin = v.first(b.sub(columns, I64(first))), cgutils.alloca_once_value(b, v.zero)
        with b.if_then(b.icmp_signed("!=", start, I64(0))):
            b.store(v.load_masked(v.at(start, first * v.item), mask), begin)
        for i in range(side):
            wanted = range(i * side + first, i * side + min(first + v.lanes, side))
            with b.if_then(b.icmp_signed(">", rows, I64(i))):
                total = b.fadd(_picked(v, sums, wanted), b.load(begin, typ=v.type))
                total = b.select(b.icmp_signed("!=", relu, I64(0)), v.relu(total), total)
                v.store_masked(total, v.at(b.add(y, b.mul(y_step, I64(i))), first * v.item), mask)


def row_inside(builder, i, count):
    """i, or the last row where there are only `count`."""
    last = builder.sub(count, I64(1))
    return builder.select(builder.icmp_signed("<", I64(i), last), I64(i), last)


def _folded(v, vectors):
    """[(a vector, whose sum each of its lanes is)]: the sums over the lanes of all `vectors`."""
    held = [(value, [k] * v.lanes) for k, value in enumerate(vectors)]
    width = v.lanes // 2
    while width:
        pairs = [
            (held[i], held[i + 1] if i + 1 < len(held) else (v.zero, [None] * v.lanes)) for i in range(0, len(held), 2)
        ]
        held = [_merged(v, *pair, width) for pair in pairs]
        width //= 2
    return held


def _merged(v, one, other, width):
    """Of every 2 * width lanes of both the halves' sums, side by side."""
    low = [
        first + k + source for first in range(0, v.lanes, 2 * width) for source in (0, v.lanes) for k in range(width)
    ]
    high = [k + width for k in low]
    (a, of_a), (c, of_c) = one, other
    owners = [*of_a, *of_c]
    return v.builder.fadd(v.shuffle(a, c, low), v.shuffle(a, c, high)), [owners[k] for k in low]


def _picked(v, held, wanted):
    """The sums `wanted`, side by side from lane 0 on."""
    result, lanes = None, None
    for value, owners in held:
        places = {owner: lane for lane, owner in enumerate(owners) if owner is not None}
        if result is None:
            lanes = [places.get(k, 0) for k in wanted]
            lanes += [0] * (v.lanes - len(lanes))
            result = v.shuffle(value, value, lanes)
        else:
            lanes = [v.lanes + places[k] if k in places else i for i, k in enumerate(wanted)]
            lanes += list(range(len(lanes), v.lanes))
            result = v.shuffle(result, value, lanes)
    return result
