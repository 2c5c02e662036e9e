"""Depthwise convolution (every channel its own filter): vectors along the channels in all three passes.

    y[n, oh, ow, c]  = act(b[c] + sum over kh, kw:  x[n, ih, iw, c] * w[kh, kw, c])
    dx[n, ih, iw, c] =            sum over kh, kw:  dy[n, oh, ow, c] * w[kh, kw, c]
    dw[kh, kw, c]    =            sum over n, oh, ow:  dy[n, oh, ow, c] * x[n, ih, iw, c],   db[c] = sum of dy
    with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW, where they lie inside

x, dx [N, H, W, C], y, dy [N, OH, OW, C]; filters are first turned to [KH, KW, C]. Forward and backward-data are one
kernel: along an axis, the pixels of a phase (all of y, or every SW-th of dx) meet the same taps, whose places in the
source lie evenly. One step takes PIXELS neighbours of a row, whose columns of the source are shared for filters of 3, 5
and 7; the last step of a row overlaps the one before; pixels at an edge go one by one with the taps that they have.
Backward-weight goes over a row of dy once for each vector of channels, up to 9 sums in registers; parts of the
rows have sums of their own, which are added in their order.
"""

from ..jit import inner, kernel
from ..lanes import add, load, pointer_to, store
from ..parallel import parallel_for, span
from ..pool2d.windows import clear
from ..simd import VECTOR_BYTES, address
from .depthwise_tile import filter_pixels, weigh_pixels

PIXELS = 5  # divides the inner 110, 55, 10 and 5 pixels of common maps, wastes little of 54, 27, 26, 13 and 12
CHUNK = 32768  # multiply-adds that are worth a chunk


