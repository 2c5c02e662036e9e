"""Depthwise convolution (every channel its own filter): vectors along the channels in all three passes.

    y[n, oh, ow, c]  = act(b[c] + sum over kh, kw:  x[n, ih, iw, c] * w[kh, kw, c])
    dx[n, ih, iw, c] =            sum over kh, kw:  dy[n, oh, ow, c] * w[kh, kw, c]
    dw[kh, kw, c]    =            sum over n, oh, ow:  dy[n, oh, ow, c] * x[n, ih, iw, c],   db[c] = sum of dy
    with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW, where they lie inside

x, dx [N, H, W, C], y, dy [N, OH, OW, C]; filters are first turned to [KH, KW, C]. Forward and backward-data are one
kernel: along an axis, the pixels of a phase (all of y, or every SW-th of dx) meet the same taps, whose places in the
source lie evenly. A chunk owns rows of the result; a form of depthwise_tile.py, compiled for the filter and the stride,
computes a line of a row, up to 8 neighbours at a time, which share columns of the source. Backward-weight goes over
a row of dy once for each vector of channels with up to 10 sums in registers; parts of the rows have sums of their own,
which are added in their order.

Ladder (AMD Zen 5, 2 cores, float32, batch 16, microseconds; forward / backward-data / backward-weight; shared machine,
single runs differ by half):
                                          32x112x112, 3x3/1     128x56x56, 3x3/1      512x14x14, 3x3/1
    5 neighbours, edges one by one        5661 / 7342 / 5989    3160 / 2656 / 3861     494 / 647 / 546
    up to 8 neighbours with the edges,
      one call a line                     3110 / 3075 / 3172    3004 / 2962 / 3578     471 / 358 / 750
    PyTorch 2.13                          1462 / 1821 / 1636    1399 / 2216 / 2281     204 / 211 / 257
    (one image in cache, one thread: 114 GFLOP/s of about 180 forward, 70 backward-weight: memory is what is waited for)
Asking for the next row ahead of time: forward, one thread, the same layers: 3723, 2713, 423 to 2171, 1942, 387.
Compiled inside the kernel instead of apart, with tiles for 5 and 7 taps too: 2.2 and 2.5 s; now 0.8 and 0.9.
"""

from ..jit import inner, kernel
from ..lanes import add, load, pointer_to, store
from ..parallel import parallel_for, span
from ..pool2d.windows import clear
from ..simd import VECTOR_BYTES, address
from .depthwise_tile import call

CHUNK = 32768  # multiply-adds that are worth a chunk
AXIS = 8  # numbers of a phase


