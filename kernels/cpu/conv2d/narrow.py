"""Backward-data where x has few channels: vectors lie along a filter's whole row, (kw, c), instead of along c alone.

    z[ow, kw, c] = sum over kh, k:  dy[n, oh, ow, k] * w[k, kh, kw, c]      with oh * SH = ih + PH - kh * DH
    dx[n, ih, iw, c] = sum over kw:  z[ow, kw, c]                           with ow * SW = iw + PW - kw

A row ih of dx is the same product for all images, so a tile of pixels goes over several images and no tap is computed
that meets the padding. z, of one row of some images, stays in the first-level cache. With 6 channels and a 5 x 5 filter
30 of 32 lanes work instead of 6 of 16.

dx, dy channels-last; w packed, [blocks][KH][OC][lanes] with KW * C columns. One chunk owns some images.
"""

import numpy as np

from ..jit import inner, kernel
from ..micro import COLUMNS, PACKED, ROWS_1, ROWS_2, micro_kernel
from ..parallel import parallel_for
from ..rows import add_rows
from ..simd import VECTOR_BYTES, address


@kernel
def conv2d_backward_data_narrow(dx, dy, w, start, p):
    """Fill flat dx; start: zeros, one vector block. p: (N H W OH OW; C OC KH KW; SH SW PH PW DH; images a chunk)."""
    (N, _, _, _, _), _, _, images = p
    parallel_for(_some_images, -(-N // images), (dx, dy, w, start, p))


@inner
def _some_images(chunk, dx, dy, w, start, p):
    (N, H, W, OH, OW), (C, OC, KH, KW), _, images = p
    first = chunk * images
    count = min(images, N - first)
    item = dx.itemsize
    lanes = VECTOR_BYTES // item
    width = COLUMNS * lanes
    columns = KW * C
    pitch = -(-columns // width) * width
    z = np.empty(images * OW * pitch, dx.dtype)
    runs = np.empty((KH, 3), np.int64)
    for ih in range(H):
        taps = _taps_of_row(runs, ih, p, item)
        own = address(dy) + first * OH * OW * OC * item
        for column in range(0, columns, width):
            block = address(w) + column * KH * OC * item
            if columns - column <= lanes:
                _products(ROWS_1, 1, z, own, block, start, runs, taps, count, column, pitch, p)
            else:
                _products(ROWS_2, COLUMNS, z, own, block, start, runs, taps, count, column, pitch, p)
        for n in range(count):
            _add_up(address(dx) + ((first + n) * H + ih) * W * C * item, z, n * OW, pitch, taps, p)


@inner
def _taps_of_row(runs, ih, p, item):
    """The runs (dy, rows of w, length) of the taps that row ih of dx meets; how many there are."""
    (_, _, _, OH, OW), (_, OC, KH, _), (SH, _, PH, _, DH), _ = p
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
def _products(MR, NV, z, dy, w, start, runs, taps, count, column, pitch, p):
    """z [images, OW, pitch] of one row, one block of columns."""
    (_, _, _, OH, OW), (C, OC, KH, KW), _, _ = p
    item = z.itemsize
    step = NV * VECTOR_BYTES
    scaled, offsets, outs = np.empty((KH, 3), np.int64), np.empty(MR, np.int64), np.empty(MR, np.int64)
    for t in range(taps):
        scaled[t, 0], scaled[t, 1], scaled[t, 2] = runs[t, 0], runs[t, 1] * step, runs[t, 2]
    pixels = count * OW
    for r in range(MR):
        outs[r] = r * pitch * item
    for q in range(0, pixels, MR):
        for r in range(MR):
            pixel = min(q + r, pixels - 1)
            offsets[r] = (pixel // OW * OH * OW + pixel % OW) * OC * item
        micro_kernel(
            PACKED, MR, NV, z, dy, w, (address(scaled), taps), (address(offsets), 0), (0, 0),
            (address(z) + (q * pitch + column) * item, address(outs), min(MR, pixels - q), KW * C - column),
            address(start), 0,
        )  # fmt: skip


@inner
def _add_up(dx, z, pixel, pitch, taps, p):
    """One row of dx from the z of its image; a column without any tap becomes zero."""
    (_, _, W, _, OW), (C, _, _, KW), (_, SW, _, PW, _), _ = p
    item = z.itemsize
    for iw in range(W):
        # Taps kw, kw + SW, ... meet pixels ow, ow - 1, ...: skip those right of dy, stop at its left edge.
        kw = (iw + PW) % SW
        ow = (iw + PW) // SW
        beyond = max(0, ow - (OW - 1))
        kw, ow = kw + beyond * SW, ow - beyond
        length = max(0, min(ow + 1, (KW - kw + SW - 1) // SW)) if taps else 0
        for c in range(0, C, VECTOR_BYTES // item):
            add_rows(
                1, 1, z, address(z) + ((pixel + ow) * pitch + kw * C + c) * item, (SW * C - pitch) * item, length,
                dx + (iw * C + c) * item, C - c, 0,
            )  # fmt: skip
