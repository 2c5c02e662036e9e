"""Convolution as tiles of MR pixels by some vectors of channels: forward, and backward-data phase by phase.

    y[q, k] = act(start[k] + sum over taps t, channels c:  x[q at tap t, c] * w[t, c, k])

The output is cut into regions: rectangles of a grid of pixels that meet the same taps. A region lists the taps that lie
inside the image as runs, so that no padding is read and nothing is multiplied with it: at 7 x 7 pixels a 3 x 3 filter
saves 18 % of its products. Steps between pixels are given, so that one kernel serves every stride and dilation, and all
phases of a strided backward-data. A tile is any MR neighbouring pixels of a region: it crosses rows and images.

x and y channels-last; w packed by pack.py, a group of channels after the other. One chunk owns some tiles of some
regions and some blocks of channels. Where a block of w is more than the second-level cache holds, the reduction is cut
into slices, and all tiles of the chunk go through one before the next: y is added up.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, forward; multiply-adds of the layer a cycle and core, of 32 that the core
can do; other work changes the clock, not these):
                                        13 x 2 tiles   6 x 4, regions   slices, chunks of 60 MFLOP
    3x3, 64 channels, 56 x 56, N 16         28.9             29.8             31.0
    3x3, 512 channels, 28 x 28, N 4         29.9             30.0             31.3
    3x3, 256 channels, 14 x 14, N 16        29.6             33.3             33.4
    3x3, 512 channels, 7 x 7, N 16          29.2             33.7             34.3
Asking for the next tile's pixels ahead: nothing gained in 3x3 layers.
Dealt out so that two threads have equal halves (2 cores, us):                    before   after   PyTorch
    1x1, 256 to 1024 channels, 14 x 14, N 16, forward: 16 blocks as 9 + 7          3938    3543      3590
    1x1, 832 to 384, 7 x 7, N 16, backward-data: 13 blocks as 6 + 6 + 1            1382    1054      1134
    1x1/2, 64 to 128, 56 x 56, N 16, backward-data: pixels without taps last        798     628       721
Runs of few channels through a list of steps, no padded copy (2 cores, us):
    7x7/2, 3 to 64 channels, 224 x 224, N 16, forward                              8532    8146      8556
    7x7, 1 to 64 channels, 28 x 28, N 100, forward                                 1304    1259      1420
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import run_block
from ..parallel import parallel_for
from ..simd import VECTOR_BYTES, address

MOST_ROWS = 16  # of any micro-kernel
SLICES = 4  # columns of `regions` before its runs


@kernel
def conv2d_tiles(y, x, w, bias, regions, runs, places, pieces, starts, p):
    """Write all regions of y.

    Args:
        y, x, w: flat arrays; w packed. bias: for each group, padded with zeros to whole vectors.
        regions: [R, 4 + slices + 1] rows and columns of the grid; bytes to its first pixel in x and in y; the first of
            its runs in each slice, and the end of the last.
        runs: [2, all runs, 3] of the micro-kernel: for whole blocks, and for a group's last block.
        places: bytes in x from a pixel's own place to each step of its runs, where these point into it; else nothing.
        pieces: [P, 3] region, first and last + 1 of its pixels (counted through all images).
        starts: [pixel chunks + 1] the first piece of each chunk.
        p: (bytes per step of N, I, J in x; the same in y; groups, columns, blocks of a group, parts that all blocks are
            dealt out in; bytes of a group's channels in x, of its packed filters and of a whole block; act, as micro.py
            has it; vectors, rows and address of the micro-kernel of whole blocks, and of the last one).
    """
    chunks = (len(starts) - 1) * p[2][3]
    arrays = address(y), address(x), address(w), address(bias), address(places), y.itemsize
    parallel_for(_chunk_of_tiles, chunks, (arrays, regions, runs, pieces, starts, p))


@inner
def _chunk_of_tiles(chunk, arrays, regions, runs, pieces, starts, p):
    x_steps, y_steps, (groups, _, blocks, parts), _, _, micro = p
    part, chunk = divmod(chunk, len(starts) - 1)
    block0, block1 = _share(part, parts, groups * blocks), _share(part + 1, parts, groups * blocks)
    most = 0
    for piece in range(starts[chunk], starts[chunk + 1]):
        most = max(most, pieces[piece, 2] - pieces[piece, 1])
    inside, outs = np.empty(most + MOST_ROWS, np.int64), np.empty(most + MOST_ROWS, np.int64)
    for cut in range(SLICES, regions.shape[1] - 1):
        for piece in range(starts[chunk], starts[chunk + 1]):
            own, first, last = regions[pieces[piece, 0]], pieces[piece, 1], pieces[piece, 2]
            run, taps = own[cut], own[cut + 1] - own[cut]
            if taps == 0 and (cut > SLICES or own[-1] > own[SLICES]):
                continue
            _find_pixels(inside, own[0], own[1], own[2], x_steps, first, last)
            _find_pixels(outs, own[0], own[1], own[3], y_steps, first, last)
            tiles = last - first, address(inside), address(outs), run == own[SLICES], run + taps == own[-1]
            for group in range(block0 // blocks, -(-block1 // blocks)):
                own0, own1 = max(block0 - group * blocks, 0), min(block1 - group * blocks, blocks)
                whole1 = min(own1, blocks - 1)
                if own0 < whole1:
                    _sweep(micro[0], tiles, group, (own0, whole1), arrays, (address(runs[0]) + 24 * run, taps), p)
                if own1 == blocks:
                    _sweep(micro[1], tiles, group, (whole1, own1), arrays, (address(runs[1]) + 24 * run, taps), p)


@inner
def _share(k, parts, n):
    """Where part k of n items starts: parts as equal as may be, the same from both ends."""
    return (n * k + parts // 2) // parts


@inner
def _find_pixels(offsets, I, J, start, steps, first, last):
    """Where pixels first .. last - 1 of a region lie, in bytes; tiles that reach beyond the end find the last one."""
    n, i, j = first // (I * J), first // J % I, first % J
    q, count = 0, last - first
    while q < count:
        own = start + n * steps[0] + i * steps[1] + j * steps[2]
        length = min(J - j, count - q)
        for r in range(length):
            offsets[q + r] = own + r * steps[2]
        q, i, j = q + length, i + 1, 0
        if i == I:
            n, i = n + 1, 0
    for r in range(count, count + MOST_ROWS):
        offsets[r] = offsets[count - 1]


@inner
def _sweep(micro, tiles, group, blocks, arrays, runs, p):
    """All tiles of some pixels, each with some blocks of a group."""
    _, _, (_, columns, _, _), (x_group, w_group, block_bytes), act, ((vectors, _, _), _) = p
    y, x, w, bias, places, item = arrays
    _, MR, block_kernel = micro
    count, inside, outs, fresh, done = tiles
    lanes = VECTOR_BYTES // item
    bias += group * -(-columns // lanes) * VECTOR_BYTES
    for q in range(0, count, MR):
        for block in range(blocks[0], blocks[1]):
            first = block * vectors * lanes
            run_block(
                block_kernel, x + group * x_group, w + group * w_group + block * block_bytes, runs,
                (inside + 8 * q, 0), (places, 0),
                (y + (group * columns + first) * item, outs + 8 * q, min(MR, count - q), columns - first),
                bias + first * item if fresh else 1, act if done else 0,
            )  # fmt: skip
