"""What maximum and average share: which taps and windows meet, and how rows are cut into chunks."""

from ..jit import inner
from ..lanes import fill, store, width

CHUNK = 8192  # elements of x that are worth a chunk


@inner
def chunks_of(p, rows):
    """How many chunks `rows` rows are cut into."""
    return max(1, min(rows, p[0] * p[1] * p[2] * p[3] // CHUNK))


@inner
def taps_inside(start, taps, dilation, size):
    """The taps k, from first to last - 1, with 0 <= start + k * dilation < size."""
    if start >= 0 and start + (taps - 1) * dilation < size:
        return 0, taps
    first = 0 if start >= 0 else (dilation - 1 - start) // dilation
    last = min(taps, (size - start + dilation - 1) // dilation)
    return first, last


@inner
def whole_windows(windows, taps, stride, pad, dilation, size):
    """The windows, from first to last - 1 of `windows`, all of whose taps lie inside."""
    first = min((pad + stride - 1) // stride, windows)
    room = size + pad - (taps - 1) * dilation - 1
    return first, max(first, min(room // stride + 1 if room >= 0 else 0, windows))


@inner
def windows_at_once(row, rows, x, size, p):
    """The windows of a row, from first to last - 1, that need no questions: 2 x 2 or 3 x 3, all taps inside, a vector
    from each of them inside the memory too. And where the first of them is in x."""
    C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p[1:]
    begin, stop = whole_windows(OW, KW, SW, PW, DW, W)
    at = ((row // OH * H + row % OH * SH - PH) * W + begin * SW - PW) * C
    if KH != KW or KH < 2 or KH > 3 or rows[1] - rows[0] < KH:
        return begin, begin, at
    lanes = width(x)
    safe = size - ((KH - 1) * DH * W + (KW - 1) * DW) * C - (C - 1) // lanes * lanes - lanes
    return begin, min(stop, begin + max(0, safe - at + SW * C) // (SW * C)), at


@inner
def windows_over(position, taps, stride, dilation, windows):
    """The windows, from first to last, whose span covers a position counted from the padding's start."""
    reach = position - (taps - 1) * dilation
    first = 0 if reach <= 0 else (reach + stride - 1) // stride
    return first, min(position // stride, windows - 1)


@inner
def clear(dx, to, count):
    for at in range(0, count, width(dx)):
        store(dx, to + at, fill(dx, 0.0), count - at)


@inner
def side_by_side(p):
    """Whether windows stand side by side from the left edge on, and taps in them: a pixel lies in one at most."""
    W, KH, KW, SH, SW, PW, DH, DW, OW = p[3], p[4], p[5], p[6], p[7], p[9], p[10], p[11], p[13]
    return KH <= SH and KW == SW and PW == 0 and OW * SW <= W and DH == 1 and DW == 1
