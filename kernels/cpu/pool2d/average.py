"""Average pooling forward; the package's docstring has the equations and the layout."""

from ..jit import inner, kernel
from ..lanes import add, divide, fill, load, pointer_to, store, width
from ..parallel import parallel_for, span
from .places import sum_of_window
from .windows import chunks_of, taps_inside, windows_at_once

LONG = 4  # vectors of channels that make a pixel a run of memory


@inner
def taps_of(oh, ow, p, padded):
    """The divisor of a window: its taps inside the padded input of `padded` (H, W), or (0, 0) for the input itself."""
    H, W, KH, KW, SH, SW, PH, PW, DH, DW = p[2:12]
    if padded[0] > 0:
        H, W, PH, PW = padded[0], padded[1], 0, 0
    rows = taps_inside(oh * SH - PH, KH, DH, H)
    cols = taps_inside(ow * SW - PW, KW, DW, W)
    return float((rows[1] - rows[0]) * (cols[1] - cols[0]))


@inner
def _sum(x, size, top, left, c, rows, cols, p, nothing):
    """The sum of the window at (top, left) of an image, for the channels from c on; any window."""
    C, W, DH, DW = p[1], p[3], p[10], p[11]
    total = nothing
    for kh in range(rows[0], rows[1]):
        at = ((top + kh * DH) * W + left + cols[0] * DW) * C + c
        line = nothing  # sums of rows do not wait for one another
        for _ in range(cols[0], cols[1]):
            line = add(line, load(x, at, size))
            at += DW * C
        total = add(total, line)
    return total


@inner
def _average_in_memory(y, out, x, top, left, channels, rows, cols, p, divisor):
    """The first `channels` (whole vectors) of a large window: a pixel is then one run of memory, and y, in the first
    cache, the sum."""
    C, W, DH, DW = p[1], p[3], p[10], p[11]
    nothing, step = fill(x, 0.0), width(x)
    for c in range(out, out + channels, step):
        store(y, c, nothing, step)
    for kh in range(rows[0], rows[1]):
        at = ((top + kh * DH) * W + left + cols[0] * DW) * C
        for _ in range(cols[0], cols[1]):
            for c in range(0, channels, step):
                store(y, out + c, add(_whole(y, out + c), _whole(x, at + c)), step)
            at += DW * C
    for c in range(out, out + channels, step):
        store(y, c, divide(_whole(y, c), divisor), step)


@inner
def _whole(x, at):
    """A vector that ends inside the memory."""
    return load(x, at, at + width(x))


@inner
def _windows(y, x, size, row, begin, stop, rows, p, padded):
    """Windows begin .. stop - 1 of a row of y, of any form."""
    C, H, W, KH, KW, SH, SW, PH, PW, DW, OH, OW = p[1], p[2], p[3], p[4], *p[5:10], p[11], p[12], p[13]
    nothing, step = fill(x, 0.0), width(x)
    top = row // OH * H + row % OH * SH - PH
    for ow in range(begin, stop):
        left, out, c = ow * SW - PW, (row * OW + ow) * C, 0
        cols = taps_inside(left, KW, DW, W)
        divisor = fill(x, taps_of(row % OH, ow, p, padded))
        if KH * KW > 9 and LONG * step <= C:
            c = C // step * step
            _average_in_memory(y, out, x, top, left, c, rows, cols, p, divisor)
        while c < C:
            total = _sum(x, size, top, left, c, rows, cols, p, nothing)
            store(y, out + c, divide(total, divisor), C - c)
            c += step


def _whole_windows(K):
    """`count` windows of K x K whose taps, and a vector from each, lie inside the memory; x from `at`, y from `out`."""

    @inner
    def whole_windows_of(y, x, at, count, out, C, step, down, right):
        divisor = fill(x, float(K * K))
        for _ in range(count):
            for c in range(0, C, width(x)):
                total = sum_of_window(x, at + c, down, right, K, K)
                store(y, out + c, divide(total, divisor), C - c)
            at += step
            out += C

    return whole_windows_of


_whole_windows_2, _whole_windows_3 = _whole_windows(2), _whole_windows(3)


@inner
def _avg_rows(chunk, chunks, y, x, size, p, padded):
    N, C, H, W, KH, SH, SW, PH, DH, DW, OH, OW = *p[:5], *p[6:9], *p[10:]
    first, last = span(chunk, chunks, N * OH, 1)
    for row in range(first, last):
        rows = taps_inside(row % OH * SH - PH, KH, DH, H)
        begin, stop, at = windows_at_once(row, rows, x, size, p)
        _windows(y, x, size, row, 0, begin, rows, p, padded)
        if KH == 2:
            _whole_windows_2(y, x, at, stop - begin, (row * OW + begin) * C, C, SW * C, DH * W * C, DW * C)
        elif KH == 3:
            _whole_windows_3(y, x, at, stop - begin, (row * OW + begin) * C, C, SW * C, DH * W * C, DW * C)
        _windows(y, x, size, row, stop, OW, rows, p, padded)


@kernel
def avg_pool2d_forward(y, x, p, padded):
    """y [N, OH, OW, C] from x [N, H, W, C]; `padded` is the (H, W) that divisors count in, (0, 0) for the input's."""
    chunks = chunks_of(p, p[0] * p[12])
    parallel_for(_avg_rows, chunks, (chunks, pointer_to(y), pointer_to(x), x.size, p, padded))
