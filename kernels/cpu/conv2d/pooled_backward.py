"""The backward of pooled.py: dw, db and dx from the gradient of the pooled map, no dense gradient in memory.

Images are cut into parts of neighbours; each part has sums of its own, which are added in the order of the parts, so
that results do not depend on the threads. Of one image, x (with the padding around it) and, where it is needed, the
gradient of the map stay in the nearest caches while all blocks of dw pass over them.

`p` is (N, C, H, W, OC, KH, KW, PH, PW, VH, VW, R, Q, neighbours that share a vector, parts, blocks of channels, blocks
of positions, pixels of a tile of backward-data, its vectors, bytes of an element of kept, bytes of `room` for a part,
bytes of a row between these tiles and dx, elements of an image of dy and y that lie in the order of [OC, VH, VW], or
0). Of those, what the activation leaves of dy is turned image by image, in the nearest cache.
sums: scratch [parts, blocks of channels, blocks of positions, R * Q + 1, LANES], the last row of a block's first
positions for the bias.

AMD Zen 5, batch 100, us, one core     SimpleConvNet   LeNet C1   LeNet C3, with dx
    the plain calls                                    1680       1015
    this                               260             248        520
On two cores: 153 (436), 139 (574) and, without dx, 157 (257). What led there, SimpleConvNet on one core:
    quads filled by a plain loop 312; rows read where x lies 312; quads by register interleaving 255
    rejected: the activation as a run-time number in the block of the largest, 355
Forms, divisions out of the loops over sums and filters, dx from a sliding window (pooled_data.py), in turn with what
was before, one core of a busy machine: 292 to 278, 262 to 262 and 546 to 514. The multiply-adds of C3 alone take 405.
What follows the parts, adding them up by vectors: 5.5 to 1.5, 3.1 to 1.0 and 14.6 to 3.0; C3's filters 2.4 to 0.6.
"""

from ..forms import call_form
from ..jit import inner, kernel
from ..layout import turn_image
from ..parallel import parallel_for
from ..rows import add_rows, copy_rows
from ..simd import VECTOR_BYTES, address, clear
from .pooled import ZERO, rows_of_x
from .pooled_tile import LANES
from .pooled_weight import QUAD, side_by_side


@kernel
def conv2d_pool_weight_of_largest(dw, db, sums, room, dy, y, kept, x, forms, p):
    """Flat dw [OC, KH, KW, C] and db [OC] from dy, y and kept (the argmax), flat [N, VH, VW, OC], and flat x.

    room: scratch. forms: addresses of the forms of dw and, or 0, of the activation's gradient.
    """
    args = address(sums), room, dy, address(y), address(kept), address(x), forms, p
    parallel_for(_largest_part, p[14], args)
    _finish(dw, db, sums, p)


@kernel
def conv2d_pool_backward(dx, dw, db, sums, packed, room, dy, y, kept, x, w, forms, p):
    """Flat dx [N, H, W, C], or none where it is empty; dw and db. kept (as bytes) is the argmax or the activated map.

    packed, room: scratch for w and for what the parts have to themselves. forms: addresses of the forms of the map's
    gradient, of dw, of dx and, or 0, of the activation's gradient.
    """
    if dx.size:
        _pack_filter_rows(packed, w, p)
    given = dy, address(y), address(kept), address(x)
    args = address(dx) if dx.size else 0, address(sums), address(packed), room, *given, forms, p
    parallel_for(_map_part, p[14], args)
    _finish(dw, db, sums, p)


