"""Depthwise convolution (every channel its own filter): vectors along the channels in all three passes.

    y[n, oh, ow, c]  = act(b[c] + sum over kh, kw:  x[n, ih, iw, c] * w[kh, kw, c])
    dx[n, ih, iw, c] =            sum over kh, kw:  dy[n, oh, ow, c] * w[kh, kw, c]
    dw[kh, kw, c]    =            sum over n, oh, ow:  dy[n, oh, ow, c] * x[n, ih, iw, c],   db[c] = sum of dy
    with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW, where they lie inside

x, dx [N, H, W, C], y, dy [N, OH, OW, C]; filters are first turned to [KH, KW, C].

The work is cut into pieces, each a convolution without dilation: pixels of the result, evenly spaced, that meet the
same taps (all of y; every SH-th row and SW-th column of dx; under dilation every DH-th row), and of a large filter a
part of its taps. A piece is walked through in columns of some neighbours (depthwise_tile.py), one vector of channels
after the other. Backward-weight goes the same way through dy and x; parts of the images have sums of their own, which
are added in their order.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, batch 16, microseconds; forward / backward-data / backward-weight in turn
in one run, medians of 7):
                      lines of 8 pixels       walks down the rows     PyTorch 2.13          copy of x to y
    32 x 112, 3x3/1   1323 / 1170 / 1744      1184 / 1154 / 1186      1361 / 2175 / 2144    654
    64 x 112, 3x3/2   1499 / 1583 / 1585      1299 / 1617 / 1151      1175 / 9397 / 1170
    128 x 56, 3x3/1    933 /  889 / 1824       598 /  789 / 1342      1083 / 2100 / 2767    654
    128 x 56, 3x3/2    377 /  502 /  632       295 /  520 /  364       376 /  894 /  799
    256 x 28, 3x3/1    466 /  412 /  899       343 /  371 /  472       434 /  801 / 1092    167
    512 x 14, 3x3/1    253 /  222 /  480       151 /  171 /  171       215 /  263 /  461     70
    1024 x 7, 3x3/1    151 /  112 /  335       143 /  158 /  184       131 /  222 /  229     37
    one image of 32 x 56 in cache, one thread: 23 with lines, 10 with walks (184 GFLOP/s of 250)
A line read x once for every row of the filter and left a sum after 3 taps; a walk reads each row of x once (63
multiply-adds for 9 loads). Bands of 5 rows where pixels alias (ALIAS in the plans), one thread: 512 x 14 301 to 260,
1024 x 7 290 to 206; of one row, backward-data, 256 x 28 /2: 480 to 161. Not taken: asking for the next vector ahead of
time (gains where long walks alias, which bands cure; with a stride it cost up to 30 %); bands everywhere (10 to 30 %).
"""

from ..jit import inner, kernel
from ..lanes import add, load, pointer_to, store
from ..parallel import parallel_for
from ..pool2d.windows import clear
from ..simd import VECTOR_BYTES, address
from .depthwise_tile import call

# Numbers of a piece, places and steps in bytes:
#    0  pixels of a column, form for them; the same for the last columns, which are one pixel narrower; their number
#    5  first pixel in an image of y, step of rows, of columns; rows, columns of pixels
#   10  first tap of the first pixel in an image of x, step of rows, of columns; the same as row, rows, column, columns
#   17  steps of x's rows for a row of y, of columns for a column
#   19  first tap in the filter, step of rows, of columns; 1 where an earlier piece began the sums
PIECE = 23


@kernel
def conv2d_depthwise(y, x, w, bias, packed, pieces, p):
    """y from x, or dx from dy, all flat.

    Args:
        w: [C, KH * KW]. bias: [C]. packed: scratch, [KH * KW, C].
        pieces: [pieces, PIECE] as above.
        p: (N, C, bytes of an image of y, of x; parts of the rows, of the channels; act).
    """
    N, C, _, _, bands, splits, _ = p
    T = len(packed) // C
    for c in range(C):
        for t in range(T):
            packed[t * C + c] = w[c * T + t]
    places = address(y), address(x), address(packed), address(bias), y.itemsize
    parallel_for(_part_of_image, N * bands * splits, (places, pointer_to(pieces), len(pieces), p))


@inner
def _part_of_image(chunk, places, pieces, count, p):
    _, C, y_image, x_image, bands, splits, act = p
    y, x, w, bias, item = places
    n, band, split = chunk // splits // bands, chunk // splits % bands, chunk % splits
    v0, v1 = _vectors(split, splits, C, item)
    for k in range(0, count * PIECE, PIECE):
        i0, i1 = band * pieces[k + 8] // bands, (band + 1) * pieces[k + 8] // bands
        start = 0 if pieces[k + 22] else bias
        q = 0
        while i0 < i1 and q < pieces[k + 9]:
            pixels, form = _column(pieces, k, q)
            own_y, own_x, top, left = _corner(pieces, k, i0, q)
            call(form, (
                C, v0, v1, y + n * y_image + own_y, pieces[k + 6], pieces[k + 7],
                x + n * x_image + own_x, pieces[k + 11], pieces[k + 12],
                w + pieces[k + 19], pieces[k + 20], pieces[k + 21], start,
                i1 - i0, top, pieces[k + 14], left, pieces[k + 16], act,
            ))  # fmt: skip
            q += pixels


