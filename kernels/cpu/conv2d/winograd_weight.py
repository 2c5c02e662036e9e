"""Backward-weight by Winograd's F(4x4, 3x3) and F(2x2, 5x5), with the forward's matrices at other places.

    V[p, t, c] = B^T d B of tile t of x        Z[p, t, k] = A dY A^T of tile t of dy        p: one of 36 points
    M[p, k, c] = sum over t: Z[p, t, k] * V[p, t, c]                  36 products of matrices
    dw[k] = G^T M G

Channels-last, float32, whole vectors of channels; tiles as in winograd.py. V lies in blocks of vectors of channels, Z
in single vectors, tile by tile within them: as the micro-kernel reads its two operands. db is added up while dy is
read. Two ways to cut the work, neither of which depends on the number of threads:

    by groups   of tiles, PARTS of them, each with an M of its own, which are added at the end: what a core transforms
                it multiplies
    by points   where M is too large for that: chunks of tiles follow one another, both transforms in parallel, then
                the points in parallel, each of which adds its product to M

AMD Zen 5, 2 cores, AVX-512, times the speed of weight.py, for tiles a chunk of    48     100    200
    3x3, 64 channels, 56 x 56, N 16                                                2.5    2.8    2.8
    3x3, 256 channels, 56 x 56, N 4                                                2.7    3.0    3.0
    3x3, 512 channels, 7 x 7, N 16 (64 tiles)                                      1.4    1.9    1.9

The same machine, ms:                       direct   by points      by groups
    5x5, 32 to 64, 14 x 14, N 100            2.3     1.2 to 3.0         1.2 to 1.5
    5x5, 32 to 96, 28 x 28, N 16             4.0     2.2 to 5.6         2.1 to 2.6
    5x5, 64 channels, 28 x 28, N 8           2.9     1.4 to 3.1         1.3 to 1.5
    3x3, 32 channels, 28 x 28, N 16          0.51    0.30 to 0.74       0.30 to 0.35
    3x3, 64 channels, 28 x 28, N 16          2.1     0.74 to 2.0        0.73 to 0.94
By points a core reads what the other one wrote; the range is that of runs, whose cores and memory lie differently.
Chunks of 250 and 500 KB of V and Z, that stay in the second-level cache, not of 128 tiles: 1.3 and 1.1 times as long.
"""

import numpy as np

from ..forms import call_form
from ..jit import inner, kernel
from ..micro import run_block
from ..parallel import parallel_for, span
from ..rows import add_rows
from ..simd import VECTOR_BYTES, address
from .winograd import ITEM, LINE, MOST_ROWS, PARTS, find_input, first_line, memory
from .winograd_transforms import EDGE, POINTS

LANES = VECTOR_BYTES // ITEM
VECTORS = 4  # of a row that are added at once
WIDTH = VECTORS * LANES


@kernel
def conv2d_winograd_weight_by_points(dw, totals, dy, x, tiles, gradients, sums, zeros, p):
    """Write dw and, in PARTS parts that add up to db, totals [PARTS, OC].

    Args:
        dw, dy, x: flat. tiles, gradients, sums: room for V and Z of a chunk and for M, POINTS times `point_sizes`.
        zeros: as many as the larger of C and OC.
        p: (N H W C; OH OW OC; PH PW; tiles down and across an image, side of one; tiles a chunk; addresses of the
            input, gradient and filter-gradient form; (vectors, rows and address of the micro-kernel) of whole blocks
            and of the last).
    """
    size = p[4]
    totals[:] = 0
    for first in range(0, _tiles(p), size):
        last = min(first + size, _tiles(p))
        parallel_for(_part_of_chunk, PARTS, (tiles, gradients, totals, dy, x, zeros, first, last, p))
        parallel_for(_point, POINTS, (sums, tiles, gradients, first, last - first, p))
    parallel_for(_filter, p[1][2], (dw, sums, 1, p))


@kernel
def conv2d_winograd_weight_by_groups(dw, totals, dy, x, sums, zeros, p):
    """As above, of PARTS groups of tiles; sums: room for M of each."""
    totals[:] = 0
    parallel_for(_group_of_tiles, PARTS, (sums, totals, dy, x, zeros, p))
    parallel_for(_filter, p[1][2], (dw, sums, PARTS, p))


