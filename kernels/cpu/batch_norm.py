"""Batch normalisation over rows [M, C]: pixels or images, by channels.

    mean  = 1/M sum over m of x[m, c]            var = 1/M sum over m of (x[m, c] - mean)^2
    y     = act((x - mean) * scale + beta)       scale = gamma / sqrt(var + eps)
    dbeta = sum over m of dy                     dgamma = sum over m of dy * (x - mean) / sqrt(var + eps)
    dx    = scale * (dy - (dbeta + (x - mean) / sqrt(var + eps) * dgamma) / M),  or scale * dy where mean and var are
            constants

Few channels would leave most lanes of a vector empty: as many pixels as fill WIDTH columns count as one row of that
many columns, the last of them as a row that is shorter. Every array of one number a channel is laid out as `wide` as
such a row. Statistics are taken in one pass: a chunk of rows subtracts its first row, so that a large mean costs no
digits, adds BLOCK rows at a time in the type of x and those sums in float64. What the chunks found is joined in their
order (Chan, Golub & LeVeque, "Algorithms for computing the sample variance", 1983).

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, microseconds; before and after in turns, calls bound as in a plan):
                                                 100 x 30 x 24 x 24       100 x 6 x 28 x 28      ReLU of the same maps
                                                 forward   backward      forward   backward
    rows vector by vector                          116        294           29        66             66, 21
    four vectors wide, their numbers in registers   78        233           22        57             64, 22
Statistics 58 and 14. Rows in the opposite order after a sum, whose last ones may still be in a cache: no faster.
Beside PyTorch 2.13, called eagerly, statistics and forward; backward: 100 x 30 x 24 x 24  175 of 1190; 266 of 360,
16 x 64 x 56 x 56  403 of 566; 951 of 992, 16 x 256 x 14 x 14  99 of 127; 128 of 112 (planes stay in its caches).
"""

import math

from .forms import call_form
from .jit import inner, ordered_inner, ordered_kernel
from .parallel import parallel_for, span
from .simd import address

WIDTH = 128  # columns of a row at the least
BLOCK = 64  # rows that are added up in the type of x
CHUNK = 32768  # elements that are worth a chunk
NEAR = 2048  # elements that stay in the first cache beside those of two other arrays
MOST_CHUNKS = 64  # of a sum, whose parts one thread joins


