"""The operand `b` of the micro-kernel, laid out as it is read: blocks of COLUMNS vectors, row by row.

    packed[block][t, k][lane] = source[offsets[t] + k * step_k + column * step_column],  column = block * width + lane

and zero where a block is wider than the columns that are left. The last block has one vector where that is enough.
"""

from .jit import kernel
from .micro import COLUMNS
from .parallel import parallel_for
from .simd import VECTOR_BYTES


@kernel
def pack(packed, source, offsets, p):
    """Fill `packed` (flat) from `source` (flat); p = (columns, rows per offset, step of a column, step of a row)."""
    width = COLUMNS * (VECTOR_BYTES // packed.itemsize)
    parallel_for(_pack_block, -(-p[0] // width), (packed, source, offsets, p))


@kernel
def _pack_block(block, packed, source, offsets, p):
    columns, rows, column_step, row_step = p
    lanes = VECTOR_BYTES // packed.itemsize
    width = COLUMNS * lanes
    depth = len(offsets) * rows
    left = columns - block * width
    out = packed[block * width * depth :]
    if left <= lanes:
        width = lanes
    given = min(left, width)
    for t in range(len(offsets)):
        for k in range(rows):
            base = offsets[t] + k * row_step + block * COLUMNS * lanes * column_step
            at = (t * rows + k) * width
            for lane in range(given):
                out[at + lane] = source[base + lane * column_step]
            for lane in range(given, width):
                out[at + lane] = 0


@kernel
def pad(padded, x, p):
    """padded [N, H + PH + PB, W + PW + PR, C] from x [N, H, W, C], zeros around; p = (PH, PW)."""
    parallel_for(_pad_image, x.shape[0], (padded, x, p))


@kernel
def _pad_image(n, padded, x, p):
    PH, PW = p
    H, W, C = x.shape[1:]
    padded[n] = 0
    for h in range(H):
        row, given = padded[n, PH + h], x[n, h]
        for w in range(W):
            for c in range(C):
                row[PW + w, c] = given[w, c]
