"""Convolution, activation and 2 x 2 pooling in one pass: of a map, only what pooling leaves reaches memory.

    y = pool(act(b + conv(x, w))), stride 1, one group, any padding; see pooled_tile.py for what a tile computes

x [N, H, W, C], y [N, VH, VW, OC], kept [N, VH, VW, OC] the argmax or [N, 2 VH, 2 VW, OC] the activated map. A chunk is
a band of rows of windows of one image: where it meets the padding, the rows of x under it are copied with zeros around
them, which is little beside the products; then every block of output channels goes over the band.

`p` is (N, C, H, W, OC, KH, KW, PH, PW, VH, VW, rows of windows in a band).

AMD Zen 5, 2 cores, batch 100, us      SimpleConvNet 1 -> 30, ReLU, max   LeNet C1, tanh, avg   LeNet C3, tanh, avg
    three calls                        650                                1100                  390
    one pass, x always copied          224                                186                   145
The products alone take 194, 79 (159 without two pixels in a vector) and 101 at the peak of 475 GFLOP/s. On one core:
    copies of x only where it is padded  509 to 428 us                    380 to 325            311 to 250
"""

import numpy as np

from ..jit import inner, kernel
from ..parallel import parallel_for
from ..rows import copy_rows
from ..simd import address
from .pooled_tile import LANES, pooled_tile


@kernel
def conv2d_pool_forward(y, kept, x, w, b, packed, start, tile, p):
    """Fill flat y and kept.

    Args:
        x, w [OC, KH, KW, C], b [OC]: flat. packed, start: scratch for the blocks of w and b, zero-padded.
        tile: see pooled_tile.
    """
    N, C, OC, KH, KW, VH, rows = p[0], p[1], p[4], p[5], p[6], p[9], p[11]
    pack_filters(packed, w, OC, (KH, KW * C, C), tile)
    start[:] = 0
    neighbours = len(tile[2])
    for k in range(OC):
        start[k] = b[k]
        if neighbours == 2:
            start[k + LANES // 2] = b[k]
    parallel_for(_band, N * (-(-VH // rows)), (y, kept, x, packed, start, tile, p))


@inner
def pack_filters(packed, w, OC, sizes, tile):
    """packed [blocks][KH][E + (neighbours - 1) C][NV vectors]: filter k in lane k, its copy for the right neighbour
    C steps later in the second half."""
    KH, E, C = sizes
    neighbours, width = len(tile[2]), len(tile[1]) * LANES
    depth = E + (neighbours - 1) * C
    packed[:] = 0
    for k in range(OC):
        block, lane = k // width, k % width
        for kh in range(KH):
            for side in range(neighbours):
                first = (block * KH + kh) * depth + side * C
                for e in range(E):
                    packed[(first + e) * width + lane + side * (LANES // 2)] = w[(k * KH + kh) * E + e]


@inner
def rows_of_x(buffer, x, n, top, rows, p):
    """(flat rows, elements of a row): `rows` rows of image n from `top` (of the unpadded image) on, with the columns
    that the pooled part of the map reads. Where padding is among them, a copy in `buffer`, which must come with zeros.
    """
    C, H, W, KW, PW, VW = p[1], p[2], p[3], p[6], p[8], p[10]
    width = (2 * VW + KW - 1) * C
    if PW == 0 and width <= W * C and top >= 0 and top + rows <= H:
        return x[(n * H + top) * W * C : (n * H + top + rows) * W * C], W * C
    first, last = max(0, -top), min(rows, H - top)
    given = min(W * C, width - PW * C)
    for e in range(0, given, 2 * LANES):
        copy_rows(
            2, buffer, address(buffer) + (first * width + PW * C + e) * 4, width * 4,
            address(x) + ((n * H + top + first) * W * C + e) * 4, W * C * 4, max(0, last - first), given - e, given - e,
        )  # fmt: skip
    return buffer, width


@inner
def _band(chunk, y, kept, x, packed, start, tile, p):
    _, C, _, _, OC, KH, KW, PH, _, VH, VW, rows = p
    bands = -(-VH // rows)
    n, first = chunk // bands, chunk % bands * rows
    last = min(first + rows, VH)
    height = 2 * (last - first) + KH - 1
    buffer = np.zeros(height * (2 * VW + KW - 1) * C, np.float32)
    band, pitch = rows_of_x(buffer, x, n, 2 * first - PH, height, p)
    pitch *= 4
    windows, width = len(tile[0]), len(tile[1]) * LANES
    block_bytes = KH * (KW + len(tile[2]) - 1) * C * width * 4
    map_row = 2 * VW * OC if kept.itemsize == 4 else 0
    for block in range(-(-OC // width)):
        done = block * width
        for i in range(last - first):
            out = (n * VH + first + i) * VW
            for turn in range(0, VW, windows):
                j = min(turn, VW - windows)  # the last tile may do some windows again
                place = (out * 4 + 2 * j) * OC if map_row else (out + j) * OC
                pooled_tile(
                    kept, tile, address(band) + 2 * i * pitch + 2 * j * C * 4, address(packed) + block * block_bytes,
                    address(start) + done * 4, (KH, KW * C, C, pitch),
                    address(y) + ((out + j) * OC + done) * 4,
                    (address(kept) + (place + done) * kept.itemsize, map_row * 4), (OC - done, OC),
                )  # fmt: skip
