"""Convolution as tiles of MR pixels by NV vectors of channels: forward, and backward-data phase by phase.

    y[q, k] = act(start[k] + sum over taps t, channels c:  x[q at tap t, c] * w[t, c, k])

q runs over a grid of N * I * J pixels, whose place in x and in y is given by steps, so that one kernel serves every
stride, dilation and padding, and the phases of a strided backward-data. A tile is any MR neighbouring pixels of the
grid: it crosses rows and images, so narrow maps lose nothing. A tap that leaves the image reads a row of zeros; tiles
that lie inside need no table of their own.

x and y channels-last; w packed in blocks of COLUMNS vectors of output channels, each block [taps][channels][lanes], the
last block one vector where that is enough. One chunk owns some pixels and some blocks.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520; forward, backward-data; other
work ran beside the first):
    3x3, 256 channels, 14 x 14, batch 16    473, 475; filters packed by register transposes 501, 502
    3x3, 512 channels, 7 x 7, batch 16      412, 426                                        480, 488
    3x3/2, 128 channels, 56 x 56, batch 16  409, 405                                        461, 466
    5x5, 1 to 30 channels, 28 x 28, batch 100   249 forward: a filter's row is one run of 5
Tiles of 8 rows, and unrolling 8 steps in place of 4, were no faster in turn with these.
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import COLUMNS, run_block
from ..parallel import parallel_for
from ..simd import VECTOR_BYTES, address


@kernel
def conv2d_tiles(y, x, w, bias, zeros, taps, runs, p):
    """Write y's pixels of one grid.

    Args:
        y, x, w: flat arrays; w packed. bias: padded with zeros to whole blocks. zeros: as long as the longest run.
        taps: [T, 2] rows and columns from a pixel's own place in x to the tap.
        runs: [COLUMNS, T, 3] the runs of the micro-kernel for blocks of 1 and of COLUMNS vectors.
        p: (N I J of the grid; offset of its first pixel in x and bytes per step of N, I, J; the same in y;
            H W of x and the pixels one step of I, J moves in it; first and last row and column of the taps;
            columns, blocks, bytes of a block, pixels a chunk, blocks a chunk; act; vectors, rows and
            address of the micro-kernels).
    """
    (N, I, J), _, _, _, _, (_, blocks, _, size, per_chunk), _, _ = p
    chunks = -(-(N * I * J) // size) * -(-blocks // per_chunk)
    places = address(y), address(x), address(w), address(bias), address(zeros), y.itemsize
    parallel_for(_chunk_of_tiles, chunks, (places, taps, runs, p))


@inner
def _chunk_of_tiles(chunk, places, taps, runs, p):
    (N, I, J), _, _, _, _, (columns, blocks, _, size, per_chunk), _, micro = p
    pixel_chunks = -(-(N * I * J) // size)
    first = chunk % pixel_chunks * size
    span = first, min(first + size, N * I * J)
    block0 = chunk // pixel_chunks * per_chunk
    block1 = min(block0 + per_chunk, blocks)
    lanes = VECTOR_BYTES // places[5]
    narrow = block1 == blocks and columns - (blocks - 1) * COLUMNS * lanes <= lanes
    wide1 = block1 - 1 if narrow else block1
    if block0 < wide1:
        _sweep(micro[1], span, (block0, wide1), places, taps, runs[COLUMNS - 1], p)
    if narrow:
        _sweep(micro[0], span, (wide1, block1), places, taps, runs[0], p)


@inner
def _sweep(micro, span, block_span, places, taps, runs, p):
    """All tiles of a chunk of pixels, each with all blocks of the chunk."""
    (_, I, J), (x0, xn, xi, xj), (y0, yn, yi, yj), (H, W, RS, CS), _, (columns, _, block_bytes, _, _), act, _ = p
    top, bottom, left, right = p[4]
    y, x, w, bias, zeros, item = places
    _, MR, block_kernel = micro
    first, last = span
    T = len(taps)
    table = np.empty((T + 4, MR), np.int64)
    own, outs, row, column = table[T], table[T + 1], table[T + 2], table[T + 3]
    n, i, j = first // (I * J), first // J % I, first % J
    for q in range(first, last, MR):
        count = min(MR, last - q)
        inside = True
        for r in range(count):
            own[r] = x0 + n * xn + i * xi + j * xj
            outs[r] = y0 + n * yn + i * yi + j * yj
            row[r], column[r] = i * RS, j * CS
            inside &= row[r] + top >= 0 and row[r] + bottom < H and column[r] + left >= 0 and column[r] + right < W
            j += 1
            if j == J:
                i, j = i + 1, 0
                if i == I:
                    n, i = n + 1, 0
        for r in range(count, MR):
            own[r] = own[0]
        if not inside:
            _find_taps(table, count, zeros - x, taps, runs, H, W)
        for block in range(block_span[0], block_span[1]):
            done = block * COLUMNS * (VECTOR_BYTES // item)
            run_block(
                block_kernel, x, w + block * block_bytes, (address(runs), T),
                (address(own) if inside else address(table), 0 if inside else 8 * MR), (0, 0),
                (y + done * item, address(outs), count, columns - done),
                bias + done * item, act,
            )  # fmt: skip


@inner
def _find_taps(table, count, nothing, taps, runs, H, W):
    """table [T, MR]: where each pixel finds each tap, its own place or zeros."""
    T = len(taps)
    own, row, column = table[T], table[T + 2], table[T + 3]
    for t in range(T):
        for r in range(count):
            there = 0 <= row[r] + taps[t, 0] < H and 0 <= column[r] + taps[t, 1] < W
            table[t, r] = own[r] if there else nothing - runs[t, 0]
        for r in range(count, len(own)):
            table[t, r] = table[t, 0]
