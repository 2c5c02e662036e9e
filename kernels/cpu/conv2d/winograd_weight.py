"""Backward-weight by Winograd's F(4x4, 3x3), with the forward's matrices at other places.

    V[p, t, c] = B^T d B of tile t of x        Z[p, t, k] = A dY A^T of tile t of dy        p: one of 36 points
    M[p, k, c] = sum over t: Z[p, t, k] * V[p, t, c]                  36 products of matrices
    dw[k] = G^T M G

Channels-last, float32, whole vectors of channels; tiles as in winograd.py. Chunks of tiles follow one another: both
transforms in parallel, then the points in parallel, each of which adds its product to M; so M is the same sum for any
number of threads. V lies in blocks of vectors of channels, Z in single vectors, tile by tile within them: as the
micro-kernel reads its two operands. db is added up while dy is read.

AMD Zen 5, 2 cores, AVX-512, times the speed of weight.py, for tiles a chunk of    48     100    200
    3x3, 64 channels, 56 x 56, N 16                                                2.5    2.8    2.8
    3x3, 256 channels, 56 x 56, N 4                                                2.7    3.0    3.0
    3x3, 512 channels, 7 x 7, N 16 (64 tiles)                                      1.4    1.9    1.9
"""

import numpy as np

from ..forms import call_form
from ..jit import inner, kernel
from ..micro import run_block
from ..parallel import parallel_for, span
from ..simd import VECTOR_BYTES, address
from .winograd import ITEM, LINE, MOST_ROWS, PARTS, find_input
from .winograd_transforms import EDGE, PIXELS, POINTS, TAPS

LANES = VECTOR_BYTES // ITEM


@kernel
def conv2d_winograd_weight(dw, totals, dy, x, tiles, gradients, sums, zeros, p):
    """Write dw and, in PARTS parts that add up to db, totals [PARTS, OC].

    Args:
        dw, dy, x: flat. tiles, gradients, sums: room for V and Z of a chunk and for M, POINTS times `point_sizes`.
        zeros: as many as the larger of C and OC.
        p: (N H W C; OH OW OC; PH PW; tiles down and across an image; tiles a chunk; addresses of the input, gradient
            and filter-gradient form; (vectors, rows and address of the micro-kernel) of whole blocks and of the last).
    """
    (N, _, _, _), (_, _, OC), _, (TI, TJ), size, _, _ = p
    totals[:] = 0
    for first in range(0, N * TI * TJ, size):
        last = min(first + size, N * TI * TJ)
        parallel_for(_part_of_chunk, PARTS, (tiles, gradients, totals, dy, x, zeros, first, last, p))
        parallel_for(_point, POINTS, (sums, tiles, gradients, first, last - first, p))
    parallel_for(_filter, OC, (dw, sums, p))


def point_sizes(C, OC, size, width):
    """Elements of one point's V, Z and M, each a line apart from a power of two; `width` columns a block."""
    return -(-C // width) * width * size + LINE, OC * size + LINE, OC * C + LINE


_point_sizes = inner(point_sizes)


@inner
def _sizes(p):
    return _point_sizes(p[0][3], p[1][2], p[4], p[6][0][0] * LANES)


@inner
def _part_of_chunk(part, tiles, gradients, totals, dy, x, zeros, first, last, p):
    """V and Z of some tiles of a chunk."""
    (_, _, _, C), (_, _, OC), _, _, size, (input_form, gradient_form, _), ((vectors, _, _), _) = p
    v_size, z_size, _ = _sizes(p)
    pixels = np.empty(EDGE * EDGE, np.int64)
    own0, own1 = span(part, PARTS, last - first, 1)
    block_step = size * vectors * VECTOR_BYTES
    for t in range(own0, own1):
        find_input(pixels, x, zeros, first + t, p)
        to = address(tiles) + t * vectors * VECTOR_BYTES
        call_form(input_form, (address(pixels), PIXELS * C * ITEM, to, v_size * ITEM, block_step, C // LANES))
        _find_gradient(pixels, dy, zeros, first + t, p)
        to, own = address(gradients) + t * VECTOR_BYTES, address(totals) + part * OC * ITEM
        call_form(
            gradient_form,
            (address(pixels), PIXELS * OC * ITEM, to, z_size * ITEM, size * VECTOR_BYTES, own, OC // LANES),
        )


@inner
def _find_gradient(pixels, dy, zeros, tile, p):
    """Where the 4x4 pixels of a tile of dy lie; zeros beyond its edge."""
    _, (OH, OW, OC), _, (TI, TJ), _, _, _ = p
    n, i, j = tile // (TI * TJ), tile // TJ % TI * PIXELS, tile % TJ * PIXELS
    for r in range(PIXELS):
        row = address(dy) + ((n * OH + i + r) * OW + j) * OC * ITEM
        for c in range(PIXELS):
            there = i + r < OH and j + c < OW
            pixels[r * PIXELS + c] = row + c * OC * ITEM if there else address(zeros)


@inner
def _point(point, sums, tiles, gradients, first, count, p):
    """M of one point: the product of a chunk is added to what is there."""
    (_, _, _, C), (_, _, OC), _, _, size, _, micros = p
    v_size, z_size, m_size = _sizes(p)
    width = micros[0][0] * LANES
    runs, rows, outs = np.empty(3, np.int64), np.empty(OC + MOST_ROWS, np.int64), np.empty(MOST_ROWS, np.int64)
    runs[0], runs[1], runs[2] = 0, 0, count
    for k in range(OC + MOST_ROWS):
        own = min(k, OC - 1)
        rows[k] = own // LANES * size * VECTOR_BYTES + own % LANES * ITEM
    for r in range(MOST_ROWS):
        outs[r] = r * C * ITEM
    v, z = address(tiles) + point * v_size * ITEM, address(gradients) + point * z_size * ITEM
    m = address(sums) + point * m_size * ITEM
    for column in range(0, C, width):
        _, rows_of_block, block_kernel = micros[0] if C - column >= width else micros[1]
        for k in range(0, OC, rows_of_block):
            run_block(
                block_kernel, z, v + column * size * ITEM, (address(runs), 1), (address(rows) + 8 * k, 0),
                (VECTOR_BYTES, width * ITEM),
                (m + (k * C + column) * ITEM, address(outs), min(rows_of_block, OC - k), C - column),
                1 if first else 0, 0,
            )  # fmt: skip


@inner
def _filter(k, dw, sums, p):
    """The nine taps of one filter."""
    (_, _, _, C), _, _, _, _, (_, _, form), _ = p
    _, _, m_size = _sizes(p)
    source, to = address(sums) + k * C * ITEM, address(dw) + k * TAPS * TAPS * C * ITEM
    call_form(form, (source, m_size * ITEM, to, C * ITEM, C // LANES))
