"""Convolution's backward-weight as products over pixels, in blocks of MR rows by NV vectors of dw.

    dw[k, kh, kw, c] = sum_{n, oh, ow} dy[n, oh, ow, k] * x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]

Two ways to lay a block over dw:
    by channels: rows are output channels k, vectors lie along c; each tap apart, padding is cut off the runs;
    by filters:  vectors lie along k, rows are all (kh, kw, c) of a padded x: for few input channels.
A run of the micro-kernel is the part of one output row that meets the image. Pixels are cut into chunks whose dy and x
stay in the second-level cache while all blocks of dw pass over them; dw is added up chunk by chunk.

A part is some pixel groups by some of the blocks; groups have sums of their own, which are added in the order of the
groups, so that the result does not depend on the number of threads.
"""

import numpy as np

from ..jit import kernel
from ..micro import COLUMNS, ROWS_1, ROWS_2, TABLE, micro_kernel
from ..parallel import parallel_for
from ..simd import VECTOR_BYTES, address


@kernel
def conv2d_weight_tiles(sums, bias_sums, dy, x, rows, taps, p):
    """sums [groups, rows, taps, columns] and bias_sums [groups, OC] from flat dy and x.

    Args:
        rows: offsets of the block's rows in bytes, the last one repeated ROWS_2 times.
        taps: [T, 2] rows and columns from a pixel's own place in x to the tap.
        p: (N H W OH OW; SH SW; OC and C in memory; first channel of dy and x; columns, whether they lie along k;
            groups, parts of a group, output rows a chunk).
    """
    _, _, _, _, _, (groups, parts, _) = p
    parallel_for(_part_of_dw, groups * parts, (sums, bias_sums, dy, x, rows, taps, p))


@kernel
def _part_of_dw(index, sums, bias_sums, dy, x, rows, taps, p):
    (N, _, _, OH, OW), _, (OC, _), (k0, _), (columns, along_k), (groups, parts, size) = p
    group, part = index // parts, index % parts
    T, width = len(taps), COLUMNS * VECTOR_BYTES // x.itemsize
    pairs = -(-columns // width) * T
    pair0, pair1 = part * pairs // parts, (part + 1) * pairs // parts
    chunks = -(-(N * OH) // size)
    chunk0, chunk1 = group * chunks // groups, (group + 1) * chunks // groups
    runs = np.empty((size, 3), np.int64)
    for chunk in range(chunk0, chunk1):
        first, last = chunk * size, min((chunk + 1) * size, N * OH)
        fresh = chunk == chunk0
        for pair in range(pair0, pair1):
            tap, column = pair % T, pair // T * width
            count = _runs(runs, first, last, taps[tap, 0], taps[tap, 1], p, x.itemsize)
            if columns - column <= VECTOR_BYTES // x.itemsize:
                _blocks(ROWS_1, 1, sums[group], dy, x, rows, runs, count, tap, column, fresh, p)
            else:
                _blocks(ROWS_2, COLUMNS, sums[group], dy, x, rows, runs, count, tap, column, fresh, p)
        if part == 0:
            if fresh:
                bias_sums[group] = 0
            for pixel in range(first * OW, last * OW):
                for k in range(len(bias_sums[group])):
                    bias_sums[group, k] += dy[pixel * OC + k0 + k]


@kernel
def _runs(runs, first, last, row, column, p, item):
    """The runs of output rows first .. last - 1 for one tap, as offsets of rows and of columns; how many there are."""
    (_, H, W, OH, OW), (SH, SW), (OC, C), (k0, c0), (_, along_k), _ = p
    ow0 = max(0, -(column // SW))
    ow1 = min(OW, (W - 1 - column) // SW + 1)
    count = 0
    for out_row in range(first, last):
        n, oh = out_row // OH, out_row % OH
        ih = oh * SH + row
        if 0 <= ih < H and ow0 < ow1:
            of_dy = ((out_row * OW + ow0) * OC + k0) * item
            of_x = (((n * H + ih) * W + ow0 * SW + column) * C + c0) * item
            runs[count, 0], runs[count, 1] = (of_x, of_dy) if along_k else (of_dy, of_x)
            runs[count, 2] = ow1 - ow0
            count += 1
    return count


@kernel
def _blocks(MR, NV, sums, dy, x, rows, runs, count, tap, column, fresh, p):
    """All rows of dw for one tap and one block of columns; sums [rows, taps, columns]."""
    _, (_, SW), (OC, C), _, (columns, along_k), _ = p
    item = x.itemsize
    R, T, _ = sums.shape
    outs = np.empty(MR, np.int64)
    for r in range(MR):
        outs[r] = r * T * columns * item
    own = address(sums) + (tap * columns + column) * item
    moved = column * item
    a, b = (address(x), address(dy) + moved) if along_k else (address(dy), address(x) + moved)
    steps = (SW * C * item, OC * item) if along_k else (OC * item, SW * C * item)
    for r in range(0, R, MR):
        micro_kernel(
            TABLE, MR, NV, x, a, b, (address(runs), count), (address(rows) + 8 * r, 0), steps,
            (own + r * outs[1], address(outs), min(MR, R - r), columns - column), 0 if fresh else 1, 0,
        )  # fmt: skip


@kernel
def conv2d_weight_sum(dw, db, sums, bias_sums, along_k):
    """dw [K, R] and db [K] from the groups' sums, [groups, K, R] or, along k, [groups, R, K]."""
    parallel_for(_sum_filter, len(db), (dw, db, sums, bias_sums, along_k))


@kernel
def _sum_filter(k, dw, db, sums, bias_sums, along_k):
    groups, R = len(sums), dw.shape[1]
    for r in range(R):
        total = sums[0, r, k] if along_k else sums[0, k, r]
        for g in range(1, groups):
            total += sums[g, r, k] if along_k else sums[g, k, r]
        dw[k, r] = total
    total = bias_sums[0, k]
    for g in range(1, groups):
        total += bias_sums[g, k]
    db[k] = total
