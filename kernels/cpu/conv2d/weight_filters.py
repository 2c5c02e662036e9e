"""Convolution's backward-weight of few input channels: vectors along the filters, x and dy read where they lie.

    dw[k, kh, kw, c] = sum_{n, oh, ow} dy[n, oh, ow, k] * x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]

What a pixel's taps of one row of the filter read lies side by side in x: KW*C elements, unless groups or dilation part
them. A block of dw is some of those, each broadcast, by one or two vectors of filters: one address leads to all its
rows, and the step to the next pixel is the same all along a row of y. x has zeros left and right of its rows; rows
above and below the image are left out.

The work is cut into groups of output rows, each with sums of its own, by parts of dw's blocks. The groups are added in
their order, so that the result does not depend on the number of threads.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520, in turn in one run on a machine that others used
too, PyTorch 2.13 beside it):
                                 blocks of any rows     blocks of neighbours    PyTorch
    5x5, 6 to 16 channels, 14 x 14, N 100     227              315                227
    5x5, 16 to 32, 28 x 28, N 16              315              472                475    before: by channels
    5x5, 32 to 64, 14 x 14, N 100             386              448                451    before: by channels
    1x1, 480 to 16, 14 x 14, N 16             163              234                197    before: by channels
    7x7, 1 to 64, 28 x 28, N 100              298              376                267
    11x11/4, 3 to 96, 227 x 227, N 16         374              414                367
    5x5, 1 to 30, 28 x 28, N 100              321              283                170
A row of each table of offsets was loaded at every step. The last layer's blocks of 5 rows pass over dy five times.
Blocks alone, 10 x 2 to 14 x 2, 15 x 1 and 30 x 1, rows of 10 pixels and more: 231 to 272 of 267. The bias first, which
brings dy into the caches as a stream: 1.05 times the speed.
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import COLUMNS, run_block
from ..parallel import parallel_for
from ..simd import REGISTERS, VECTOR_BYTES, address
from .weight import CHUNKS, add_bias, add_sums, chunks_of_group

# Rows of a block at most, by its vectors.
ROWS = {1: 24, 2: 13} if REGISTERS == 32 else {1: 12, 2: 6}
MOST_ROWS = max(ROWS.values())
# Numbers of a block: its first row in dw, the filter row's place beside a pixel's own, bytes from a pixel's own place
# in a row of x to the block's first element, rows, address of the micro-kernels for COLUMNS vectors and for one.
BLOCK = 6


@kernel
def conv2d_weight_by_filters(dw, db, sums, bias_sums, dy, x, blocks, p):
    """dw [K, R] and db [K] from flat dy and x; R = KH*KW*C.

    Args:
        sums, bias_sums: scratch [groups, R, K] and [groups, K].
        blocks: [blocks, BLOCK], by the filter's rows.
        p: (N H W OH OW, W with the zeros; SH SW; OC C in memory; first channel of dy and of x; parts of the blocks,
            output rows a chunk).
    """
    parallel_for(_part, len(sums) * p[4][0], (sums, bias_sums, dy, x, blocks, p))
    chunks = min(sums.shape[1], CHUNKS)
    parallel_for(_add_turned, chunks, (chunks, dw, db, sums, bias_sums))


@inner
def _add_turned(chunk, chunks, dw, db, sums, bias_sums):
    """Some columns of dw from the rows of all groups; the first chunk does db."""
    groups, R, K = sums.shape
    total = np.empty(K, dw.dtype)
    for r in range(chunk * R // chunks, (chunk + 1) * R // chunks):
        add_sums(total, 0, K, sums[:, r], R * K, groups)
        for k in range(K):
            dw[k, r] = total[k]
    if chunk == 0:
        add_sums(db, 0, K, bias_sums, K, groups)


@inner
def _part(index, sums, bias_sums, dy, x, blocks, p):
    (N, _, _, OH, OW), _, (OC, _), (k0, _), (parts, size) = p
    groups, _, K = sums.shape
    group, part = index // parts, index % parts
    item = x.itemsize
    begin, end = part * len(blocks) // parts, (part + 1) * len(blocks) // parts
    runs, outs = np.empty((size, 3), np.int64), np.empty(MOST_ROWS, np.int64)
    for r in range(MOST_ROWS):
        outs[r] = r * K * item
    chunk0, chunk1 = chunks_of_group(group, groups, N * OH, size)
    for chunk in range(chunk0, chunk1):
        first, last = chunk * size, min((chunk + 1) * size, N * OH)
        fresh = chunk == chunk0
        if part == 0:
            own = address(dy) + (first * OW * OC + k0) * item
            add_bias(dy, address(bias_sums) + group * K * item, own, OC * item, (last - first) * OW, K, fresh)
        count = 0
        for block in range(begin, end):
            if block == begin or blocks[block, 1] != blocks[block - 1, 1]:
                count = _runs(runs, first, last, blocks[block, 1], item, p)
            _products(sums[group], dy, x, blocks[block], (address(runs), count), address(outs), fresh, p)


@inner
def _runs(runs, first, last, row, item, p):
    """One run for each output row whose tap is inside: where its first pixel lies in x and in dy; how many."""
    (_, H, W, OH, OW), (SH, _), (OC, C), (k0, c0), _ = p
    count = 0
    for out_row in range(first, last):
        n, ih = out_row // OH, out_row % OH * SH + row
        if 0 <= ih < H:
            runs[count, 0] = ((n * H + ih) * W * C + c0) * item
            runs[count, 1], runs[count, 2] = (out_row * OW * OC + k0) * item, OW
            count += 1
    return count


@inner
def _products(sums, dy, x, block, runs, outs, fresh, p):
    """One block of rows of dw, for all filters; sums [R, K]."""
    _, (_, SW), (OC, C), _, _ = p
    item = x.itemsize
    K = sums.shape[1]
    lanes = VECTOR_BYTES // item
    for k in range(0, K, COLUMNS * lanes):
        run_block(
            block[4] if K - k > lanes else block[5], address(x) + block[2], address(dy) + k * item, runs, (0, 0),
            (SW * C * item, OC * item), (address(sums) + (block[0] * K + k) * item, outs, block[3], K - k),
            0 if fresh else 1, 0,
        )  # fmt: skip