def point_sizes(C, OC, size, width):
    """Elements of one point's V, Z and M, each a line apart from a power of two; `width` columns a block."""
    return -(-C // width) * width * size + LINE, OC * size + LINE, OC * C + LINE


_point_sizes = inner(point_sizes)


@inner
def _tiles(p):
    (N, _, _, _), _, _, (TI, TJ, _), _, _, _ = p
    return N * TI * TJ


@inner
def _sizes(p):
    return _point_sizes(p[0][3], p[1][2], p[4], p[6][0][0] * LANES)


@inner
def _part_of_chunk(part, tiles, gradients, totals, dy, x, zeros, first, last, p):
    own = span(part, PARTS, last - first, 1)
    total = address(totals) + part * p[1][2] * ITEM
    _transform(address(tiles), address(gradients), total, dy, x, zeros, first, own, p)


@inner
def _group_of_tiles(group, sums, totals, dy, x, zeros, p):
    """M of some tiles, chunk by chunk: V and Z stay near the core that reads them."""
    (_, _, OC), size = p[1], p[4]
    v_size, z_size, m_size = _sizes(p)
    room = memory(POINTS * (v_size + z_size))
    m, total = address(sums) + group * POINTS * m_size * ITEM, address(totals) + group * OC * ITEM
    begin, end = span(group, PARTS, _tiles(p), 1)
    for first in range(begin, end, size):
        count = min(size, end - first)
        v, z = first_line(room), first_line(room) + POINTS * v_size * ITEM
        _transform(v, z, total, dy, x, zeros, first, (0, count), p)
        for point in range(POINTS):
            _add_product(point, m, v, z, first > begin, count, p)


@inner
def _transform(v, z, total, dy, x, zeros, first, own, p):
    """V and Z of the tiles `own` of a chunk that starts with tile `first`."""
    (_, _, _, C), (_, _, OC), _, (_, _, side), size, (input_form, gradient_form, _), ((vectors, _, _), _) = p
    v_size, z_size, _ = _sizes(p)
    pixels = np.empty(EDGE * EDGE, np.int64)
    block_step = size * vectors * VECTOR_BYTES
    for t in range(own[0], own[1]):
        find_input(pixels, x, zeros, first + t, p)
        to = v + t * vectors * VECTOR_BYTES
        call_form(input_form, (address(pixels), side * C * ITEM, to, v_size * ITEM, block_step, C // LANES))
        _find_gradient(pixels, dy, zeros, first + t, p)
        to = z + t * VECTOR_BYTES
        call_form(
            gradient_form,
            (address(pixels), side * OC * ITEM, to, z_size * ITEM, size * VECTOR_BYTES, total, OC // LANES),
        )


@inner
def _find_gradient(pixels, dy, zeros, tile, p):
    """Where the pixels of a tile of dy lie; zeros beyond its edge."""
    _, (OH, OW, OC), _, (TI, TJ, side), _, _, _ = p
    n, i, j = tile // (TI * TJ), tile // TJ % TI * side, tile % TJ * side
    for r in range(side):
        row = address(dy) + ((n * OH + i + r) * OW + j) * OC * ITEM
        for c in range(side):
            there = i + r < OH and j + c < OW
            pixels[r * side + c] = row + c * OC * ITEM if there else address(zeros)


@inner
def _point(point, sums, tiles, gradients, first, count, p):
    _add_product(point, address(sums), address(tiles), address(gradients), first > 0, count, p)


@inner
def _add_product(point, m, v, z, again, count, p):
    """M of one point: the product of a chunk, added to what is there if `again`."""
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
    v, z, m = v + point * v_size * ITEM, z + point * z_size * ITEM, m + point * m_size * ITEM
    for column in range(0, C, width):
        _, rows_of_block, block_kernel = micros[0] if C - column >= width else micros[1]
        for k in range(0, OC, rows_of_block):
            run_block(
                block_kernel, z, v + column * size * ITEM, (address(runs), 1), (address(rows) + 8 * k, 0),
                (VECTOR_BYTES, width * ITEM),
                (m + (k * C + column) * ITEM, address(outs), min(rows_of_block, OC - k), C - column),
                1 if again else 0, 0,
            )  # fmt: skip


@inner
def _filter(k, dw, sums, groups, p):
    """All taps of one filter, from the sums of all groups."""
    (_, _, _, C), _, _, (_, _, side), _, (_, _, form), _ = p
    _, _, m_size = _sizes(p)
    taps, step = (EDGE + 1 - side) ** 2, POINTS * m_size * ITEM
    source, to = address(sums) + k * C * ITEM, address(dw) + k * taps * C * ITEM
    if groups > 1:
        for point in range(POINTS):
            own = source + point * m_size * ITEM
            for column in range(0, C, WIDTH):
                at = own + column * ITEM
                add_rows(VECTORS, 1, dw, at + step, step, groups - 1, at, C - column, 1)
    call_form(form, (source, m_size * ITEM, to, C * ITEM, C // LANES))
