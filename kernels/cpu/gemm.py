"""Matrix product with rows of a where they lie and b packed: linear layers, 1x1 convolutions, matmul.

    c[m, n] = act(start[n] + sum_k a[m, k] * b[k, n])

a and c have neighbouring elements in a row and any step between rows; b is packed by pack.py. One chunk owns some rows
of c and some blocks of its columns. Deep products are cut along k: DEPTH rows of all the chunk's blocks of b stay in
the second-level cache while its rows of a pass over them, and the rows of each tile of a are first copied next to one
another, because rows a power of two apart would fight for the same places in the first-level cache. c collects the
parts in the order of k, so that the result does not depend on the number of threads.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520):
    2048 x 2048 x 2048     388, MKL through PyTorch 213
    100 x 4320 x 100       b turned while packed: 114; its masked rows kept inside the array (a masked read from a
                           page that is missing takes hundreds of cycles): 170; PyTorch 179
"""

import numpy as np

from .jit import inner, kernel
from .micro import COLUMNS, run_block
from .parallel import parallel_for
from .rows import copy_rows
from .simd import VECTOR_BYTES, address

DEPTH = 256
LINE = 64  # bytes: copied rows start a cache line apart from a power of two


@kernel
def gemm(c, a, b, start, p):
    """Fill c.

    Args:
        c, a: flat. b: packed. start: one element for each column, padded to whole blocks with zeros.
        p: (M N K; first element of a, elements between its rows; the same of c;
            rows a chunk, blocks of columns a chunk, 1 to cut along k; 1 for ReLU;
            vectors, rows and address of the micro-kernels).
    """
    (M, N, _), _, _, (size, per_chunk, _), _, _ = p
    blocks = -(-N // (COLUMNS * VECTOR_BYTES // c.itemsize))
    places = address(c), address(a), address(b), address(start), c.itemsize
    parallel_for(_chunk_of_c, -(-M // size) * -(-blocks // per_chunk), (c.dtype.type(0), places, p))


@inner
def _chunk_of_c(chunk, zero, places, p):
    (M, N, K), _, _, (size, per_chunk, deep), _, micro = p
    chunks = -(-M // size)
    row = chunk % chunks * size
    rows = row, min(row + size, M)
    lanes = VECTOR_BYTES // places[4]
    blocks = -(-N // (COLUMNS * lanes))
    block0 = chunk // chunks * per_chunk
    block1 = min(block0 + per_chunk, blocks)
    narrow = block1 == blocks and N - (blocks - 1) * COLUMNS * lanes <= lanes
    wide1 = block1 - 1 if narrow else block1
    for k in range(0, max(K, 1), DEPTH if deep else max(K, 1)):
        if block0 < wide1:
            _slice_of_c(micro[1], rows, (block0, wide1), k, zero, places, p)
        if narrow:
            _slice_of_c(micro[0], rows, (wide1, block1), k, zero, places, p)


@inner
def _slice_of_c(micro, rows, blocks, k, zero, places, p):
    """Add the products from k on, DEPTH of them or all."""
    (_, N, K), (a0, a_row), (c0, c_row), (_, _, deep), relu, _ = p
    vectors, MR, block_kernel = micro
    c, a, b, start, item = places
    width = COLUMNS * VECTOR_BYTES // item
    depth = min(DEPTH, K - k) if deep else K
    pitch = DEPTH + LINE // item
    tile = np.empty(MR * pitch * item if deep else 1, np.uint8)
    runs, offsets, outs = np.empty(3, np.int64), np.empty(MR, np.int64), np.empty(MR, np.int64)
    runs[0], runs[1], runs[2] = 0, 0, depth
    act = relu if k + depth == K else 0
    for m in range(rows[0], rows[1], MR):
        count = min(MR, rows[1] - m)
        own = a + (a0 + m * a_row + k) * item
        for r in range(MR):
            offsets[r] = min(r, count - 1) * (pitch if deep else a_row) * item
            outs[r] = r * c_row * item
            if deep and r < count:
                _copy(zero, address(tile) + r * pitch * item, own + r * a_row * item, depth, item)
        for block in range(blocks[0], blocks[1]):
            column = block * width
            run_block(
                block_kernel, address(tile) if deep else own,
                b + (block * K * width + k * vectors * (width // COLUMNS)) * item,
                (address(runs), 1), (address(offsets), 0), (0, 0),
                (c + (c0 + m * c_row + column) * item, address(outs), count, N - column),
                start + column * item if k == 0 else 1, act,
            )  # fmt: skip


@inner
def _copy(zero, to, source, length, item):
    """`length` neighbouring elements."""
    lanes = VECTOR_BYTES // item
    whole = length // lanes
    copy_rows(1, zero, to, VECTOR_BYTES, source, VECTOR_BYTES, whole, lanes, lanes)
    done, rest = whole * VECTOR_BYTES, length % lanes
    copy_rows(1, zero, to + done, 0, source + done, 0, min(rest, 1), rest, rest)