@kernel
def conv2d_depthwise(y, x, w, bias, packed, rows, columns, p):
    """y from x, or dx from dy, all flat.

    Args:
        w: [C, KH, KW]. bias: [C]. packed: scratch, [KH, KW, C].
        rows, columns: [phases, 6] of an axis: taps, first tap, step of taps, place of the first in the source at the
            phase's first pixel, step of places from pixel to pixel, and from tap to tap.
        p: (N, C; H, W of y; phases of rows, of columns; H, W of x; KH, KW; act).
    """
    N, C, I, J, _, _, _, _, KH, KW, _ = p
    T = KH * KW
    for c in range(C):
        for t in range(T):
            packed[t * C + c] = w[c * T + t]
    chunks = max(1, min(N * I, N * I * J * C * T // CHUNK))
    places = address(y), address(x), address(packed), address(bias)
    parallel_for(
        _rows_of_pixels, chunks, (chunks, pointer_to(y), y.itemsize, places, pointer_to(rows), pointer_to(columns), p)
    )


@inner
def _rows_of_pixels(chunk, chunks, like, item, places, rows, columns, p):
    N, C, I, J, SI, SJ, H, W, KH, KW, act = p
    y, x, w, bias = places
    pixel = C * item
    first, last = span(chunk, chunks, N * I, 1)
    for row in range(first, last):
        n, i = row // I, row % I
        a = i % SI * 6
        dilation = rows[a + 5]
        top = rows[a + 3] + i // SI * rows[a + 4]
        t0, t1 = _inside(top, rows[a], dilation, H)
        x_row = x + (n * H + top + t0 * dilation) * W * pixel
        w_row = w + (rows[a + 1] + t0 * rows[a + 2]) * KW * pixel
        steps = dilation * W * pixel, rows[a + 2] * KW * pixel
        for phase in range(SJ):
            b = phase * 6
            line = columns[b], columns[b + 1], columns[b + 2], columns[b + 3], columns[b + 4], columns[b + 5]
            own = y + (row * J + phase) * pixel, x_row, w_row, bias
            _line_of_pixels(like, item, own, steps, t1 - t0, (J - phase + SJ - 1) // SJ, line, p)


@inner
def _line_of_pixels(like, item, places, row_steps, KH, count, line, p):
    """The `count` pixels of one phase in a row."""
    C, SJ, W, act = p[1], p[5], p[7], p[10]
    y, x, w, bias = places
    taps, k0, kstep, start, step, dilation = line
    pixel = C * item
    lo, hi = _whole(start, step, taps, dilation, W, count)
    if hi - lo < PIXELS or C * item < VECTOR_BYTES:
        lo = hi = count
    x_steps = row_steps[0], step * pixel, dilation * pixel
    w_steps = row_steps[1], kstep * pixel
    shared = step if dilation == 1 else 0
    for edge in range(count - hi + lo):
        j = edge if edge < lo else edge + hi - lo
        left = start + j * step
        t0, t1 = _inside(left, taps, dilation, W)
        filter_pixels(
            1, 0, 0, like, C, (y + j * SJ * pixel, 0), (x + (left + t0 * dilation) * pixel, *x_steps),
            (w + (k0 + t0 * kstep) * pixel, *w_steps), (KH, t1 - t0), bias, act,
        )  # fmt: skip
    for tile in range(lo, hi, PIXELS):
        j = min(tile, hi - PIXELS)
        out = y + j * SJ * pixel, SJ * pixel
        source = x + (start + j * step) * pixel, *x_steps
        filters = w + k0 * pixel, *w_steps
        if taps == 3 and shared == 1:
            filter_pixels(PIXELS, 3, 1, like, C, out, source, filters, (KH, taps), bias, act)
        elif taps == 3 and shared == 2:
            filter_pixels(PIXELS, 3, 2, like, C, out, source, filters, (KH, taps), bias, act)
        elif taps == 5 and shared == 1:
            filter_pixels(PIXELS, 5, 1, like, C, out, source, filters, (KH, taps), bias, act)
        elif taps == 7 and shared == 1:
            filter_pixels(PIXELS, 7, 1, like, C, out, source, filters, (KH, taps), bias, act)
        else:
            filter_pixels(PIXELS, 0, 0, like, C, out, source, filters, (KH, taps), bias, act)


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
def conv2d_depthwise_weight(dw, db, sums, dy, x, p):
    """Flat dw [C, KH, KW] and db [C] from flat dy and x.

    sums: scratch [parts, KH * KW + 1, channels up to whole vectors]; the last row of a part is for db.
    p: (N, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW).
    """
    parts, rows, pitch = sums.shape
    shape = parts, rows, pitch, p[1], sums.itemsize
    own = pointer_to(sums)
    parallel_for(_part_of_rows, parts, (own, address(sums), address(dy), address(x), shape, p))
    parallel_for(_sum_of_parts, rows, (pointer_to(dw), pointer_to(db), own, shape))


@inner
def _part_of_rows(part, sums, places, dy, x, shape, p):
    OH, OW, KH, KW, SH, SW, PH, PW, DH, DW = p[4:]
    parts, rows, pitch, C, item = shape
    N, H, W = p[0], p[2], p[3]
    clear(sums, part * rows * pitch, rows * pitch)
    first, last = span(part, parts, N * OH, 1)
    own = places + part * rows * pitch * item
    lo, hi = _whole(-PW, SW, KW, DW, W, OW)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        t0, t1 = _inside(top, KH, DH, H)
        bias = own + (rows - 1) * pitch * item
        dy_row = dy + row * OW * C * item
        if t0 == t1:
            weigh_pixels(1, 0, sums, C, (own, 0, 0), bias, (dy_row, C * item), (x, 0, 0, 0), (0, OW, OW), (0, 0, 0, W))
        kh = t0
        while kh < t1:
            many = 3 if KW == 3 and kh + 3 <= t1 else 1
            x_row = x + (n * H + top + kh * DH) * W * C * item
            _taps_of_row(sums, (own + kh * KW * pitch * item, bias, dy_row, x_row), many, lo, hi, shape, p)
            bias = 0
            kh += many


@inner
def _taps_of_row(like, places, many, lo, hi, shape, p):
    """Add a row of dy to the sums of `many` rows of the filter, each with its own row of x."""
    W, OW, KW, SW, PW, DH, DW = p[3], p[5], p[7], p[9], p[11], p[12], p[13]
    _, _, pitch, C, item = shape
    sums, bias, dy, x = places
    pixel, tap = C * item, pitch * item
    out, given = (sums, KW * tap, tap), (dy, pixel)
    source = x - PW * pixel, DH * W * pixel, SW * pixel, DW * pixel
    edges, columns = (lo, hi, OW), (-PW, SW, DW, W)
    if many == 3:
        weigh_pixels(3, 3, like, C, out, bias, given, source, edges, columns)
    elif KW == 3:
        weigh_pixels(1, 3, like, C, out, bias, given, source, edges, columns)
    elif KW == 5:
        weigh_pixels(1, 5, like, C, out, bias, given, source, edges, columns)
    elif KW == 7:
        weigh_pixels(1, 7, like, C, out, bias, given, source, edges, columns)
    else:
        for kw in range(KW):
            start = kw * DW - PW
            first, last = _whole(start, SW, 1, 1, W, OW)
            weigh_pixels(
                1, 1, like, C, (sums + kw * tap, 0, 0), bias if kw == 0 else 0, given,
                (x + start * pixel, 0, SW * pixel, 0), (first, last, OW), (start, SW, 0, W),
            )  # fmt: skip


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
        place = c if c < C // lanes * lanes or C < lanes else pitch - C + c
        value = sums[row * pitch + place]
        if row < rows - 1:
            dw[c * (rows - 1) + row] = value
        else:
            db[c] = value