@inner
def _vectors(split, splits, C, item):
    """The vectors of channels, from first to last - 1, of a part."""
    lanes = VECTOR_BYTES // item
    vectors = (C + lanes - 1) // lanes
    return split * vectors // splits, (split + 1) * vectors // splits


@inner
def _column(pieces, k, q):
    """Pixels and form of the column that begins with pixel q of a row."""
    narrow = pieces[k + 9] - pieces[k + 4] * pieces[k + 2]  # where the narrow ones begin
    return (pieces[k], pieces[k + 1]) if q < narrow else (pieces[k + 2], pieces[k + 3])


@inner
def _corner(pieces, k, i, q):
    """Where pixel (i, q) of a piece lies in y, and its first tap in x: bytes, row, column."""
    down, right = i * pieces[k + 17], q * pieces[k + 18]
    own_y = pieces[k + 5] + i * pieces[k + 6] + q * pieces[k + 7]
    own_x = pieces[k + 10] + down * pieces[k + 11] + right * pieces[k + 12]
    return own_y, own_x, pieces[k + 13] + down, pieces[k + 15] + right


@kernel
def conv2d_depthwise_weight(dw, db, sums, dy, x, pieces, p):
    """Flat dw [C, KH * KW] and db [C] from flat dy and x.

    Args:
        sums: scratch [parts, KH * KW + 1, channels up to whole vectors]; the last row of a part is for db.
        pieces: as above; places in the filter are places in `sums`.
        p: (N, C, bytes of an image of dy, of x; parts of the rows, of the channels).
    """
    parts, rows, pitch = sums.shape
    shape = parts, rows, pitch, sums.itemsize
    own, lanes = pointer_to(sums), VECTOR_BYTES // sums.itemsize
    places = address(sums), address(dy), address(x)
    parallel_for(_part_of_products, parts * p[5], (own, places, pointer_to(pieces), len(pieces), shape, p))
    parallel_for(_sum_of_parts, pitch // lanes, (pointer_to(dw), pointer_to(db), own, shape, p[1]))


@inner
def _part_of_products(chunk, own, places, pieces, count, shape, p):
    N, C, dy_image, x_image, bands, splits = p
    parts, rows, pitch, item = shape
    lanes = VECTOR_BYTES // item
    part, split = chunk // splits, chunk % splits
    v0, v1 = _vectors(split, splits, C, item)
    for row in range(rows):
        clear(own, (part * rows + row) * pitch + v0 * lanes, (v1 - v0) * lanes)
    sums = places[0] + part * rows * pitch * item
    for unit in range(part * N * bands // parts, (part + 1) * N * bands // parts):
        dy, x = places[1] + unit // bands * dy_image, places[2] + unit // bands * x_image
        for k in range(0, count * PIECE, PIECE):
            _products(unit % bands, bands, sums, sums + (rows - 1) * pitch * item, dy, x, pieces, k, (C, v0, v1))


@inner
def _products(band, bands, sums, bias, dy, x, pieces, k, channels):
    """Add a part of the rows of one image and piece."""
    C, v0, v1 = channels
    i0, i1 = band * pieces[k + 8] // bands, (band + 1) * pieces[k + 8] // bands
    q = 0
    while i0 < i1 and q < pieces[k + 9]:
        pixels, form = _column(pieces, k, q)
        own_dy, own_x, top, left = _corner(pieces, k, i0, q)
        call(form, (
            C, v0, v1, sums + pieces[k + 19], pieces[k + 20], pieces[k + 21], 0 if pieces[k + 22] else bias,
            dy + own_dy, pieces[k + 6], pieces[k + 7], x + own_x, pieces[k + 11], pieces[k + 12],
            i1 - i0, top, pieces[k + 14], left, pieces[k + 16],
        ))  # fmt: skip
        q += pixels


@inner
def _sum_of_parts(vector, dw, db, sums, shape, C):
    """One vector of channels of dw and db from all parts."""
    parts, rows, pitch, item = shape
    lanes = VECTOR_BYTES // item
    at = vector * lanes
    for row in range(rows):
        total = load(sums, row * pitch + at, rows * pitch)
        for part in range(1, parts):
            total = add(total, load(sums, (part * rows + row) * pitch + at, parts * rows * pitch))
        store(sums, row * pitch + at, total, lanes)
    # The last vector of a pixel ends with its last channel.
    moved = max(0, at + lanes - C) if lanes < C else 0
    for c in range(at, min(at + lanes, C)):
        for row in range(rows - 1):
            dw[c * (rows - 1) + row] = sums[row * pitch + c + moved]
        db[c] = sums[(rows - 1) * pitch + c + moved]