def columns_of(channels):
    """How many columns a row has."""
    return -(-WIDTH // channels) * channels


def chunks_of(size, columns):
    """How many chunks a sum over `size` elements is cut into."""
    return max(1, min(size // columns, size // CHUNK, MOST_CHUNKS))


@inner
def _rows_of(chunk, chunks, rows):
    """(first, how many) of a chunk's rows."""
    first, last = span(chunk, chunks, rows, 1)
    return first, last - first


# Sums -----------------------------------------------------------------------------------------------------------------


@inner
def _add_rows(parts, sums, p, x, shift, first, count, columns, form):
    """Add `count` rows from `first` on to parts [2, columns], by the form; sums [2, columns] is room for a block."""
    step = sums.shape[1] * x.itemsize
    for begin in range(first, first + count, BLOCK):
        length = min(BLOCK, first + count - begin)
        at = begin * step
        call_form(
            form, (address(sums), address(sums) + step, address(p) + at, address(x) + at, shift, step, length, columns)
        )
        for i in range(2):
            for j in range(columns):
                parts[i, j] += sums[i, j]


@ordered_inner
def _find_moments(chunk, chunks, parts, sums, x, rows, form):
    """parts [chunk]: the sum of a chunk's rows, and the sum of their squared distances from their mean."""
    first, count = _rows_of(chunk, chunks, rows)
    own, columns = parts[chunk], parts.shape[2]
    own[:] = 0
    if count == 0:
        return
    _add_rows(own, sums[chunk], x, x, address(x) + first * columns * x.itemsize, first, count, columns, form)
    for j in range(columns):
        shifted = own[0, j]
        squares = own[1, j] - shifted * shifted / count
        own[0, j] = shifted + count * float(x[first * columns + j])
        own[1, j] = 0.0 if squares < 0 else squares


@ordered_inner
def _find_gradients(chunk, chunks, parts, sums, dy, x, wide, rows, form):
    """parts [chunk]: the sums of dy and of dy * (x - mean)."""
    first, count = _rows_of(chunk, chunks, rows)
    own, columns = parts[chunk], parts.shape[2]
    own[:] = 0
    _add_rows(own, sums[chunk], dy, x, address(wide), first, count, columns, form)
    if chunk == chunks - 1 and rows * columns < x.size:
        _add_rows(own, sums[chunk], dy, x, address(wide), rows, 1, x.size - rows * columns, form)


@ordered_inner
def _join_sums(totals, parts, which):
    """totals [columns]: what all chunks have found."""
    totals[:] = 0
    for chunk in range(parts.shape[0]):
        for j in range(totals.size):
            totals[j] += parts[chunk, which, j]


@ordered_inner
def _join_squares(totals, means, parts, x, rows):
    """totals [columns]: the sum of all squared distances from `means`, one a column."""
    chunks, columns = parts.shape[0], totals.size
    totals[:] = 0
    for chunk in range(chunks):
        count = _rows_of(chunk, chunks, rows)[1]
        if count > 0:
            for j in range(columns):
                d = parts[chunk, 0, j] / count - means[j]
                totals[j] += parts[chunk, 1, j] + count * d * d
    for j in range(x.size - rows * columns):
        d = float(x[rows * columns + j]) - means[j]
        totals[j] += d * d


@inner
def _of_channel(totals, c, channels):
    """The sum of the columns that are channel c."""
    total = 0.0
    for j in range(c, totals.size, channels):
        total += totals[j]
    return total


@inner
def _move(running, c, s, momentum):
    if running.size:
        running[c] = (1 - momentum) * float(running[c]) + momentum * s


@ordered_kernel
def batch_norm_statistics(mean, var, running_mean, running_var, x, momentum, joined, parts, sums, form):
    """mean [C] and var [C]; running_mean and running_var, [C] or empty, move towards them.

    Scratch: joined [2, columns] and parts [chunks, 2, columns] in float64, sums [chunks, 2, columns] in the type of x.
    """
    C, chunks, columns = mean.size, parts.shape[0], parts.shape[2]
    M, rows = x.size // C, x.size // columns
    totals, means = joined[0], joined[1]
    parallel_for(_find_moments, chunks, (chunks, parts, sums, x, rows, form))
    _join_sums(totals, parts, 0)
    for j in range(x.size - rows * columns):
        totals[j] += x[rows * columns + j]
    for c in range(C):
        m = _of_channel(totals, c, C) / M
        mean[c] = m
        _move(running_mean, c, m, momentum)
        for j in range(c, columns, C):
            means[j] = m
    _join_squares(totals, means, parts, x, rows)
    for c in range(C):
        squares = _of_channel(totals, c, C)
        var[c] = squares / M
        _move(running_var, c, squares / (M - 1), momentum)


# Rows -----------------------------------------------------------------------------------------------------------------


@inner
def _repeat(wide, channels):
    """Fill the columns behind the first of every channel."""
    for i in range(wide.shape[0]):
        for j in range(channels, wide.shape[1]):
            wide[i, j] = wide[i, j - channels]


@inner
def _scale(gamma, var, c, eps):
    return (float(gamma[c]) if gamma.size else 1.0) / math.sqrt(float(var[c]) + eps)


@inner
def _near(columns):
    """How many rows stay in the first cache while they are gone over, some columns at a time."""
    return max(1, NEAR // columns)


@inner
def _scale_rows(chunk, chunks, y, x, wide, form):
    columns = wide.shape[1]
    rows = x.size // columns
    first, count = _rows_of(chunk, chunks, rows)
    step, last = columns * x.itemsize, first + count
    for row in range(first, last, _near(columns)):
        at, length = row * step, min(_near(columns), last - row)
        call_form(form, (address(y) + at, address(x) + at, length, columns, address(wide), step))
    if chunk == chunks - 1:
        rest = x.size - rows * columns
        call_form(form, (address(y) + rows * step, address(x) + rows * step, 1, rest, address(wide), step))


@inner
def _gradient_rows(chunk, chunks, dx, dy, x, wide, form):
    columns = wide.shape[1]
    rows = x.size // columns
    first, count = _rows_of(chunk, chunks, rows)
    step, last = columns * x.itemsize, first + count
    for row in range(first, last, _near(columns)):
        at, length = row * step, min(_near(columns), last - row)
        call_form(form, (address(dx) + at, address(dy) + at, address(x) + at, length, columns, address(wide), step))
    if chunk == chunks - 1:
        at, rest = rows * step, x.size - rows * columns
        call_form(form, (address(dx) + at, address(dy) + at, address(x) + at, 1, rest, address(wide), step))


@ordered_kernel
def batch_norm_forward(y, x, mean, var, gamma, beta, eps, wide, form):
    """y, by the form of its activation; gamma and beta [C] or empty. Scratch: wide [3, columns] in the type of x."""
    C, chunks = mean.size, max(1, min(x.size // wide.shape[1], x.size // CHUNK))
    for c in range(C):
        wide[0, c] = mean[c]
        wide[1, c] = _scale(gamma, var, c, eps)
        wide[2, c] = beta[c] if beta.size else 0
    _repeat(wide, C)
    parallel_for(_scale_rows, chunks, (chunks, y, x, wide, form))


@ordered_kernel
def batch_norm_backward(dx, dgamma, dbeta, dy, x, mean, var, gamma, eps, constant, wide, joined, parts, sums, forms):
    """dx, dgamma [C], dbeta [C]; gamma [C] or empty. constant: mean and var are, whatever x is.

    Scratch as in batch_norm_statistics, and wide [4, columns]. forms: of the sums, and of the rows of dx.
    """
    C, chunks, columns = mean.size, parts.shape[0], parts.shape[2]
    M, rows = x.size // C, x.size // columns
    for c in range(C):
        wide[0, c] = mean[c]
    _repeat(wide, C)
    parallel_for(_find_gradients, chunks, (chunks, parts, sums, dy, x, wide, rows, forms[0]))
    for i in range(2):
        _join_sums(joined[i], parts, i)
    for c in range(C):
        scale, inverse = _scale(gamma, var, c, eps), 1 / math.sqrt(float(var[c]) + eps)
        summed, product = _of_channel(joined[0], c, C), _of_channel(joined[1], c, C) * inverse
        dbeta[c], dgamma[c] = summed, product
        wide[1, c] = scale
        wide[2, c], wide[3, c] = -scale * inverse * product / M, -scale * summed / M
        if constant:
            wide[0, c] = wide[2, c] = 0
    _repeat(wide, C)
    chunks = max(1, min(rows, x.size // CHUNK))
    if constant:
        parallel_for(_scale_rows, chunks, (chunks, dx, dy, wide, forms[1]))
    else:
        parallel_for(_gradient_rows, chunks, (chunks, dx, dy, x, wide, forms[1]))
