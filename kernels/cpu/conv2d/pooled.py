"""Convolution, activation and 2 x 2 pooling in one pass: of a map, only what pooling leaves reaches memory.

    y = pool(act(b + conv(x, w))), stride 1, one group, any padding; see pooled_tile.py for what a tile computes

x [N, H, W, C], y [N, VH, VW, OC], kept [N, VH, VW, OC] the argmax, [N, 2 VH, 2 VW, OC] the activated map, or nothing.
The work is cut into bands of rows of windows of one image: where a band meets the padding, the rows of x under it are
copied with zeros around them, which is little beside the products; then every block of output channels goes over the
band.

`p` is (N, C, H, W, OC, KH, KW, PH, PW, VH, VW, rows of windows in a band, windows of a tile, vectors of a tile,
neighbours that share a vector, bytes of an element of kept, parts of the work, bytes of `room` for each, elements of an
image of y that is stored in the order of [OC, VH, VW], or 0). Such an image is one band, and is turned while it is in
the nearest cache: without a pass of its own there and back, SimpleConvNet's step took 1.75 for 1.84 ms, LeNet-5's 1.00
for 1.03 (a busy machine, in turn).

AMD Zen 5, 2 cores, batch 100, us      SimpleConvNet 1 -> 30, ReLU, max   LeNet C1, tanh, avg   LeNet C3, tanh, avg
    three calls                        650                                1100                  390
    one pass, x always copied          224                                186                   145
The products alone take 194, 79 (159 without two pixels in a vector) and 101 at the peak of 475 GFLOP/s. On one core:
    copies of x only where it is padded  509 to 428 us                    380 to 325            311 to 250
    a row of x for both rows of a window 451 to 435, in turn, busy        342 to 300            265 to 244
Batch 1, 2 cores, nothing kept for a backward:
    filters turned as tiles, two bands   5.4 to 3.0 us                      3.8 to 3.5            3.9 to 3.0
Filters by a kernel of their own, made once where weights are fixed: LeNet-5's whole inference 16.5 to 15.0 us,
SimpleConvNet's 26.2 to 24.9 (busy, in turn); made at every run as before, 16.3 and 26.1.
"""

import numpy as np

from ..forms import call_form
from ..jit import inner, kernel
from ..layout import turn_image
from ..parallel import parallel_for
from ..rows import copy_rows, transpose_tile
from ..simd import address, clear
from .pooled_tile import LANES

ZERO = np.float32(0)


@kernel
def conv2d_pool_filters(packed, start, w, b, p):
    """Fill the blocks of filters and of the bias, flat, from w [OC, KH, KW, C] and b [OC]."""
    clear(address(start), start.size * 4)
    if p[14] == 1:
        _pack(packed, w, p)
        start[: len(b)] = b
    else:
        _pack_twice(packed, start, w, b, p)


@kernel
def conv2d_pool_forward(y, kept, x, packed, start, room, tile, p):
    """Fill flat y and kept (as bytes).

    Args:
        x: flat. packed, start: as conv2d_pool_filters leaves them. room: scratch for the rows of x.
        tile: the address of the tile's form.
    """
    args = address(y), address(kept), address(x), address(packed), address(start), address(room), tile, p
    parallel_for(_bands, p[16], (*args, y, room))


@inner
def _pack(packed, w, p):
    """packed [blocks][KH][E][NV vectors]: filter k in lane k, zeros beyond the last; row by row as tiles that turn."""
    OC, depth, width = p[4], p[5] * p[6] * p[1], p[13] * LANES
    for k in range(0, -(-OC // width) * width, LANES):
        to = address(packed) + (k // width * depth * width + k % width) * 4
        for s in range(0, depth, LANES):
            own = address(w) + (k * depth + s) * 4
            transpose_tile(ZERO, to + s * width * 4, width * 4, own, depth * 4, OC - k, min(LANES, depth - s))


@inner
def _pack_twice(packed, start, w, b, p):
    """packed [KH][E + C][vector]: filter k in lane k, its copy for the right neighbour C steps later in the second half
    of the vector; start the same."""
    C, OC, KH, E, half = p[1], p[4], p[5], p[6] * p[1], LANES // 2
    clear(address(packed), packed.size * 4)
    for k in range(OC):
        for side in range(2):
            start[k + side * half] = b[k]
            for kh in range(KH):
                first = (kh * (E + C) + side * C) * LANES + k + side * half
                for e in range(E):
                    packed[first + e * LANES] = w[(k * KH + kh) * E + e]


@inner
def rows_of_x(buffer, x, n, top, rows, p):
    """(address, bytes of a row): `rows` rows of image n from `top` (of the unpadded image) on, with the columns that
    the pooled part of the map reads. Where padding is among them, a copy in `buffer`, whose first contents were zeros.
    """
    C, H, W, KW, PW, VW = p[1], p[2], p[3], p[6], p[8], p[10]
    width = (2 * VW + KW - 1) * C
    image = x + (n * H + top) * W * C * 4
    if PW == 0 and width <= W * C and top >= 0 and top + rows <= H:
        return image, W * C * 4
    first = min(max(0, -top), rows)
    last = max(first, min(rows, H - top))
    given = min(W * C, width - PW * C)
    clear(buffer, first * width * 4)
    clear(buffer + last * width * 4, (rows - last) * width * 4)
    for e in range(0, given, 2 * LANES):
        copy_rows(
            2, ZERO, buffer + (first * width + PW * C + e) * 4, width * 4, image + (first * W * C + e) * 4, W * C * 4,
            last - first, given - e, given - e,
        )  # fmt: skip
    return buffer, width * 4


@inner
def _bands(part, y, kept, x, packed, start, room, tile, p, planar, images):
    N, C, _, _, OC, KH, KW, PH, _, VH, VW, rows, windows, vectors, neighbours, item, parts, size, turned = p
    bands, blocks = -(-VH // rows), -(-OC // (vectors * LANES))
    block_bytes = KH * (KW + neighbours - 1) * C * vectors * LANES * 4
    map_row = 2 * VW * OC * 4 if item == 4 else 0
    buffer = room + part * size
    clear(buffer, size - turned * 4)
    for band in range(part * N * bands // parts, (part + 1) * N * bands // parts):
        n, first = band // bands, band % bands * rows
        last = min(first + rows, VH)
        own, pitch = rows_of_x(buffer, x, n, 2 * first - PH, 2 * (last - first) + KH - 1, p)
        to = buffer + size - (n + 1) * turned * 4 if turned else y
        for block in range(blocks):
            done = block * vectors * LANES
            for i in range(last - first):
                out = (n * VH + first + i) * VW
                for turn in range(0, VW, windows):
                    j = min(turn, VW - windows)  # the last tile may do some windows again
                    place = (out * 4 + 2 * j) * OC if map_row else (out + j) * OC
                    call_form(tile, (
                        own + 2 * i * pitch + 2 * j * C * 4, packed + block * block_bytes, start + done * 4, KH, KW * C,
                        C, pitch, to + ((out + j) * OC + done) * 4, kept + (place + done) * item, map_row, OC - done,
                        OC,
                    ))  # fmt: skip
        if turned:
            turn_image(planar, n * turned, images, (part + 1) * size // 4 - turned, OC, VH * VW)
