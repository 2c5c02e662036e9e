"""The backward of pooled.py: dw, db and dx from the gradient of the pooled map, no dense gradient in memory.

Images are cut into PARTS of neighbours; each part has sums of its own, which are added in the order of the parts, so
that results do not depend on the threads. Of one image, x (with the padding around it) and, where it is needed, the
gradient of the map stay in the nearest caches while all blocks of dw pass over them.

`p` is (N, C, H, W, OC, KH, KW, PH, PW, VH, VW). sums: scratch [parts, blocks of channels, blocks of positions,
R * Q + 1, LANES], the last row of a block's first positions for the bias.
`tile` is (R zeros, Q zeros, as many zeros as neighbours share a vector, bytes from the first pixel to each of a tile of
backward-data, NV zeros); see the files of the tiles. `act` is the number of the activation, or as many zeros.

AMD Zen 5, batch 100, us, one core     SimpleConvNet   LeNet C1   LeNet C3, with dx
    the plain calls                                    1680       1015
    this                               260             248        520
On two cores: 153 (436), 139 (574) and, without dx, 157 (257). What led there, SimpleConvNet on one core:
    quads filled by a plain loop 312; rows read where x lies 312; quads by register interleaving 255
    rejected: the activation as a run-time number in the block of the largest, 355
"""

import numpy as np

from ..jit import inner, kernel
from ..parallel import parallel_for
from ..simd import VECTOR_BYTES, address
from .pooled import rows_of_x
from .pooled_data import add_filter_columns, filter_row_products
from .pooled_gradient import pool_gradient
from .pooled_tile import LANES
from .pooled_weight import QUAD, side_by_side, weight_of_largest, weight_of_map


@kernel
def conv2d_pool_weight_of_largest(dw, db, sums, dy, y, kept, x, tile, act, p):
    """Flat dw [OC, KH, KW, C] and db [OC] from dy, y and kept (the argmax), flat [N, VH, VW, OC], and flat x."""
    parallel_for(_largest_part, len(sums), (sums, dy, y, kept, x, tile, act, p))
    _finish(dw, db, sums, tile, p)


@kernel
def conv2d_pool_backward(dx, dw, db, sums, packed, dy, y, kept, x, w, tile, act, p):
    """Flat dx [N, H, W, C], or none where it is empty; dw and db. kept is the argmax or the activated map.

    packed: scratch [blocks of KW * C, KH, OC, NV * LANES] for w.
    """
    if len(dx):
        _pack_filter_rows(packed, w, tile, p)
    parallel_for(_map_part, len(sums), (dx, sums, packed, dy, y, kept, x, tile, act, p))
    _finish(dw, db, sums, tile, p)


