"""The backward of pooled.py: dw and db from the gradient of the pooled map, no dense gradient in memory.

Images are cut into PARTS of neighbours; each part has sums of its own, which are added in the order of the parts. An
image's x, with the padding around it, stays in the first- or second-level cache while all blocks of dw pass over it.

`p` is (N, C, H, W, OC, KH, KW, PH, PW, VH, VW).
"""

import numpy as np

from ..jit import kernel
from ..parallel import parallel_for
from ..simd import address
from .pooled import rows_of_x
from .pooled_tile import LANES
from .pooled_weight import QUAD, side_by_side, weight_of_largest

PARTS = 16


@kernel
def conv2d_max_pool_backward_weight(dw, db, sums, dy, y, kept, x, tile, p):
    """Flat dw [OC, KH, KW, C] and db [OC].

    Args:
        sums: scratch [parts, blocks of channels, blocks of positions, R * Q + 1, LANES].
        dy, y, kept (the argmax): flat [N, VH, VW, OC]. x: flat.
        tile: (R zeros, Q zeros, as many zeros as the number of the activation).
    """
    parallel_for(_largest_part, len(sums), (sums, dy, y, kept, x, tile, p))
    _add_parts(sums)
    OC, KH, E = p[4], p[5], p[6] * p[1]
    R, Q = len(tile[0]), len(tile[1])
    across = -(-E // Q)
    for k in range(OC):
        own = sums[0, k // LANES]
        db[k] = own[0, R * Q, k % LANES]
        for kh in range(KH):
            for e in range(E):
                i, j = kh // R, e // Q
                r, q = kh - min(i * R, KH - R), e - min(j * Q, E - Q)
                dw[(k * KH + kh) * E + e] = own[i * across + j, r * Q + q, k % LANES]


@kernel
def _largest_part(part, sums, dy, y, kept, x, tile, p):
    N, C, _, W, OC, KH, KW, PH, _, VH, VW = p
    R, Q = len(tile[0]), len(tile[1])
    E = KW * C
    parts, blocks, positions = sums.shape[:3]
    across = -(-E // Q)
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
                r, q = min(position // across * R, KH - R), min(position % across * Q, E - Q)
                weight_of_largest(
                    (tile[0], tile[1]), tile[2], address(sums[part, block, position]),
                    (address(quads) + r * pitch + q * QUAD, pitch, 2 * C * QUAD),
                    (address(dy) + at * 4, address(y) + at * 4, address(kept) + at), (OC - block * LANES, OC), (VH, VW),
                )  # fmt: skip


@kernel
def _add_parts(sums):
    """Into the first part, in the order of the parts."""
    total = sums[0].reshape(-1)
    for part in range(1, len(sums)):
        own = sums[part].reshape(-1)
        for i in range(len(total)):
            total[i] += own[i]