@inner
def _origin(position, p):
    """The first filter position (row, element of the row) of a block; the last blocks do some again."""
    KH, depth, R, Q = p[5], (p[6] + p[13] - 1) * p[1], p[11], p[12]
    across = -(-depth // Q)
    return min(position // across * R, KH - R), min(position % across * Q, depth - Q)


@inner
def _largest_part(part, sums, room, dy, y, kept, x, forms, p):
    N, C, _, _, OC, KH, KW, PH, _, VH, VW, R, Q, _, parts, blocks, positions, _, _, _, size, _, turned = p
    height, width, sums_bytes = 2 * VH + KH - 1, (2 * VW + KW - 1) * C, (R * Q + 1) * VECTOR_BYTES
    buffer, sums = address(room) + part * size, sums + part * blocks * positions * sums_bytes
    quads = buffer + (height * width * 4 + 63) // 64 * 64
    clear(buffer, height * width * 4)
    clear(sums, blocks * positions * sums_bytes)
    for n in range(part * N // parts, (part + 1) * N // parts):
        image, pitch = rows_of_x(buffer, x, n, -PH, height, p)
        side_by_side(quads, image, (height - 1) * (pitch // 4) - C, C * 4, pitch)
        pitch = pitch // 4 * QUAD
        d = _gradient(room, (part + 1) * size // 4, dy, y, n, forms[1], p) if turned else address(dy)
        for block in range(blocks):
            at = n * VH * VW * OC + block * LANES
            for position in range(positions):
                r, q = _origin(position, p)
                call_form(forms[0], (
                    sums + (block * positions + position) * sums_bytes, quads + r * pitch + q * QUAD, pitch,
                    2 * C * QUAD, d + at * 4, y + at * 4, kept + at, OC - block * LANES, OC, VH, VW,
                ))  # fmt: skip


@inner
def _map_part(part, dx, sums, packed, room, dy, y, kept, x, forms, p):
    N, C, H, W, OC, KH, KW, PH, _, VH, VW, R, Q, neighbours, parts, blocks, positions, _, _, item, size, _, turned = p
    height, width, sums_bytes = 2 * VH + KH - 1, (2 * VW + KW - 1) * C, (R * Q + 1) * VECTOR_BYTES
    steps, d_step, per_window = 2 * VW // neighbours, blocks * VECTOR_BYTES, 4 if item == 4 else 1
    buffer, sums = address(room) + part * size, sums + part * blocks * positions * sums_bytes
    da = buffer + (height * width * 4 + 63) // 64 * 64
    rows = da + 2 * VH * steps * d_step
    clear(buffer, height * width * 4)
    if dx:
        clear(rows, buffer + size - rows)
    clear(sums, blocks * positions * sums_bytes)
    for n in range(part * N // parts, (part + 1) * N // parts):
        image, pitch = rows_of_x(buffer, x, n, -PH, height, p)
        d = _gradient(room, (part + 1) * size // 4, dy, y, n, forms[3], p) if turned else address(dy)
        for block in range(blocks):
            at, own, block_sums = n * VH * VW * OC, da + block * VECTOR_BYTES, sums + block * positions * sums_bytes
            call_form(forms[0], (
                own, steps * d_step, d_step, block_sums + R * Q * VECTOR_BYTES, d + (at + block * LANES) * 4,
                y + (at + block * LANES) * 4, kept + (at * per_window + block * LANES) * item, OC - block * LANES, OC,
                VH, VW,
            ))  # fmt: skip
            for position in range(positions):
                r, q = _origin(position, p)
                call_form(forms[1], (
                    block_sums + position * sums_bytes, image + r * pitch + q * 4, pitch, neighbours * C * 4,
                    own, steps * d_step, d_step, 2 * VH, steps,
                ))  # fmt: skip
        if dx:
            for h in range(H):
                _row_of_dx(dx + (n * H + h) * W * C * 4, rows, da, packed, h + PH, forms[2], p)


@inner
def _gradient(room, end, dy, y, n, form, p):
    """Where image 0 would begin if image n of dy, past the activation, lay as the others do: at the end of the room."""
    OC, VH, VW, size = p[4], p[9], p[10], p[22]
    wide = -(-size // 16) * 16  # whole vectors are written
    to, planar, at = end - wide, end - 2 * wide, n * size * 4
    if form:
        call_form(form, (address(room) + planar * 4, address(dy) + at, y + at, size))
        turn_image(room, to, room, planar, VH * VW, OC)
    else:
        turn_image(room, to, dy, n * size, VH * VW, OC)
    return address(room) + (to - n * size) * 4


@inner
def _row_of_dx(dx, rows, da, packed, row, tile, p):
    """One row of dx; `row` counts from the padding's start.

    rows: a row for each block of the filter's rows, with zeros beside what a block writes, and one for the carry.
    """
    C, W, OC, KH, KW, PW, VH, VW, pixels, vectors = p[1], p[3], p[4], p[5], p[6], p[8], p[9], p[10], p[17], p[18]
    first, last = max(0, row - 2 * VH + 1), min(KH, row + 1)
    block_bytes = vectors * VECTOR_BYTES
    blocks, row_bytes = -(-KW * C // (vectors * LANES)), p[21]
    da_pixel = p[15] * VECTOR_BYTES // p[13]
    da_row = 2 * VW * da_pixel
    carry = rows + blocks * row_bytes
    for block in range(blocks):
        own = rows + block * (row_bytes + block_bytes)
        clear(carry, block_bytes)
        for turn in range(0, 2 * VW, pixels):
            j = min(turn, 2 * VW - pixels)
            call_form(tile, (
                own + j * C * 4, carry, turn - j, da + (row - first) * da_row + j * da_pixel, da_row, da_pixel,
                packed + (block * KH + first) * OC * block_bytes, last - first, OC,
            ))  # fmt: skip
        copy_rows(1, ZERO, own + 2 * VW * C * 4, VECTOR_BYTES, carry, VECTOR_BYTES, vectors, LANES, LANES)
    for e in range(0, W * C, 2 * LANES):
        add_rows(2, 1, ZERO, rows + (PW * C + e) * 4, row_bytes, blocks, dx + e * 4, W * C - e, 0)


@inner
def _pack_filter_rows(packed, w, p):
    """packed [blocks of KW * C][KH][OC][vectors], zeros beyond a filter's row."""
    OC, KH, E, width = p[4], p[5], p[6] * p[1], p[18] * LANES
    for e in range(0, -(-E // width) * width, LANES):
        for kh in range(KH):
            to = address(packed) + ((e // width * KH + kh) * OC * width + e % width) * 4
            own = address(w) + (kh * E + e) * 4
            copy_rows(1, ZERO, to, width * 4, own, KH * E * 4, OC, E - e, LANES)


@inner
def _finish(dw, db, sums, p):
    """Add the parts in their order, and put every filter's own numbers together."""
    OC, R, Q, neighbours, _, blocks, positions = p[4], *p[11:17]
    parallel_for(_add_parts, blocks * positions, (address(sums), p))
    half = LANES // 2
    for block in range(blocks):
        first = (block * positions * (R * Q + 1) + R * Q) * LANES
        for k in range(min(LANES, OC - block * LANES)):
            value = sums[first + k]
            db[block * LANES + k] = value + sums[first + k + half] if neighbours == 2 else value
        for side in range(neighbours):
            for position in range(positions):
                _spread(dw, sums, block, position, side, p)


@inner
def _add_parts(chunk, sums, p):
    """All parts of one block's sums, into the first part's."""
    size, parts = (p[11] * p[12] + 1) * VECTOR_BYTES, p[14]
    own, part_bytes = sums + chunk * size, p[15] * p[16] * size
    for at in range(own, own + size, VECTOR_BYTES):
        add_rows(1, 4, ZERO, at, part_bytes, parts, at, LANES, 0)


@inner
def _spread(dw, sums, block, position, side, p):
    """The positions of one block that no earlier one has done, into dw: written, or added for the right neighbour."""
    C, OC, KH, E, R, Q, neighbours, positions = p[1], p[4], p[5], p[6] * p[1], *p[11:14], p[16]
    across = -(-(E + (neighbours - 1) * C) // Q)
    r_first, q_first = _origin(position, p)
    channels, shift = min(LANES, OC - block * LANES), side * C
    for kh in range(position // across * R, r_first + R):
        for e in range(max(position % across * Q, shift), min(q_first + Q, E + shift)):
            own = (kh - r_first) * Q + e - q_first
            at = ((block * positions + position) * (R * Q + 1) + own) * LANES + side * (LANES // 2)
            to = (block * LANES * KH + kh) * E + e - shift
            for k in range(channels):
                before = dw[to + k * KH * E] if side else ZERO
                dw[to + k * KH * E] = before + sums[at + k]
