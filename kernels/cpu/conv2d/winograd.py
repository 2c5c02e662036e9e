"""Convolution by Winograd's F(4x4, 3x3) and F(2x2, 5x5): few products, for transforms before and after them.

    V[p, t, c] = B^T d B of tile t        U[p, c, k] = G g G^T        p: one of 36 points
    M[p, t, k] = sum over c: V[p, t, c] * U[p, c, k]                  36 products of matrices
    y of tile t = act(bias + A^T M A)

Channels-last, float32, whole vectors of channels; a tile is 4x4 pixels of y, or 2x2 under filters of 5x5, and the 6x6
of x that they see, zeros where there is no image: 36 products instead of 144 or 100. Tiles are counted through all
images. Two ways to cut the work into chunks:

    by tiles    one chunk owns some tiles: transforms their pixels, then for each block of filters takes the 36 products
                and transforms them back. All filters are transformed before, or once for all where they are fixed.
    by filters  one chunk owns a block of filters, transforms it and meets all tiles, which are transformed before: for
                so few tiles that the transformed filters (36 numbers for 9 or 25) would not pay for their traffic.

Within a chunk M stays in the second-level cache, and so does V where channels are few. Transforms are forms of
winograd_transforms.py, products are micro.py's blocks over packed filters.

Ladder (AMD Zen 5, 2 cores, AVX-512, forward; times the speed of tiles.py, which is as fast as oneDNN through PyTorch):
                                         as above   next pixels asked for   transforms before by filters in parts
    3x3, 64 channels, 56 x 56, N 16         2.0              2.5                          2.5
    3x3, 256 channels, 56 x 56, N 4         2.7              3.0                          3.0
    3x3, 512 channels, 7 x 7, N 16          1.6              1.6                          1.8
Blocks of 13 x 2 instead of 6 x 4: 0.85 times the speed, the last of these layers as fast. Chunks of 36 to 98 tiles:
within 5 %. A chunk's V and M in one piece of memory instead of two as large, whose pages the system took back after
each chunk: 3x3, 64 channels, 56 x 56, N 8 in a process of its own 3.6 to 1.5 ms.
                                      forward    backward-data
    5x5, 96 to 256, 27 x 27, N 16       2.0           1.9
    5x5, 64 channels, 28 x 28, N 8      1.8           1.8
    5x5, 32 to 96, 28 x 28, N 16        1.7           1.5
    5x5, 32 to 64, 14 x 14, N 100       1.7           0.9: no padding, 49 tiles of x for 25 of y
    5x5, 256 channels, 14 x 14, N 4     1.3           1.2: the filters' traffic
One image, filters that were transformed once, us:
                                     direct, packed once   by filters   by tiles, two or four chunks
    3x3, 128 channels, 14 x 14              120               120         83
    3x3, 64 channels, 28 x 28               127               130         57
    5x5, 32 to 64, 14 x 14                   26                37         19
    3x3, 256 channels, 7 x 7                160               120        290: two tiles a chunk
By filters, one core reads what the other has just transformed.
"""

import numpy as np

from ..forms import call_form
from ..jit import inner, kernel
from ..micro import run_block
from ..parallel import parallel_for, span
from ..simd import VECTOR_BYTES, address
from .winograd_transforms import EDGE, POINTS

ITEM = 4  # bytes of a float32
LINE = 64 // ITEM
MOST_ROWS = 16  # of any micro-kernel
PARTS = 8  # that a block of filters, or a chunk of tiles, is transformed in


@kernel
def conv2d_winograd_filters(filters, w, p):
    """Transform all filters: blocks of `filters_size` elements, from w as below."""
    parallel_for(_part_of_filters, _blocks(p) * PARTS, (filters, w, p))


@kernel
def conv2d_winograd_by_tiles(y, x, filters, bias, zeros, p):
    """Write y.

    Args:
        y, x: flat. filters: transformed. bias: one element a column. zeros: C of them.
        p: (N H W C; OH OW OC; PH PW; tiles down and across an image, side of one; tiles a chunk; 1 for ReLU; addresses
            of the input, filter and output form; (vectors, rows and address of the micro-kernel) of whole blocks and of
            the last).
    """
    parallel_for(_chunk_of_tiles, _chunks(p), (y, x, bias, filters, zeros, p))


