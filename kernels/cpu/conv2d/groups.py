"""Convolution in small groups, depthwise included: vectors along the channels in all three passes.

    y[n, oh, ow, k]  = act(b[k] + sum over kh, kw, i:  x[n, ih, iw, group of k, i] * w[k, kh, kw, i])
    dx[n, ih, iw, c] =            sum over kh, kw, o:  dy[n, oh, ow, group of c, o] * w[o, kh, kw, c]
    dw[k, kh, kw, i] =            sum over n, oh, ow:  dy[n, oh, ow, k] * x[n, ih, iw, group of k, i]
    db[k]            =            sum over n, oh, ow:  dy[n, oh, ow, k]
    with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW, where they lie inside

x, dx [N, H, W, C], y, dy [N, OH, OW, OC]. A vector holds channels of one group, or the channels of several. Filters are
first packed: for each vector [KH, KW, input channels of a group, lanes].

The work is cut into pieces, each a convolution without dilation: pixels of the result, evenly spaced, that meet the
same taps (all of y; every SH-th row and SW-th column of dx; under dilation every DH-th row), and of a large filter a
part of its taps. A piece is walked through in columns of some neighbours (groups_forms.py), one vector of channels
after the other. Backward-weight goes the same way through dy and x; parts of the images have sums of their own, which
are added in their order.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, batch 16, microseconds; forward / backward-data / backward-weight in turn
in one run, medians of 7), depthwise:
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
from .groups_forms import call

# Numbers of a piece, places and steps in bytes:
#    0  pixels of a column, form for them; the same for the last columns, which are one pixel narrower; their number
#    5  first pixel in an image of y, step of rows, of columns; rows, columns of pixels
#   10  first tap of the first pixel in an image of x, step of rows, of columns; the same as row, rows, column, columns
#   17  steps of x's rows for a row of y, of columns for a column
#   19  first tap in the filter, step of rows, of columns; 1 where an earlier piece began the sums
PIECE = 23
# Numbers of a vector: bytes from a pixel of y to its first channel, from a pixel of x to its groups; lanes in y, in x;
# the first lane that no vector before it has.
VECTOR = 5
PACK = 4096  # elements of packed filters that are worth a chunk


@kernel
def conv2d_groups(y, x, w, bias, packed, start, table, origins, pieces, p):
    """y from x, or dx from dy, all flat.

    Args:
        w: flat. bias: one for each channel of y, or empty. packed, start: scratch, [vectors, T, depth, lanes] and
            [vectors, lanes].
        table: [vectors, VECTOR]. origins: [vectors, lanes], the first element of w that belongs to a lane, -1 for none.
        pieces: [pieces, PIECE] as above.
        p: (N; T; depth: input channels of a group; steps in w of a tap, of an input channel; bytes of an image of y,
            of x; parts of the rows, of the vectors; act).
    """
    T, depth = p[1], p[2]
    vectors, lanes = origins.shape
    size = T * depth * lanes
    chunks = max(1, min(vectors, vectors * size // PACK))
    parallel_for(_pack, chunks, (chunks, packed, w, origins, p))
    start[:] = 0
    for v in range(vectors):
        first = table[v, 0] // y.itemsize
        for lane in range(min(table[v, 2], len(bias))):
            start[v * lanes + lane] = bias[first + lane]
    places = address(y), address(x), address(packed), address(start), address(table), size * y.itemsize
    parallel_for(_part_of_image, p[0] * p[7] * p[8], (places, vectors, pointer_to(pieces), len(pieces), p))


@inner
def _pack(chunk, chunks, packed, w, origins, p):
    T, depth, tap, channel = p[1], p[2], p[3], p[4]
    vectors, lanes = origins.shape
    for v in range(chunk * vectors // chunks, (chunk + 1) * vectors // chunks):
        for lane in range(lanes):
            origin, to = origins[v, lane], v * T * depth * lanes + lane
            for t in range(T):
                for i in range(depth):
                    packed[to] = w[origin + t * tap + i * channel] if origin >= 0 else 0
                    to += lanes


@inner
def _part_of_image(chunk, places, vectors, pieces, count, p):
    _, _, depth, _, _, y_image, x_image, bands, splits, act = p
    y, x, w, start, table, w_vector = places
    n, band, split = chunk // splits // bands, chunk // splits % bands, chunk % splits
    v0, v1 = split * vectors // splits, (split + 1) * vectors // splits
    for k in range(0, count * PIECE, PIECE):
        i0, i1 = band * pieces[k + 8] // bands, (band + 1) * pieces[k + 8] // bands
        q = 0
        while i0 < i1 and q < pieces[k + 9]:
            pixels, form = _column(pieces, k, q)
            own_y, own_x, top, left = _corner(pieces, k, i0, q)
            call(form, (
                table, v0, v1, y + n * y_image + own_y, pieces[k + 6], pieces[k + 7],
                x + n * x_image + own_x, pieces[k + 11], pieces[k + 12],
                w + pieces[k + 19], w_vector, pieces[k + 20], pieces[k + 21], 0 if pieces[k + 22] else start,
                i1 - i0, top, pieces[k + 14], left, pieces[k + 16], act, depth,
            ))  # fmt: skip
            q += pixels


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
def conv2d_groups_weight(dw, db, sums, dy, x, table, pieces, p):
    """Flat dw [OC, T, depth] and db [OC] from flat dy and x.

    Args:
        sums: scratch [parts, vectors, T * depth + 1, lanes]; the last row of a vector is for db.
        table, pieces: as above; places in the filter are places in a vector of `sums`.
        p: (N; depth: input channels of a group, how many of them at a time; bytes of an image of dy, of x; parts of
            the rows, of the vectors).
    """
    parts, vectors, rows, _ = sums.shape
    shape = parts, vectors, rows, sums.itemsize
    own, places = pointer_to(sums), (address(sums), address(dy), address(x), address(table))
    parallel_for(_part_of_products, parts * p[6], (own, places, pointer_to(pieces), len(pieces), shape, p))
    parallel_for(_sum_of_parts, vectors, (pointer_to(dw), pointer_to(db), own, pointer_to(table), shape, p[1]))


@inner
def _part_of_products(chunk, own, places, pieces, count, shape, p):
    N, depth, _, dy_image, x_image, bands, splits = p
    parts, vectors, rows, item = shape
    part, split = chunk // splits, chunk % splits
    v0, v1 = split * vectors // splits, (split + 1) * vectors // splits
    lanes = VECTOR_BYTES // item
    clear(own, (part * vectors + v0) * rows * lanes, (v1 - v0) * rows * lanes)
    sums = places[0] + part * vectors * rows * VECTOR_BYTES
    for unit in range(part * N * bands // parts, (part + 1) * N * bands // parts):
        dy, x = places[1] + unit // bands * dy_image, places[2] + unit // bands * x_image
        for k in range(0, count * PIECE, PIECE):
            for i in range(0, depth, p[2]):
                bias = 0 if pieces[k + 22] or i else sums + (rows - 1) * VECTOR_BYTES
                moved = sums + i * VECTOR_BYTES, bias, rows * VECTOR_BYTES
                _products(unit % bands, bands, moved, dy, x + i * item, pieces, k, (places[3], v0, v1))


@inner
def _products(band, bands, sums, dy, x, pieces, k, vectors):
    """Add a part of the rows of one image and piece."""
    i0, i1 = band * pieces[k + 8] // bands, (band + 1) * pieces[k + 8] // bands
    q = 0
    while i0 < i1 and q < pieces[k + 9]:
        pixels, form = _column(pieces, k, q)
        own_dy, own_x, top, left = _corner(pieces, k, i0, q)
        call(form, (
            vectors[0], vectors[1], vectors[2], sums[0] + pieces[k + 19], sums[2], pieces[k + 20], pieces[k + 21],
            sums[1], dy + own_dy, pieces[k + 6], pieces[k + 7], x + own_x, pieces[k + 11], pieces[k + 12],
            i1 - i0, top, pieces[k + 14], left, pieces[k + 16],
        ))  # fmt: skip
        q += pixels


@inner
def _sum_of_parts(vector, dw, db, sums, table, shape, depth):
    """One vector of channels of dw and db from all parts."""
    parts, vectors, rows, item = shape
    lanes = VECTOR_BYTES // item
    size = parts * vectors * rows * lanes
    own = vector * rows * lanes
    for at in range(own, own + rows * lanes, lanes):
        total = load(sums, at, size)
        for part in range(1, parts):
            total = add(total, load(sums, part * vectors * rows * lanes + at, size))
        store(sums, at, total, lanes)
    first = table[vector * VECTOR] // item
    for lane in range(table[vector * VECTOR + 4], table[vector * VECTOR + 2]):
        to = (first + lane) * (rows - 1)
        for row in range(rows - 1):
            dw[to + row] = sums[own + row * lanes + lane]
        db[first + lane] = sums[own + (rows - 1) * lanes + lane]
