"""Max and average pooling, forward and backward, over channels-last memory.

    max   y[n, oh, ow, c] = max over the taps (kh, kw) inside the input of
                            x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
          argmax = kh * KW + kw of the first such maximum; a NaN is larger than everything, padding never counts
    avg   y = sum of the same taps / divisor(oh, ow), the number of taps that count

x [N, H, W, C], y and argmax [N, OH, OW, C], given flat. One chunk owns some rows of the result; one step takes a vector
of channels of one window and keeps it in registers. Backward writes rows of dx: each asks the windows over it, in the
order of oh, ow, so that no two threads meet and sums do not depend on them. Windows side by side store each pixel once;
overlapping ones add to a row that was cleared and is still in the first cache.

`p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW); `padded` is the (H, W) that divisors count in, or (0, 0)
for the input's own.
"""

import numpy as np

from .jit import kernel
from .lanes import (
    add,
    divide,
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
    sum_of_window,
    width,
)  # fmt: skip
from .parallel import parallel_for, span

CHUNK = 8192  # elements of x that are worth a chunk


@kernel
def _chunks(p, rows):
    """How many chunks `rows` rows are cut into."""
    return max(1, min(rows, p[0] * p[1] * p[2] * p[3] // CHUNK))


@kernel
def _taps_inside(start, taps, dilation, size):
    """The taps k, from first to last - 1, with 0 <= start + k * dilation < size."""
    if start >= 0 and start + (taps - 1) * dilation < size:
        return 0, taps
    first = 0 if start >= 0 else (dilation - 1 - start) // dilation
    last = min(taps, (size - start + dilation - 1) // dilation)
    return first, last


@kernel
def _windows_over(position, taps, stride, dilation, windows):
    """The windows, from first to last, whose span covers a position counted from the padding's start."""
    reach = position - (taps - 1) * dilation
    first = 0 if reach <= 0 else (reach + stride - 1) // stride
    return first, min(position // stride, windows - 1)


@kernel
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


@kernel
def _max_rows(chunk, chunks, y, argmax, x, size, p):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    nothing = fill(x, -np.inf)
    safe = size - ((KH - 1) * DH * W + (KW - 1) * DW) * C - width(x)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        rows = _taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            cols = _taps_inside(left, KW, DW, W)
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


@kernel
def _tiles(p):
    """Whether each pixel lies in one window at most: windows side by side, taps side by side."""
    KH, KW, SH, SW, DH, DW = p[4], p[5], p[6], p[7], p[10], p[11]
    return KH <= SH and KW <= SW and DH == 1 and DW == 1


@kernel
def _max_backward_rows(chunk, chunks, dx, dy, argmax, size, p):
    N, C, H, W, KH, KW = p[:6]
    SH, PH, DH, OH, OW = p[6], p[8], p[10], p[12], p[13]
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        oh0, oh1 = _windows_over(h + PH, KH, SH, DH, OH)
        if _tiles(p):
            _unpool_row(dx, dy, argmax, size, row, (n * OH + oh0) * OW if oh0 <= oh1 else -1, h + PH - oh0 * SH, p)
            continue
        _clear(dx, row * W * C, W * C)
        for oh in range(oh0, oh1 + 1):
            kh = h + PH - oh * SH
            if DH == 1 or kh % DH == 0:
                _unpool_windows(dx, dy, argmax, size, row * W, (n * OH + oh) * OW, kh // DH * KW, p)


@kernel
def _clear(dx, to, count):
    for at in range(0, count, width(dx)):
        store(dx, to + at, fill(dx, 0.0), count - at)


@kernel
def _unpool_windows(dx, dy, argmax, size, pixels, window, tap, p):
    """Add a row of windows, the first of number `window`, to a row of dx; `tap` is the place of their leftmost tap."""
    C, W, KW, SW, PW, DW, OW = p[1], p[3], p[5], p[7], p[9], p[11], p[13]
    end = (pixels + W) * C
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = _taps_inside(left, KW, DW, W)
        for c in range(0, C, width(dx)):
            d = load(dy, (window + ow) * C + c, size)
            places = load_places(argmax, (window + ow) * C + c, size, d)
            at = (pixels + left + kw0 * DW) * C + c
            for kw in range(kw0, kw1):
                share = keep_at(d, places, place(tap + kw, d))
                store(dx, at, add(load(dx, at, end), share), C - c)
                at += DW * C


@kernel
def _unpool_row(dx, dy, argmax, size, row, window, kh, p):
    """A row of dx under windows side by side: `window` is the number of the first one over it, or -1."""
    C, W, KW, SW, PW, OW = p[1], p[3], p[5], p[7], p[9], p[13]
    nothing = fill(dx, 0.0)
    start = row * W
    for w in range(0 if window < 0 else OW * SW - PW, W):
        for c in range(0, C, width(dx)):
            store(dx, (start + w) * C + c, nothing, C - c)
    if window < 0:
        return
    if KW == 2 and SW == 2 and PW == 0:
        _unpool_pairs(dx, dy, argmax, size, start * C, window * C, kh * KW, C, OW)
        return
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = max(0, -left), min(SW, W - left)
        for c in range(0, C, width(dx)):
            d = load(dy, (window + ow) * C + c, size)
            places = load_places(argmax, (window + ow) * C + c, size, d)
            for kw in range(kw0, kw1):
                v = keep_at(d, places, place(kh * KW + kw, d)) if kw < KW else nothing
                store(dx, (start + left + kw) * C + c, v, C - c)


@kernel
def _unpool_pairs(dx, dy, argmax, size, to, at, tap, C, OW):
    """As _unpool_row for windows of two columns: OW windows at `at`, into the pixels at `to`."""
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
def _taps(oh, ow, p, padded):
    """The divisor of a window: its taps inside the padded input of `padded` (H, W), or (0, 0) for the input itself."""
    H, W, KH, KW, SH, SW, PH, PW, DH, DW = p[2:12]
    if padded[0] > 0:
        H, W, PH, PW = padded[0], padded[1], 0, 0
    rows = _taps_inside(oh * SH - PH, KH, DH, H)
    cols = _taps_inside(ow * SW - PW, KW, DW, W)
    return float((rows[1] - rows[0]) * (cols[1] - cols[0]))


@kernel
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


@kernel
def _avg_rows(chunk, chunks, y, x, size, p, padded):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    nothing = fill(x, 0.0)
    safe = size - ((KH - 1) * DH * W + (KW - 1) * DW) * C - width(x)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        rows = _taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            cols = _taps_inside(left, KW, DW, W)
            inside = rows[1] - rows[0] == KH and cols[1] - cols[0] == KW
            divisor = fill(x, _taps(oh, ow, p, padded))
            at, out = ((n * H + top) * W + left) * C, (row * OW + ow) * C
            for c in range(0, C, width(x)):
                if KH == 2 and KW == 2 and inside and at + c <= safe:
                    total = sum_of_window(x, at + c, DH * W * C, DW * C, 2, 2)
                else:
                    total = _sum(x, size, n * H + top, left, c, rows, cols, p, nothing)
                store(y, out + c, divide(total, divisor), C - c)


@kernel
def _share(dy, size, oh, ow, at, p, padded):
    """dy of a window over its divisor."""
    return divide(load(dy, at, size), fill(dy, _taps(oh, ow, p, padded)))


@kernel
def _avg_backward_rows(chunk, chunks, dx, dy, size, p, padded):
    N, C, H, W, KH = p[:5]
    SH, PH, DH, OH = p[6], p[8], p[10], p[12]
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        oh0, oh1 = _windows_over(h + PH, KH, SH, DH, OH)
        if _tiles(p):
            _spread_row(dx, dy, size, row, n, oh0 if oh0 <= oh1 else -1, p, padded)
            continue
        _clear(dx, row * W * C, W * C)
        for oh in range(oh0, oh1 + 1):
            if DH == 1 or (h + PH - oh * SH) % DH == 0:
                _spread_windows(dx, dy, size, row * W, n, oh, p, padded)


@kernel
def _spread_windows(dx, dy, size, pixels, n, oh, p, padded):
    """Add a row of windows to a row of dx."""
    C, W, KW, SW, PW, DW, OH, OW = p[1], p[3], p[5], p[7], p[9], p[11], p[12], p[13]
    end = (pixels + W) * C
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = _taps_inside(left, KW, DW, W)
        for c in range(0, C, width(dx)):
            share = _share(dy, size, oh, ow, ((n * OH + oh) * OW + ow) * C + c, p, padded)
            at = (pixels + left + kw0 * DW) * C + c
            for _ in range(kw0, kw1):
                store(dx, at, add(load(dx, at, end), share), C - c)
                at += DW * C


@kernel
def _spread_row(dx, dy, size, row, n, oh, p, padded):
    """A row of dx under windows side by side; `oh` is the row of windows over it, or -1."""
    C, W, KW, SW, PW, OH, OW = p[1], p[3], p[5], p[7], p[9], p[12], p[13]
    nothing = fill(dx, 0.0)
    start = row * W
    for w in range(0 if oh < 0 else OW * SW - PW, W):
        for c in range(0, C, width(dx)):
            store(dx, (start + w) * C + c, nothing, C - c)
    if oh < 0:
        return
    if KW == SW and PW == 0 and OW * SW <= W:
        _spread_evenly(dx, dy, size, start * C, (n * OH + oh) * OW * C, _taps(oh, 0, p, padded), p)
        return
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = max(0, -left), min(SW, W - left)
        for c in range(0, C, width(dx)):
            share = _share(dy, size, oh, ow, ((n * OH + oh) * OW + ow) * C + c, p, padded)
            for kw in range(kw0, kw1):
                store(dx, (start + left + kw) * C + c, share if kw < KW else nothing, C - c)


@kernel
def _spread_evenly(dx, dy, size, to, at, taps, p):
    """As _spread_row where windows fill the row from its start: those at `at`, into the pixels at `to`."""
    C, SW, OW = p[1], p[7], p[13]
    divisor = fill(dx, taps)
    for _ in range(OW):
        for c in range(0, C, width(dx)):
            share = divide(load(dy, at + c, size), divisor)
            for kw in range(SW):
                store(dx, to + kw * C + c, share, C - c)
        at += C
        to += SW * C


@kernel
def max_pool2d_forward(y, argmax, x, p):
    """y, argmax [N, OH, OW, C] from x [N, H, W, C]."""
    chunks = _chunks(p, p[0] * p[12])
    parallel_for(_max_rows, chunks, (chunks, pointer_to(y), pointer_to(argmax), pointer_to(x), x.size, p))


@kernel
def max_pool2d_backward(dx, dy, argmax, p):
    """dx [N, H, W, C] from dy, argmax [N, OH, OW, C]."""
    chunks = _chunks(p, p[0] * p[2])
    parallel_for(_max_backward_rows, chunks, (chunks, pointer_to(dx), pointer_to(dy), pointer_to(argmax), dy.size, p))


@kernel
def avg_pool2d_forward(y, x, p, padded):
    """y [N, OH, OW, C] from x [N, H, W, C]; `padded` is the (H, W) that divisors count in, (0, 0) for the input's."""
    chunks = _chunks(p, p[0] * p[12])
    parallel_for(_avg_rows, chunks, (chunks, pointer_to(y), pointer_to(x), x.size, p, padded))


@kernel
def avg_pool2d_backward(dx, dy, p, padded):
    """dx [N, H, W, C] from dy [N, OH, OW, C]."""
    chunks = _chunks(p, p[0] * p[2])
    parallel_for(_avg_backward_rows, chunks, (chunks, pointer_to(dx), pointer_to(dy), dy.size, p, padded))
