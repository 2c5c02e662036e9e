"""Backward-data where x has few channels: vectors lie along a filter's whole row, (kw, c), instead of along c alone.

    z[ow, kw, c] = sum over kh, k:  dy[n, oh, ow, k] * w[k, kh, kw, c]      with oh * SH = ih + PH - kh * DH
    dx[n, ih, iw, c] = sum over kw:  z[ow, kw, c]                           with ow * SW = iw + PW - kw

A row ih of dx is the same product for all images, so a tile of pixels goes over several images and no tap is computed
that meets the padding. z, of one row of some images, stays in the first-level cache. With 6 channels and a 5 x 5 filter
30 of 32 lanes work instead of 6 of 16.

Ladder (AMD Zen 5, one core, AVX-512, float32, 5x5, 16 to 6 channels, 14 x 14, batch 100, GFLOP/s of 260):
    tiles of pixels by channels                              28
    vectors along the filter's row                          123
    places of pixels once a chunk, no divisions in the sums  136

dx, dy channels-last; w packed, [blocks][KH][OC][lanes] with KW * C columns. One chunk owns some images.
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import COLUMNS, run_block
from ..parallel import parallel_for
from ..rows import add_rows
from ..simd import VECTOR_BYTES, address


@kernel
def conv2d_backward_data_narrow(dx, dy, w, start, p):
    """Fill flat dx; start: zeros, one vector block. p: (N H W OH OW; C OC KH KW; SH SW PH PW DH; images a chunk;
    vectors, rows and address of the micro-kernels).
    """
    (N, _, _, _, _), _, _, images, _ = p
    parallel_for(_some_images, -(-N // images), (dx, dy, w, start, p))


@inner
def _some_images(chunk, dx, dy, w, start, p):
    (N, H, W, OH, OW), (C, OC, KH, KW), _, images, micro = p
    first = chunk * images
    count = min(images, N - first)
    item = dx.itemsize
    lanes = VECTOR_BYTES // item
    width = COLUMNS * lanes
    columns = KW * C
    pitch = -(-columns // width) * width
    z = np.empty(images * OW * pitch, dx.dtype)
    runs = np.empty((KH, 3), np.int64)
    # Where each pixel of a row lies in dy; a tile that reaches beyond the last one reads the first again.
    offsets = np.zeros(count * OW + max(micro[0][1], micro[1][1]), np.int64)
    for n in range(count):
        for ow in range(OW):
            offsets[n * OW + ow] = (n * OH * OW + ow) * OC * item
    for ih in range(H):
        taps = _taps_of_row(runs, ih, p, item)
        own = address(dy) + first * OH * OW * OC * item
        for column in range(0, columns, width):
            block = address(w) + column * KH * OC * item
            if columns - column <= lanes:
                _products(micro[0], z, own, block, start, runs, taps, offsets, count * OW, column, pitch, p)
            else:
                _products(micro[1], z, own, block, start, runs, taps, offsets, count * OW, column, pitch, p)
        for n in range(count):
            _add_up(address(dx) + ((first + n) * H + ih) * W * C * item, dx, address(z), n * OW, pitch, taps, p)


@inner
def _taps_of_row(runs, ih, p, item):
    """The runs (dy, rows of w, length) of the taps that row ih of dx meets; how many there are."""
    (_, _, _, OH, OW), (_, OC, KH, _), (SH, _, PH, _, DH), _, _ = p
    taps = 0
    for kh in range(KH):
        above = ih + PH - kh * DH
        if above % SH == 0 and 0 <= above // SH < OH:
            runs[taps, 0] = above // SH * OW * OC * item
            runs[taps, 1] = kh * OC
            runs[taps, 2] = OC
            taps += 1
    return taps


@inner
def _products(micro, z, dy, w, start, runs, taps, offsets, pixels, column, pitch, p):
    """z [images, OW, pitch] of one row, one block of columns."""
    _, (C, _, KH, KW), _, _, _ = p
    vectors, MR, block_kernel = micro
    item = z.itemsize
    scaled, outs = np.empty((KH, 3), np.int64), np.empty(MR, np.int64)
    for t in range(taps):
        scaled[t, 0], scaled[t, 1], scaled[t, 2] = runs[t, 0], runs[t, 1] * vectors * VECTOR_BYTES, runs[t, 2]
    for r in range(MR):
        outs[r] = r * pitch * item
    for q in range(0, pixels, MR):
        run_block(
            block_kernel, dy, w, (address(scaled), taps), (address(offsets) + 8 * q, 0), (0, 0),
            (address(z) + (q * pitch + column) * item, address(outs), min(MR, pixels - q), KW * C - column),
            address(start), 0,
        )  # fmt: skip


@inner
def _add_up(to, like, z, pixel, pitch, taps, p):
    """One row of dx from the z of its image; a column without any tap becomes zero."""
    (_, _, W, _, OW), (C, _, _, KW), (_, SW, _, PW, _), _, _ = p
    item = like.itemsize
    # Taps kw, kw + SW, ... meet pixels ow, ow - 1, ...: skip those right of dy, stop at its left edge.
    kw, ow = PW % SW, PW // SW
    count = (KW - kw + SW - 1) // SW
    for iw in range(W):
        beyond = max(0, ow - (OW - 1))
        length = max(0, min(ow - beyond + 1, count - beyond)) if taps else 0
        own = z + ((pixel + ow - beyond) * pitch + (kw + beyond * SW) * C) * item
        for c in range(0, C, VECTOR_BYTES // item):
            at = c * item
            add_rows(1, 1, like, own + at, (SW * C - pitch) * item, length, to + iw * C * item + at, C - c, 0)
        kw += 1
        if kw == SW:
            kw, ow = 0, ow + 1
        if SW > 1:
            count = (KW - kw + SW - 1) // SW
