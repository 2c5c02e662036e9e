"""Max pooling forward; the package's docstring has the equations and the layout."""

import numpy as np

from ..jit import inner, kernel
from ..lanes import fill, load, pointer_to, store, width
from ..parallel import parallel_for, span
from .places import larger, max_of_window, place, store_places
from .windows import chunks_of, taps_inside, windows_at_once


@inner
def _largest(x, size, top, left, c, rows, cols, p, nothing):
    """(best, places) of the window at (top, left) of an image, for the channels from c on; any window."""
    C, W, KW, DH, DW = p[1], p[3], p[5], p[10], p[11]
    best, places = nothing, place(rows[0] * KW + cols[0], nothing)
    for kh in range(rows[0], rows[1]):
        at = ((top + kh * DH) * W + left + cols[0] * DW) * C + c
        for kw in range(cols[0], cols[1]):
            best, places = larger(best, places, load(x, at, size), place(kh * KW + kw, nothing))
            at += DW * C
    return best, places


@inner
def _windows(y, argmax, x, size, row, begin, stop, rows, p):
    """Windows begin .. stop - 1 of a row of y, of any form."""
    C, H, W, KW, SH, SW, PH, PW, DW, OH, OW = p[1], p[2], p[3], p[5], p[6], p[7], p[8], p[9], p[11], p[12], p[13]
    nothing = fill(x, -np.inf)
    top = row // OH * H + row % OH * SH - PH
    for ow in range(begin, stop):
        left, out = ow * SW - PW, (row * OW + ow) * C
        cols = taps_inside(left, KW, DW, W)
        for c in range(0, C, width(x)):
            best, places = _largest(x, size, top, left, c, rows, cols, p, nothing)
            store(y, out + c, best, C - c)
            store_places(argmax, out + c, places, C - c)


def _whole_windows(K):
    """`count` windows of K x K whose taps, and a vector from each, lie inside the memory; x from `at`, y from `out`."""

    @inner
    def whole_windows_of(y, argmax, x, at, count, out, C, step, down, right):
        for _ in range(count):
            for c in range(0, C, width(x)):
                best, places = max_of_window(x, at + c, down, right, K, K)
                store(y, out + c, best, C - c)
                store_places(argmax, out + c, places, C - c)
            at += step
            out += C

    return whole_windows_of


_whole_windows_2, _whole_windows_3 = _whole_windows(2), _whole_windows(3)


@inner
def _max_rows(chunk, chunks, y, argmax, x, size, p):
    N, C, H, W, KH, SH, SW, PH, DH, DW, OH, OW = *p[:5], *p[6:9], *p[10:]
    first, last = span(chunk, chunks, N * OH, 1)
    for row in range(first, last):
        rows = taps_inside(row % OH * SH - PH, KH, DH, H)
        begin, stop, at = windows_at_once(row, rows, x, size, p)
        _windows(y, argmax, x, size, row, 0, begin, rows, p)
        if KH == 2:
            _whole_windows_2(y, argmax, x, at, stop - begin, (row * OW + begin) * C, C, SW * C, DH * W * C, DW * C)
        elif KH == 3:
            _whole_windows_3(y, argmax, x, at, stop - begin, (row * OW + begin) * C, C, SW * C, DH * W * C, DW * C)
        _windows(y, argmax, x, size, row, stop, OW, rows, p)


@kernel
def max_pool2d_forward(y, argmax, x, p):
    """y, argmax [N, OH, OW, C] from x [N, H, W, C]."""
    chunks = chunks_of(p, p[0] * p[12])
    parallel_for(_max_rows, chunks, (chunks, pointer_to(y), pointer_to(argmax), pointer_to(x), x.size, p))
