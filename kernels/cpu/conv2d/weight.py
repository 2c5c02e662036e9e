"""Convolution's backward-weight as products over pixels, in blocks of MR rows by NV vectors of dw.

    dw[k, kh, kw, c] = sum_{n, oh, ow} dy[n, oh, ow, k] * x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]

Two ways to lay a block over dw:
    by channels  rows are output channels k, vectors lie along c, each tap apart. For a chunk of pixels dy and each
                 tap's x are packed into panels: one run over the rows of pixels of an image that meet the tap, zeros
                 left and right of the image.
    by filters   vectors lie along k, rows are all (kh, kw, c) of a padded x, read where they are: for few input
                 channels. A run is one output row.
A chunk's dy and x stay in the second-level cache while all blocks of dw pass over them; dw is added up chunk by chunk.

The work is cut into groups of pixels, each with sums of its own, by parts of dw. The groups are added in their order,
so that the result does not depend on the number of threads.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520; other work ran beside all
but the last column):
                                     in place, by rows   panels of 512 pixels   bias in vectors, quiet machine
    3x3, 512 channels, 28 x 28, N 4        203                  364                       459
    3x3, 64 channels, 56 x 56, N 16        361                  360                       403
    7x7/2, 3 channels, 224, N 16            82                  255                       291
    5x5, 1 to 30 channels, 28, N 100       132                  276                       294
Rows above and below the image left out: 3x3, 512 channels, 7 x 7, N 16 1.07 times the speed, at 28 x 28 1.08. Blocks of
6 x 4: 0.9 to 1.0 times, packing dy in pieces of 6 takes what the blocks gain.
Chunks of 128, 256 and 1024 pixels were within 3 % of 512. Pixels whose channels are 2 KiB apart share places in both
caches: read in place they were what held 512 channels down.
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import COLUMNS, ROWS_2, run_block
from ..parallel import parallel_for
from ..rows import add_rows, copy_rows
from ..simd import VECTOR_BYTES, address

MR = ROWS_2
LINE = 64  # bytes
PANEL_VECTORS = -(-MR * 8 // VECTOR_BYTES)  # that hold MR elements of 8 bytes


@kernel
def conv2d_weight_by_channels(sums, bias_sums, dy, x, taps, p):
    """sums [groups, K, T, columns] and bias_sums [groups, K] from flat dy and x.

    Args:
        taps: [T, 2] rows and columns from a pixel's own place in x to the tap.
        p: (N H W OH OW; SH SW; OC C in memory; first channel of dy and of x; parts, output rows a chunk;
            vectors, rows and address of the micro-kernels).
    """
    parallel_for(_part_by_channels, len(sums) * p[4][0], (sums, bias_sums, dy, x, taps, p))


@kernel
def conv2d_weight_by_filters(sums, bias_sums, dy, x, rows, p):
    """sums [groups, R, K] and bias_sums [groups, K] from flat dy and x, x without padding.

    Args:
        rows: bytes from a pixel's own place in x to each of the R = KH*KW*C rows, the last one repeated MR times.
        p: as above.
    """
    parallel_for(_part_by_filters, len(sums) * p[4][0], (sums, bias_sums, dy, x, rows, p))


@inner
def _chunks_of_group(group, groups, p):
    (N, _, _, OH, _), _, _, _, (_, size), _ = p
    chunks = -(-(N * OH) // size)
    return group * chunks // groups, (group + 1) * chunks // groups


@inner
def _add_bias(sums, dy, first, last, fresh, p):
    """sums [K] from output rows first .. last - 1."""
    (_, _, _, _, OW), _, (OC, _), (k0, _), _, _ = p
    item = dy.itemsize
    width = COLUMNS * VECTOR_BYTES // item
    for k in range(0, len(sums), width):
        add_rows(
            COLUMNS, 4, dy, address(dy) + (first * OW * OC + k0 + k) * item, OC * item, (last - first) * OW,
            address(sums) + k * item, len(sums) - k, not fresh,
        )  # fmt: skip


@inner
def _part_by_channels(index, sums, bias_sums, dy, x, taps, p):
    (N, _, _, OH, OW), _, (OC, _), (k0, _), (parts, size), micro = p
    groups, K, T, columns = sums.shape
    group, part = index // parts, index % parts
    item = x.itemsize
    width = COLUMNS * VECTOR_BYTES // item
    pairs = -(-columns // width) * T
    pair0, pair1 = part * pairs // parts, (part + 1) * pairs // parts
    chunk0, chunk1 = _chunks_of_group(group, groups, p)
    tiles = -(-K // MR)
    # Vectors of b that start on a cache line are one access each; Numba aligns to half a line.
    spare = LINE // item
    a, b = np.empty(tiles * size * OW * MR, x.dtype), np.empty(size * OW * width + spare, x.dtype)
    b = b[-address(b) % LINE // item :]
    runs = np.empty((size, 3), np.int64)
    for chunk in range(chunk0, chunk1):
        first, last = chunk * size, min((chunk + 1) * size, N * OH)
        pixels = (last - first) * OW
        for tile in range(tiles):
            copy_rows(
                PANEL_VECTORS, x, address(a) + tile * pixels * MR * item, MR * item,
                address(dy) + (first * OW * OC + k0 + tile * MR) * item, OC * item, pixels, K - tile * MR, MR,
            )  # fmt: skip
        for pair in range(pair0, pair1):
            tap, column = pair % T, pair // T * width
            block = micro[0] if columns - column <= width // COLUMNS else micro[1]
            count = _pack_tap(b, x, runs, first, last, taps[tap, 0], taps[tap, 1], column, columns - column, block, p)
            _panels(block, sums[group], a, b, (address(runs), count), pixels, tap, column, chunk == chunk0)
        if part == 0:
            _add_bias(bias_sums[group], dy, first, last, chunk == chunk0, p)


@inner
def _pack_tap(b, x, runs, first, last, row, column, channel, given, block, p):
    """b [pixels, vectors]: what one tap of output rows first .. last - 1 reads, zeros left and right of the image.

    Rows above and below it are left out; runs: where those between lie in both panels. Returns how many runs.
    """
    (_, H, W, OH, OW), (SH, SW), (_, C), (_, c0), _, _ = p
    vectors, _, _ = block
    item = x.itemsize
    ow0 = min(OW, max(0, -(column // SW)))
    ow1 = max(ow0, min(OW, (W - 1 - column) // SW + 1))
    count, before, packed = 0, first - 2, 0
    for out_row in range(first, last):
        n, ih = out_row // OH, out_row % OH * SH + row
        if 0 <= ih < H:
            if before < out_row - 1:
                runs[count, 0], runs[count, 1], runs[count, 2] = (out_row - first) * OW * MR * item, packed, 0
                count += 1
            runs[count - 1, 2] += OW
            own = address(x) + (((n * H + ih) * W + ow0 * SW + column) * C + c0 + channel) * item
            _pack_row(x, address(b) + packed, vectors, own, SW * C * item, (ow0, ow1, OW), given)
            before, packed = out_row, packed + OW * vectors * VECTOR_BYTES
    return count


@inner
def _pack_row(like, to, vectors, source, source_step, span, given):
    """Pixels of one row from its first inside the image on, zeros before and after them."""
    begin, end, OW = span
    lanes = VECTOR_BYTES // like.itemsize
    step = vectors * VECTOR_BYTES
    for vector in range(vectors):
        own, left = source + vector * VECTOR_BYTES, given - vector * lanes
        copy_rows(1, like, to, step, to, 0, begin, 0, lanes)
        copy_rows(1, like, to + begin * step, step, own, source_step, end - begin, left, lanes)
        copy_rows(1, like, to + end * step, step, to, 0, OW - end, 0, lanes)
        to += VECTOR_BYTES


@inner
def _panels(block, sums, a, b, runs, pixels, tap, column, fresh):
    """All rows of dw for one tap and one block of columns; sums [K, T, columns]."""
    K, T, columns = sums.shape
    item = a.itemsize
    _, _, block_kernel = block
    outs = np.empty(MR, np.int64)
    for r in range(MR):
        outs[r] = r * T * columns * item
    own = address(sums) + (tap * columns + column) * item
    for k in range(0, K, MR):
        run_block(
            block_kernel, address(a) + k * pixels * item, address(b), runs, (0, 0), (0, 0),
            (own + k * T * columns * item, address(outs), min(MR, K - k), columns - column), 0 if fresh else 1, 0,
        )  # fmt: skip


@inner
def _part_by_filters(index, sums, bias_sums, dy, x, rows, p):
    (N, _, _, OH, _), _, _, _, (parts, size), micro = p
    groups, R, K = sums.shape
    group, part = index // parts, index % parts
    width = COLUMNS * VECTOR_BYTES // x.itemsize
    tiles = -(-R // MR)
    row0, row1 = part * tiles // parts * MR, min((part + 1) * tiles // parts * MR, R)
    chunk0, chunk1 = _chunks_of_group(group, groups, p)
    runs = np.empty((size, 3), np.int64)
    for chunk in range(chunk0, chunk1):
        first, last = chunk * size, min((chunk + 1) * size, N * OH)
        _runs(runs, first, last, p, x.itemsize)
        count = last - first
        for k in range(0, K, width):
            if K - k <= width // COLUMNS:
                _blocks(micro[0], sums[group], dy, x, rows, runs, count, row0, row1, k, chunk == chunk0, p)
            else:
                _blocks(micro[1], sums[group], dy, x, rows, runs, count, row0, row1, k, chunk == chunk0, p)
        if part == 0:
            _add_bias(bias_sums[group], dy, first, last, chunk == chunk0, p)


@inner
def _runs(runs, first, last, p, item):
    """One run for each output row: where its first pixel lies in x and in dy."""
    (_, H, W, OH, OW), (SH, _), (OC, C), (k0, c0), _, _ = p
    for out_row in range(first, last):
        n, oh = out_row // OH, out_row % OH
        runs[out_row - first, 0] = ((n * H + oh * SH) * W * C + c0) * item
        runs[out_row - first, 1] = (out_row * OW * OC + k0) * item
        runs[out_row - first, 2] = OW


@inner
def _blocks(micro, sums, dy, x, rows, runs, count, row0, row1, k, fresh, p):
    """Rows row0 .. row1 - 1 of dw for one block of filters; sums [R, K]."""
    _, (_, SW), (OC, C), _, _, _ = p
    item = x.itemsize
    K = sums.shape[1]
    _, MR, block_kernel = micro
    outs = np.empty(MR, np.int64)
    for r in range(MR):
        outs[r] = r * K * item
    for r in range(row0, row1, MR):
        run_block(
            block_kernel, address(x), address(dy) + k * item, (address(runs), count), (address(rows) + 8 * r, 0),
            (SW * C * item, OC * item),
            (address(sums) + (r * K + k) * item, address(outs), min(MR, row1 - r), K - k), 0 if fresh else 1, 0,
        )  # fmt: skip
