"""Matrix products and the fully connected layer: operands are packed piece by piece, each where it is used next.

    c[m, n] = act(bias[n] + sum_k a[m, k] * b[k, n])

a and b may be transposed, c lies row by row. One chunk owns some rows of c and some blocks of its columns, and packs
its own part of b: `depth` steps of k of all its blocks stay in the second-level cache while its rows of a pass over
them. A tile of a is read where it lies; copied first where its rows lie a power of two apart, which would fight for the
same places in the first-level cache; or, where a is transposed, packed with its rows side by side. c collects the
slices in the order of k, so that the result does not depend on the number of threads.

The backward of the fully connected layer is two such products and a sum of rows, in one parallel loop:

    dx = dy w       dw = dy^T x       db[n] = sum_m dy[m, n]

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520):
    2048 x 2048 x 2048     388, MKL through PyTorch 213
    100 x 4320 x 100       b turned while packed: 114; its masked rows kept inside the array (a masked read from a
                           page that is missing takes hundreds of cycles): 170; PyTorch 179
us, of layers as inputs x outputs at batch 100     400 x 120    120 x 84    84 x 10    4320 x 100
    forward, b packed in a loop of its own            53           20          7.7        273
    packed where it is used next                      44           12          2.4        262
    backward as three loops                           89           24         14          474
    dx, dw and db in one                              55           12.5        4.3        397
    b packed along the rows of all blocks             53           12.5        4.3        387
"""

import numpy as np

from .jit import inner, kernel
from .micro import COLUMNS, ROWS_2, run_block
from .pack import copy_elements
from .parallel import parallel_for
from .rows import add_rows, copy_rows, transpose_tile
from .simd import VECTOR_BYTES, address

