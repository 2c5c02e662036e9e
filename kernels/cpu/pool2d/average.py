"""Average pooling; the package's docstring has the equations and the layout."""

from ..jit import inner, kernel
from ..lanes import (
    add,
    divide,
    fill,
    load,
    pointer_to,
    store,
    sum_of_window,
    width,
)
from ..parallel import parallel_for, span
from .windows import chunks_of, clear, fill_rows, taps_inside, windows_over


@inner
def _taps(oh, ow, p, padded):
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
def _avg_rows(chunk, chunks, y, x, size, p, padded):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    nothing = fill(x, 0.0)
    safe = size - ((KH - 1) * DH * W + (KW - 1) * DW) * C - width(x)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        rows = taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            cols = taps_inside(left, KW, DW, W)
            inside = rows[1] - rows[0] == KH and cols[1] - cols[0] == KW
            divisor = fill(x, _taps(oh, ow, p, padded))
            at, out = ((n * H + top) * W + left) * C, (row * OW + ow) * C
            for c in range(0, C, width(x)):
                if KH == 2 and KW == 2 and inside and at + c <= safe:
                    total = sum_of_window(x, at + c, DH * W * C, DW * C, 2, 2)
                else:
                    total = _sum(x, size, n * H + top, left, c, rows, cols, p, nothing)
                store(y, out + c, divide(total, divisor), C - c)


@inner
def _avg_backward_rows(chunk, chunks, dx, dy, size, p, padded):
    N, C, H, W, KH = p[:5]
    SH, PH, DH, OH, OW = p[6], p[8], p[10], p[12], p[13]
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        oh0, oh1 = windows_over(h + PH, KH, SH, DH, OH)
        to = row * W * C
        if fill_rows(p) and oh0 <= oh1:
            _spread_row(dx, dy, size, to, (n * OH + oh0) * OW * C, _taps(oh0, 0, p, padded), p)
            continue
        clear(dx, to, W * C)
        for oh in range(oh0, oh1 + 1):
            if DH == 1 or (h + PH - oh * SH) % DH == 0:
                _spread_windows(dx, dy, size, row * W, n, oh, p, padded)


@inner
def _spread_windows(dx, dy, size, pixels, n, oh, p, padded):
    """Add a row of windows to a row of dx."""
    C, W, KW, SW, PW, DW, OH, OW = p[1], p[3], p[5], p[7], p[9], p[11], p[12], p[13]
    end = (pixels + W) * C
    for ow in range(OW):
        left = ow * SW - PW
        kw0, kw1 = taps_inside(left, KW, DW, W)
        for c in range(0, C, width(dx)):
            share = _share(dy, size, oh, ow, ((n * OH + oh) * OW + ow) * C + c, p, padded)
            at = (pixels + left + kw0 * DW) * C + c
            for _ in range(kw0, kw1):
                store(dx, at, add(load(dx, at, end), share), C - c)
                at += DW * C


@inner
def _spread_row(dx, dy, size, to, at, taps, p):
    """A row of dx, at `to`, under windows that fill it; those windows are at `at`."""
    C, W, SW, OW = p[1], p[3], p[7], p[13]
    divisor = fill(dx, taps)
    for _ in range(OW):
        for c in range(0, C, width(dx)):
            share = divide(load(dy, at + c, size), divisor)
            for kw in range(SW):
                store(dx, to + kw * C + c, share, C - c)
        at += C
        to += SW * C
    clear(dx, to, (W - OW * SW) * C)


@inner
def _share(dy, size, oh, ow, at, p, padded):
    """dy of a window over its divisor."""
    return divide(load(dy, at, size), fill(dy, _taps(oh, ow, p, padded)))


@kernel
def avg_pool2d_forward(y, x, p, padded):
    """y [N, OH, OW, C] from x [N, H, W, C]; `padded` is the (H, W) that divisors count in, (0, 0) for the input's."""
    chunks = chunks_of(p, p[0] * p[12])
    parallel_for(_avg_rows, chunks, (chunks, pointer_to(y), pointer_to(x), x.size, p, padded))


@kernel
def avg_pool2d_backward(dx, dy, p, padded):
    """dx [N, H, W, C] from dy [N, OH, OW, C]."""
    chunks = chunks_of(p, p[0] * p[2])
    parallel_for(_avg_backward_rows, chunks, (chunks, pointer_to(dx), pointer_to(dy), dy.size, p, padded))
