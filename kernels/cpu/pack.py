"""The operand `b` of the micro-kernel, laid out as it is read: blocks of COLUMNS vectors, row by row.

    packed[block][t, k][lane] = source[offsets[t] + k * step_k + column * step_column],  column = block * width + lane

and zero where a block is wider than the columns that are left. The last block has one vector where that is enough.
"""

from .jit import inner, kernel
from .micro import COLUMNS
from .parallel import parallel_for
from .rows import copy_rows, transpose_tile
from .simd import VECTOR_BYTES, address


def packed_size(depth, columns, item):
    """Elements of a packed operand of `depth` rows."""
    lanes = VECTOR_BYTES // item
    return depth * -(-columns // lanes) * lanes


@kernel
def pack(packed, source, offsets, p):
    """Fill `packed` (flat) from `source` (flat); p = (columns, rows per offset, step of a column, step of a row).

    One of the two steps is 1.
    """
    width = COLUMNS * (VECTOR_BYTES // packed.itemsize)
    parallel_for(_pack_block, -(-p[0] // width), (packed, source, offsets, p))


@inner
def _pack_block(block, packed, source, offsets, p):
    columns, rows, column_step, row_step = p
    item = packed.itemsize
    lanes = VECTOR_BYTES // item
    depth = len(offsets) * rows
    left = columns - block * COLUMNS * lanes
    width = lanes if left <= lanes else COLUMNS * lanes
    out = address(packed) + block * COLUMNS * lanes * depth * item
    first = address(source) + block * COLUMNS * lanes * column_step * item
    for t in range(len(offsets)):
        to, own = out + t * rows * width * item, first + offsets[t] * item
        if column_step == 1:
            copy_rows(COLUMNS, packed, to, width * item, own, row_step * item, rows, left, width)
        else:
            _turn(packed, to, width, own, column_step, rows, left)


@inner
def _turn(like, to, width, own, column_step, rows, left):
    """Packed rows whose columns lie `column_step` apart, tile by tile."""
    item = like.itemsize
    lanes = VECTOR_BYTES // item
    for lane in range(0, width, lanes):
        for k in range(0, rows, lanes):
            transpose_tile(
                like, to + (k * width + lane) * item, width * item,
                own + (lane * column_step + k) * item, column_step * item, left - lane, min(lanes, rows - k),
            )  # fmt: skip


@kernel
def pad(padded, x, p):
    """padded [N, H + PH + PB, W + PW + PR, C] from x [N, H, W, C], zeros around; p = (PH, PW)."""
    parallel_for(_pad_image, x.shape[0], (padded, x, p))


@inner
def _pad_image(n, padded, x, p):
    PH, PW = p
    H, W, C = x.shape[1:]
    padded[n] = 0
    for h in range(H):
        row, given = padded[n, PH + h], x[n, h]
        for w in range(W):
            for c in range(C):
                row[PW + w, c] = given[w, c]
