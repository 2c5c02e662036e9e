"""Max pooling; the package's docstring has the equations and the layout."""

import numpy as np

from ..jit import inner, kernel, optimised_inner
from ..lanes import (
    add,
    fill,
    keep_at,
    larger,
    load,
    load_places,
    max_of_window,
    place,
    pointer_to,
    store,
    store_places,
    width,
)
from ..parallel import parallel_for, span
from .windows import chunks_of, clear, fill_rows, taps_inside, windows_over


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
def _max_rows(chunk, chunks, y, argmax, x, size, p):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    nothing = fill(x, -np.inf)
    safe = size - ((KH - 1) * DH * W + (KW - 1) * DW) * C - width(x)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        rows = taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            cols = taps_inside(left, KW, DW, W)
            inside = rows[1] - rows[0] == KH and cols[1] - cols[0] == KW
            at, out = ((n * H + top) * W + left) * C, (row * OW + ow) * C
            for c in range(0, C, width(x)):
                if KH == 2 and KW == 2 and inside and at + c <= safe:
                    best, places = max_of_window(x, at + c, DH * W * C, DW * C, 2, 2)
                elif KH == 3 and KW == 3 and inside and at + c <= safe:
                    best, places = max_of_window(x, at + c, DH * W * C, DW * C, 3, 3)
                else:
                    best, places = _largest(x, size, n * H + top, left, c, rows, cols, p, nothing)
                store(y, out + c, best, C - c)
                store_places(argmax, out + c, places, C - c)


@inner
def _max_backward_rows(chunk, chunks, dx, dy, argmax, size, p):
    N, C, H, W, KH, KW = p[:6]
    SH, PH, DH, OH, OW = p[6], p[8], p[10], p[12], p[13]
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        oh0, oh1 = windows_over(h + PH, KH, SH, DH, OH)
        to = row * W * C
        if fill_rows(p) and oh0 <= oh1:
            _unpool_row(dx, dy, argmax, size, to, (n * OH + oh0) * OW * C, (h + PH - oh0 * SH) * KW, p)
            continue
        clear(dx, to, W * C)
        for oh in range(oh0, oh1 + 1):
            kh = h + PH - oh * SH
            if DH == 1 or kh % DH == 0:
                _unpool_windows(dx, dy, argmax, size, row * W, (n * OH + oh) * OW, kh // DH * KW, p)


@inner
def _unpool_windows(dx, dy, argmax, size, pixels, window, tap, p):
    """Add a row of windows, the first of number `window`, to a row of dx; `tap` is the place of their leftmost tap."""
    C, W, KW, SW, PW, DW, OW = p[1], p[3], p[5], p[7], p[9], p[11], p[13]
    end = (pixels + W) * C
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = taps_inside(left, KW, DW, W)
        for c in range(0, C, width(dx)):
            d = load(dy, (window + ow) * C + c, size)
            places = load_places(argmax, (window + ow) * C + c, size, d)
            at = (pixels + left + kw0 * DW) * C + c
            for kw in range(kw0, kw1):
                share = keep_at(d, places, place(tap + kw, d))
                store(dx, at, add(load(dx, at, end), share), C - c)
                at += DW * C


@inner
def _unpool_row(dx, dy, argmax, size, to, at, tap, p):
    """A row of dx, at `to`, under windows that fill it; those windows are at `at`, `tap` is as in _unpool_windows."""
    C, W, SW, OW = p[1], p[3], p[7], p[13]
    clear(dx, to + OW * SW * C, (W - OW * SW) * C)
    if SW == 2:
        _unpool_pairs(dx, dy, argmax, size, to, at, tap, C, OW)
        return
    for _ in range(OW):
        for c in range(0, C, width(dx)):
            d = load(dy, at + c, size)
            places = load_places(argmax, at + c, size, d)
            for kw in range(SW):
                store(dx, to + kw * C + c, keep_at(d, places, place(tap + kw, d)), C - c)
        at += C
        to += SW * C


@optimised_inner
def _unpool_pairs(dx, dy, argmax, size, to, at, tap, C, OW):
    """As _unpool_row for windows of two columns."""
    nothing = fill(dx, 0.0)
    left, right = place(tap, nothing), place(tap + 1, nothing)
    for _ in range(OW):
        for c in range(0, C, width(dx)):
            d = load(dy, at + c, size)
            places = load_places(argmax, at + c, size, d)
            store(dx, to + c, keep_at(d, places, left), C - c)
            store(dx, to + C + c, keep_at(d, places, right), C - c)
        at += C
        to += 2 * C


@kernel
def max_pool2d_forward(y, argmax, x, p):
    """y, argmax [N, OH, OW, C] from x [N, H, W, C]."""
    chunks = chunks_of(p, p[0] * p[12])
    parallel_for(_max_rows, chunks, (chunks, pointer_to(y), pointer_to(argmax), pointer_to(x), x.size, p))


@kernel
def max_pool2d_backward(dx, dy, argmax, p):
    """dx [N, H, W, C] from dy, argmax [N, OH, OW, C]."""
    chunks = chunks_of(p, p[0] * p[2])
    parallel_for(_max_backward_rows, chunks, (chunks, pointer_to(dx), pointer_to(dy), pointer_to(argmax), dy.size, p))