@kernel
def conv2d_winograd_by_filters(y, x, w, bias, tiles, zeros, p):
    """As above, from w as pack.py leaves it: its taps one after the other in each block of columns.

    tiles: of `tiles_size` elements for each chunk, where the transformed pixels go.
    """
    parallel_for(_part_of_tiles, _chunks(p) * PARTS, (tiles, x, zeros, p))
    parallel_for(_block_of_filters, _blocks(p), (y, w, bias, tiles, p))


@inner
def _tiles(p):
    (N, _, _, _), _, _, (TI, TJ, _), _, _, _, _ = p
    return N * TI * TJ


@inner
def _chunks(p):
    return -(-_tiles(p) // p[4])


@inner
def _blocks(p):
    return -(-p[1][2] // _width(p))


@inner
def _width(p):
    """Columns of a whole block."""
    return p[7][0][0] * (VECTOR_BYTES // ITEM)


@inner
def _own(block, p):
    """Columns of a block, and its micro-kernel."""
    width, OC = _width(p), p[1][2]
    left = OC - block * width
    micro = p[7][0] if left >= width else p[7][1]
    return min(width, left), micro


def filters_size(C, width):
    """Elements of a block of transformed filters: 36 matrices, a line apart from a power of two."""
    return POINTS * (C * width + LINE)


def tiles_size(C, size):
    """Elements of a chunk of transformed tiles."""
    return POINTS * (size * C + LINE)


_filters_size, _tiles_size = inner(filters_size), inner(tiles_size)


@inner
def memory(elements):
    """Room of a chunk's own, all of it in one piece: of two as large the system would take the pages back each time."""
    return np.empty(elements * ITEM + 64, np.uint8)


@inner
def first_line(memory):
    return address(memory) + -address(memory) % 64


@inner
def _part_of_filters(index, filters, w, p):
    block = index // PARTS
    _transform_filters(
        address(filters) + block * _filters_size(p[0][3], _width(p)) * ITEM, w, block, index % PARTS, PARTS, p
    )


@inner
def _transform_filters(to, w, block, part, parts, p):
    (_, _, _, C), _, _, (_, _, side), _, _, (_, form, _), _ = p
    taps = (EDGE + 1 - side) ** 2
    columns, _ = _own(block, p)
    lanes = VECTOR_BYTES // ITEM
    first, last = span(part, parts, C * columns, lanes)
    tap = C * columns * ITEM
    source = address(w) + block * _width(p) * taps * C * ITEM
    call_form(form, (source + first * ITEM, tap, to + first * ITEM, tap + LINE * ITEM, (last - first) // lanes))


@inner
def _chunk_of_tiles(chunk, y, x, bias, filters, zeros, p):
    (_, _, _, C), _, _, _, size, _, _, _ = p
    first, last = chunk * size, min(chunk * size + size, _tiles(p))
    room = memory(_tiles_size(C, size) + _tiles_size(_width(p), size))
    rest = np.empty(_width(p), np.float32)
    _transform_tiles(first_line(room), x, zeros, first, last, p)
    for block in range(_blocks(p)):
        own = address(filters) + block * _filters_size(C, _width(p)) * ITEM
        products = first_line(room) + _tiles_size(C, size) * ITEM
        _multiply(products, first_line(room), own, block, last - first, p)
        _write(y, products, bias, address(rest), block, first, last, p)


@inner
def _part_of_tiles(index, tiles, x, zeros, p):
    (_, _, _, C), _, _, _, size, _, _, _ = p
    chunk = index // PARTS
    first, last = span(index % PARTS, PARTS, size, 1)
    to = address(tiles) + (chunk * _tiles_size(C, size) + first * C) * ITEM
    _transform_tiles(to, x, zeros, chunk * size + first, min(chunk * size + last, _tiles(p)), p)


@inner
def _block_of_filters(block, y, w, bias, tiles, p):
    (_, _, _, C), _, _, _, size, _, _, _ = p
    room = memory(_filters_size(C, _width(p)) + _tiles_size(_width(p), size))
    rest = np.empty(_width(p), np.float32)
    _transform_filters(first_line(room), w, block, 0, 1, p)
    for chunk in range(_chunks(p)):
        first, last = chunk * size, min(chunk * size + size, _tiles(p))
        own = address(tiles) + chunk * _tiles_size(C, size) * ITEM
        products = first_line(room) + _filters_size(C, _width(p)) * ITEM
        _multiply(products, own, first_line(room), block, last - first, p)
        _write(y, products, bias, address(rest), block, first, last, p)


@inner
def _transform_tiles(to, x, zeros, first, last, p):
    """V of some tiles: 36 matrices [tiles a chunk, C]."""
    (_, _, _, C), _, _, (_, _, side), size, _, (form, _, _), _ = p
    pixels = np.empty(EDGE * EDGE, np.int64)
    for tile in range(first, last):
        find_input(pixels, x, zeros, tile, p)
        own = to + (tile - first) * C * ITEM
        call_form(
            form,
            (address(pixels), side * C * ITEM, own, (size * C + LINE) * ITEM, VECTOR_BYTES, C * ITEM // VECTOR_BYTES),
        )


@inner
def find_input(pixels, x, zeros, tile, p):
    """Where the 6x6 pixels of x that a tile sees lie; zeros beyond the image."""
    (_, H, W, C), _, (PH, PW), (TI, TJ, side) = p[:4]
    n, i, j = tile // (TI * TJ), tile // TJ % TI * side - PH, tile % TJ * side - PW
    for r in range(EDGE):
        row = address(x) + ((n * H + i + r) * W + j) * C * ITEM
        inside = 0 <= i + r < H
        for c in range(EDGE):
            there = inside and 0 <= j + c < W
            pixels[r * EDGE + c] = row + c * C * ITEM if there else address(zeros)


@inner
def _multiply(to, tiles, filters, block, count, p):
    """M of some tiles and a block of filters: 36 matrices [tiles a chunk, columns]."""
    (_, _, _, C), _, _, _, size, _, _, _ = p
    columns, (_, MR, block_kernel) = _own(block, p)
    runs, rows, outs = np.empty(3, np.int64), np.empty(size + MOST_ROWS, np.int64), np.empty(size + MOST_ROWS, np.int64)
    runs[0], runs[1], runs[2] = 0, 0, C
    for r in range(count + MOST_ROWS):
        rows[r], outs[r] = min(r, count - 1) * C * ITEM, min(r, count - 1) * columns * ITEM
    for _ in range(POINTS):
        for t in range(0, count, MR):
            run_block(
                block_kernel, tiles, filters, (address(runs), 1), (address(rows) + 8 * t, 0), (0, 0),
                (to, address(outs) + 8 * t, min(MR, count - t), columns), 0, 0,
            )  # fmt: skip
        tiles += (size * C + LINE) * ITEM
        filters += (C * columns + LINE) * ITEM
        to += (size * columns + LINE) * ITEM


@inner
def _write(y, products, bias, rest, block, first, last, p):
    """The tiles of y; pixels beyond its edge go to `rest`, which nobody reads."""
    (_, _, _, _), (OH, OW, OC), _, (TI, TJ, side), size, relu, (_, _, form), _ = p
    columns, _ = _own(block, p)
    column = block * _width(p)
    pixels = np.empty(side * side, np.int64)
    for tile in range(first, last):
        n, i, j = tile // (TI * TJ), tile // TJ % TI * side, tile % TJ * side
        for r in range(side):
            row = address(y) + (((n * OH + i + r) * OW + j) * OC + column) * ITEM
            for c in range(side):
                there = i + r < OH and j + c < OW
                pixels[r * side + c] = row + c * OC * ITEM if there else rest
        own = products + (tile - first) * columns * ITEM
        call_form(
            form,
            (
                own,
                (size * columns + LINE) * ITEM,
                address(pixels),
                side * OC * ITEM,
                address(bias) + column * ITEM,
                relu,
                columns * ITEM // VECTOR_BYTES,
            ),
        )