@inner
def _origin(position, tile, p):
    """The first filter position (row, element of the row) of a block; the last blocks do some again."""
    KH, depth, R, Q = p[5], (p[6] + len(tile[2]) - 1) * p[1], len(tile[0]), len(tile[1])
    across = -(-depth // Q)
    return min(position // across * R, KH - R), min(position % across * Q, depth - Q)


@inner
def _largest_part(part, sums, dy, y, kept, x, tile, act, p):
    N, C, _, W, OC, KH, KW, PH, _, VH, VW = p
    parts, blocks, positions = sums.shape[:3]
    height, width = 2 * VH + KH - 1, (2 * VW + KW - 1) * C
    buffer = np.zeros(height * width, np.float32)
    quads = np.empty((height * max(width, W * C) + LANES, 4), np.float32)
    sums[part] = 0
    for n in range(part * N // parts, (part + 1) * N // parts):
        image, columns = rows_of_x(buffer, x, n, -PH, height, p)
        side_by_side(address(quads), address(image), (height - 1) * columns - C, C * 4, columns * 4)
        pitch = columns * QUAD
        for block in range(blocks):
            at = n * VH * VW * OC + block * LANES
            for position in range(positions):
                r, q = _origin(position, tile, p)
                weight_of_largest(
                    (tile[0], tile[1]), act, address(sums[part, block, position]),
                    (address(quads) + r * pitch + q * QUAD, pitch, 2 * C * QUAD),
                    (address(dy) + at * 4, address(y) + at * 4, address(kept) + at), (OC - block * LANES, OC), (VH, VW),
                )  # fmt: skip


@inner
def _map_part(part, dx, sums, packed, dy, y, kept, x, tile, act, p):
    N, C, H, W, OC, KH, KW, PH, _, VH, VW = p
    neighbours, RQ = len(tile[2]), len(tile[0]) * len(tile[1])
    parts, blocks, positions = sums.shape[:3]
    height, width = 2 * VH + KH - 1, (2 * VW + KW - 1) * C
    buffer = np.zeros(height * width, np.float32)
    steps = 2 * VW // neighbours
    da = np.empty((2 * VH, steps, blocks * LANES), np.float32)
    da_step = blocks * VECTOR_BYTES
    e_blocks = -(-(KW * C) // (len(tile[4]) * LANES))
    z = np.zeros((2 * (VW + KW), e_blocks * len(tile[4]) * LANES), np.float32)
    per_window = 4 if kept.itemsize == 4 else 1
    sums[part] = 0
    for n in range(part * N // parts, (part + 1) * N // parts):
        image, columns = rows_of_x(buffer, x, n, -PH, height, p)
        for block in range(blocks):
            at = n * VH * VW * OC + block * LANES
            kept_at = n * VH * VW * OC * per_window + block * LANES
            own = address(da) + block * VECTOR_BYTES
            pool_gradient(
                kept, tile[2], act, (own, steps * da_step, da_step), address(sums[part, block, 0, RQ]),
                (address(dy) + at * 4, address(y) + at * 4, address(kept) + kept_at * kept.itemsize),
                (OC - block * LANES, OC), (VH, VW),
            )  # fmt: skip
            for position in range(positions):
                r, q = _origin(position, tile, p)
                weight_of_map(
                    (tile[0], tile[1]), address(sums[part, block, position]),
                    (address(image) + (r * columns + q) * 4, columns * 4, neighbours * C * 4),
                    (own, steps * da_step, da_step), (2 * VH, steps),
                )  # fmt: skip
        if len(dx):
            for h in range(H):
                _row_of_dx(address(dx) + (n * H + h) * W * C * 4, z, da, packed, h + PH, tile, p)


@inner
def _row_of_dx(dx, z, da, packed, row, tile, p):
    """One row of dx; `row` counts from the padding's start."""
    C, W, OC, KH, KW, PW, VH, VW = p[1], p[3], p[4], p[5], p[6], p[8], p[9], p[10]
    first, last = max(0, row - 2 * VH + 1), min(KH, row + 1)
    pixels, da_row, z_pixel = len(tile[3]), da.shape[1] * da.shape[2] * 4, z.shape[1] * 4
    da_pixel = da_row // (2 * VW)
    block_bytes = len(tile[4]) * VECTOR_BYTES
    for block in range(z_pixel // block_bytes):
        for turn in range(0, 2 * VW, pixels):
            j = min(turn, 2 * VW - pixels)
            filter_row_products(
                (tile[3], tile[4]), (address(z) + (j + KW) * z_pixel + block * block_bytes, z_pixel),
                (address(da) + (row - first) * da_row + j * da_pixel, -da_row),
                address(packed) + (block * KH + first) * OC * block_bytes, (max(0, last - first), OC),
            )  # fmt: skip
    add_filter_columns(dx, (address(z) + (PW + KW) * z_pixel, z_pixel), (W, C, KW))


@inner
def _pack_filter_rows(packed, w, tile, p):
    C, OC, KH, KW = p[1], p[4], p[5], p[6]
    width, E = len(tile[4]) * LANES, KW * C
    packed[:] = 0
    for k in range(OC):
        for kh in range(KH):
            for e in range(E):
                packed[((e // width * KH + kh) * OC + k) * width + e % width] = w[(k * KH + kh) * E + e]


@inner
def _finish(dw, db, sums, tile, p):
    """Add the parts in their order, and put every filter's own numbers together."""
    total = sums[0].reshape(-1)
    for part in range(1, len(sums)):
        own = sums[part].reshape(-1)
        for i in range(len(total)):
            total[i] += own[i]
    C, OC, KH, E = p[1], p[4], p[5], p[6] * p[1]
    R, Q, neighbours = len(tile[0]), len(tile[1]), len(tile[2])
    across = -(-(E + (neighbours - 1) * C) // Q)
    for k in range(OC):
        own = sums[0, k // LANES]
        db[k] = own[0, R * Q, k % LANES] + (own[0, R * Q, k + LANES // 2] if neighbours == 2 else 0)
        for kh in range(KH):
            for e in range(E):
                value = np.float32(0)
                for side in range(neighbours):
                    position = kh // R * across + (e + side * C) // Q
                    r, q = _origin(position, tile, p)
                    value += own[position, (kh - r) * Q + e + side * C - q, k % LANES + side * (LANES // 2)]
                dw[(k * KH + kh) * E + e] = value