@kernel
def conv2d_depthwise(y, x, w, bias, packed, rows, columns, p):
    """y from x, or dx from dy, all flat.

    Args:
        w: [C, KH, KW]. bias: [C]. packed: scratch, [KH, KW, C].
        rows, columns: [phases, AXIS] of an axis: taps, first tap, step of taps, place of the first in the source at the
            phase's first pixel, step of places from pixel to pixel, and from tap to tap; of columns also the address of
            the form that computes a line of pixels, and whether it takes those at the edges too.
        p: (N, C; H, W of y; phases of rows, of columns; H, W of x; KH, KW; act; pixels at a time,
            address of the form for one pixel).
    """
    N, C, I, J, _, _, _, _, KH, KW, _, _, _ = p
    T = KH * KW
    for c in range(C):
        for t in range(T):
            packed[t * C + c] = w[c * T + t]
    chunks = max(1, min(N * I, N * I * J * C * T // CHUNK))
    places = address(y), address(x), address(packed), address(bias)
    parallel_for(_rows_of_pixels, chunks, (chunks, y.itemsize, places, pointer_to(rows), pointer_to(columns), p))


@inner
def _rows_of_pixels(chunk, chunks, item, places, rows, columns, p):
    N, C, I, J, SI, SJ, H, W, _, KW, _, _, _ = p
    y, x, w, bias = places
    pixel = C * item
    first, last = span(chunk, chunks, N * I, 1)
    for row in range(first, last):
        n, i = row // I, row % I
        a = i % SI * AXIS
        dilation = rows[a + 5]
        top = rows[a + 3] + i // SI * rows[a + 4]
        t0, t1 = _inside(top, rows[a], dilation, H)
        x_row = x + (n * H + top + t0 * dilation) * W * pixel
        w_row = w + (rows[a + 1] + t0 * rows[a + 2]) * KW * pixel
        steps = dilation * W * pixel, rows[a + 2] * KW * pixel, t1 - t0
        for phase in range(SJ):
            b = phase * AXIS
            line = columns[b], columns[b + 1], columns[b + 2], columns[b + 3], columns[b + 4], columns[b + 5]
            _line_of_pixels(
                (y + (row * J + phase) * pixel, x_row, w_row, bias), steps, (J - phase + SJ - 1) // SJ, line,
                (columns[b + 6], columns[b + 7]), pixel, p,
            )  # fmt: skip


@inner
def _line_of_pixels(places, row_steps, count, line, form, pixel, p):
    """The `count` pixels of one phase in a row: most of them together, those at edges one by one where need be."""
    C, SJ, W, act, P, single = p[1], p[5], p[7], p[10], p[11], p[12]
    y, x, w, bias = places
    x_row, w_row, KH = row_steps
    taps, k0, kstep, start, step, dilation = line
    together, edges = form
    lo, hi = (0, count) if edges else _whole(start, step, taps, dilation, W, count)
    if hi - lo < P or together == 0:
        lo = hi = count
    y_q, x_q, x_tap, w_tap = SJ * pixel, step * pixel, dilation * pixel, kstep * pixel
    if lo < hi:
        left = start + lo * step
        call(together, (
            C, hi - lo, y + lo * y_q, y_q, x + left * pixel, x_row, x_q, x_tap, w + k0 * pixel, w_row, w_tap,
            bias, KH, taps, act, left, dilation, W,
        ))  # fmt: skip
    for edge in range(count - hi + lo):
        j = edge if edge < lo else edge + hi - lo
        left = start + j * step
        t0, t1 = _inside(left, taps, dilation, W)
        call(single, (
            C, 1, y + j * y_q, 0, x + (left + t0 * dilation) * pixel, x_row, 0, x_tap,
            w + (k0 + t0 * kstep) * pixel, w_row, w_tap, bias, KH, t1 - t0, act, 0, 0, 0,
        ))  # fmt: skip


@inner
def _inside(start, taps, dilation, size):
    """The taps k, from first to last - 1, with 0 <= start + k * dilation < size; first = last where there are none."""
    first = 0 if start >= 0 else (dilation - 1 - start) // dilation
    last = min(taps, (size - start + dilation - 1) // dilation)
    return first, max(first, last)


@inner
def _whole(start, step, taps, dilation, size, count):
    """The pixels, from first to last - 1 of `count`, all of whose taps lie inside."""
    first = 0 if start >= 0 else (step - 1 - start) // step
    room = size - 1 - start - (taps - 1) * dilation
    last = min(count, room // step + 1) if room >= 0 else 0
    first = min(first, count)
    return first, max(first, last)


@kernel
def conv2d_depthwise_weight(dw, db, sums, dy, x, forms, p):
    """Flat dw [C, KH, KW] and db [C] from flat dy and x.

    Args:
        sums: scratch [parts, KH * KW + 1, channels up to whole vectors]; the last row of a part is for db.
        forms: (taps of a row of the filter at a time, rows at a time where there are so many; addresses of the forms
            for these, for one row, for none).
        p: (N, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW).
    """
    parts, rows, pitch = sums.shape
    shape = parts, rows, pitch, p[1], sums.itemsize
    own = pointer_to(sums)
    parallel_for(_part_of_rows, parts, (own, address(sums), address(dy), address(x), shape, forms, p))
    parallel_for(_sum_of_parts, rows, (pointer_to(dw), pointer_to(db), own, shape))


@inner
def _part_of_rows(part, sums, places, dy, x, shape, forms, p):
    OH, OW, KH, KW, SH, SW, PH, PW, DH, DW = p[4:]
    parts, rows, pitch, C, item = shape
    taps, many, several, one, none = forms
    N, H, W = p[0], p[2], p[3]
    clear(sums, part * rows * pitch, rows * pitch)
    first, last = span(part, parts, N * OH, 1)
    own = places + part * rows * pitch * item
    pixel, tap = C * item, pitch * item
    for row in range(first, last):
        top = row % OH * SH - PH
        t0, t1 = _inside(top, KH, DH, H)
        bias, dy_row = own + KH * KW * tap, dy + row * OW * pixel
        if t0 == t1:
            call(none, (C, OW, own, 0, 0, bias, dy_row, x, 0, 0, 0, 0, OW, 0, 0, 0, W))
        kh = t0
        while kh < t1:
            form = several if kh + many <= t1 else one
            x_row = x + (row // OH * H + top + kh * DH) * W * pixel
            for kw in range(0, KW, taps):
                left = kw * DW - PW
                lo, hi = _whole(left, SW, taps, DW, W, OW)
                call(form, (
                    C, OW, own + (kh * KW + kw) * tap, KW * tap, tap, bias, dy_row, x_row + left * pixel,
                    DH * W * pixel, SW * pixel, DW * pixel, lo, hi, left, SW, DW, W,
                ))  # fmt: skip
                bias = 0
            kh += many if form == several else 1


@inner
def _sum_of_parts(row, dw, db, sums, shape):
    """One tap of dw, or db, from all parts."""
    parts, rows, pitch, C, item = shape
    lanes = VECTOR_BYTES // item
    for at in range(0, pitch, lanes):
        total = load(sums, row * pitch + at, rows * pitch)
        for part in range(1, parts):
            total = add(total, load(sums, (part * rows + row) * pitch + at, parts * rows * pitch))
        store(sums, row * pitch + at, total, lanes)
    for c in range(C):
        # The last vector of a row ends with the last channel.
        place = c if c < C // lanes * lanes or lanes > C else pitch - C + c
        value = sums[row * pitch + place]
        if row < rows - 1:
            dw[c * (rows - 1) + row] = value
        else:
            db[c] = value