LINE = 64  # bytes: copied rows start a cache line apart from a power of two
IN_PLACE, COPIED, TRANSPOSED = range(3)  # how tiles of a are read
PANEL_VECTORS = -(-ROWS_2 * 8 // VECTOR_BYTES)  # that hold a step of a tile of 8-byte elements


@kernel
def gemm(c, a, b, bias, p):
    """Fill c from a, b and bias (one element for each column, or none), all flat.

    p: (M N K; elements between a's rows, between its steps of k, and how it is read; elements between b's columns
        and between its steps of k; rows a chunk, blocks of columns a chunk, steps a slice; 1 for ReLU;
        vectors, rows and address of the micro-kernels).
    """
    places = address(c), address(a), address(b), address(bias) if len(bias) else 0, c.itemsize
    parallel_for(_chunk_of_c, _chunks(p), (c.dtype.type(0), places, p))


@kernel
def linear_backward(dx, dw, db, dy, x, w, p, at_once):
    """Fill dx (nothing if it is empty), dw and db, all flat. p: of dx and of dw, as gemm's.

    at_once: chunks that one thread takes at least.
    """
    item = dw.itemsize
    of_dx = address(dx), address(dy), address(w), 0, item
    of_dw = address(dw), address(dy), address(x), 0, item
    chunks = (_chunks(p[0]) if len(dx) else 0), _chunks(p[1])
    total = chunks[0] + chunks[1] + 1
    sums = address(db), address(dy), len(db), p[1][0][2]
    args = dw.dtype.type(0), chunks, at_once, (of_dx, of_dw), sums, p
    parallel_for(_some_of_backward, -(-total // at_once), args)


@inner
def _chunks(p):
    (M, N, _), _, _, (size, per_chunk, _), _, _ = p
    width = per_chunk * p[5][1][0]
    return -(-M // size) * -(-N // width)


@inner
def _some_of_backward(index, zero, chunks, at_once, places, sums, p):
    total = chunks[0] + chunks[1] + 1
    for chunk in range(index * at_once, min((index + 1) * at_once, total)):
        if chunk == total - 1:
            _sum_of_rows(zero, sums, places[1][4])
        else:
            of_dw = 1 if chunk >= chunks[0] else 0
            _chunk_of_c(chunk - of_dw * chunks[0], zero, places[of_dw], p[of_dw])


@inner
def _sum_of_rows(zero, sums, item):
    out, rows, N, M = sums
    width = COLUMNS * VECTOR_BYTES // item
    for n in range(0, N, width):
        add_rows(COLUMNS, 4, zero, rows + n * item, N * item, M, out + n * item, N - n, 0)


@inner
def _chunk_of_c(chunk, zero, places, p):
    (M, N, K), _, _, (size, per_chunk, depth), _, micro = p
    item = places[4]
    width, lanes = micro[1][0], micro[0][0]
    chunks = -(-M // size)
    row = chunk % chunks * size
    rows = row, min(row + size, M)
    first = chunk // chunks * per_chunk * width
    last = min(first + per_chunk * width, N)
    rest = (last - first) % width
    wide = last - rest if rest <= lanes else last
    memory = np.empty(per_chunk * width * depth * item + LINE, np.uint8)
    for k in range(0, max(K, 1), depth):
        packed = _first_line(memory)
        _slice_of_c(micro[1], rows, (first, wide), k, zero, packed, places, p)
        _slice_of_c(micro[0], rows, (wide, last), k, zero, packed, places, p)


@inner
def _slice_of_c(micro, rows, columns, k, zero, packed, places, p):
    """Add the products of one slice of k for blocks of one width."""
    (_, N, K), (a_row, a_step, reading), _, (_, _, depth), relu, _ = p
    width, MR, block_kernel = micro
    c, a, _, bias, item = places
    steps = min(depth, K - k)
    _pack(zero, packed, width, columns, k, steps, places, p)
    pitch = steps + LINE // item
    memory = np.empty(MR * pitch * item + LINE, np.uint8)
    start = np.empty(width * item, np.uint8)
    runs, offsets, outs = np.empty(3, np.int64), np.empty(MR, np.int64), np.empty(MR, np.int64)
    runs[0], runs[1], runs[2] = 0, 0, steps
    for r in range(MR):
        outs[r] = r * N * item
    for m in range(rows[0], rows[1] if columns[0] < columns[1] else rows[0], MR):
        count, tile = min(MR, rows[1] - m), _first_line(memory)
        own = a + (m * a_row + k * a_step) * item
        for r in range(MR):
            offsets[r] = min(r, count - 1) * (pitch if reading == COPIED else a_row) * item
            if reading == COPIED and r < count:
                copy_elements(zero, tile + r * pitch * item, own + r * a_row * item, steps, item)
        if reading == TRANSPOSED:
            copy_rows(PANEL_VECTORS, zero, tile, MR * item, own, a_step * item, steps, count, MR)
        for column in range(columns[0], columns[1], width):
            begin = 1 if k else 0
            if bias and not k:
                begin = address(start)
                copy_rows(COLUMNS, zero, begin, 0, bias + column * item, 0, 1, N - column, width)
            run_block(
                block_kernel, own if reading == IN_PLACE else tile, packed + (column - columns[0]) * steps * item,
                (address(runs), 1), (address(offsets), 0), (0, 0),
                (c + (m * N + column) * item, address(outs), count, N - column), begin, relu if k + steps == K else 0,
            )  # fmt: skip


@inner
def _first_line(memory):
    """Where its first whole cache line is; asked for inside the loop that uses it, as an array ends at its last use."""
    return address(memory) + -address(memory) % LINE


@inner
def _pack(zero, packed, width, columns, k, steps, places, p):
    """Steps k .. of some blocks of b, one after the other, zeros beyond the last column."""
    (_, N, _), _, (b_column, b_step), _, _, _ = p
    item, first = places[4], columns[0]
    lanes = VECTOR_BYTES // item
    block_bytes, own = steps * width * item, places[2] + (first * b_column + k * b_step) * item
    if b_column == 1 and width > lanes:  # along the rows of all blocks, as memory is read ahead
        whole = (min(columns[1], N) - first) // width if first < columns[1] else 0
        for s in range(steps):
            to, source = packed + s * width * item, own + s * b_step * item
            copy_rows(COLUMNS, zero, to, block_bytes, source, width * item, whole, width, width)
        first += whole * width
    for column in range(first, columns[1], width):
        to = packed + (column - columns[0]) // width * block_bytes
        _pack_block(zero, to, width, column, k, steps, places, p)


@inner
def _pack_block(zero, to, width, column, k, steps, places, p):
    """Steps k .. of one block of b, zeros beyond its last column."""
    (_, N, _), _, (b_column, b_step), _, _, _ = p
    item = places[4]
    lanes = VECTOR_BYTES // item
    for lane in range(0, width, lanes):
        left = N - column - lane
        source = places[2] + ((column + lane) * b_column + k * b_step) * item
        if b_column == 1:
            copy_rows(1, zero, to + lane * item, width * item, source, b_step * item, steps, left, lanes)
            continue
        for s in range(0, steps, lanes):
            transpose_tile(
                zero, to + (s * width + lane) * item, width * item, source + s * item, b_column * item,
                left, min(lanes, steps - s),
            )  # fmt: skip
