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
def windows_over(position, taps, stride, dilation, windows):
    """The windows, from first to last, whose span covers a position counted from the padding's start."""
    reach = position - (taps - 1) * dilation
    first = 0 if reach <= 0 else (reach + stride - 1) // stride
    return first, min(position // stride, windows - 1)


@inner
def fill_rows(p):
    """Whether windows stand side by side from the left edge on, and taps in them: a pixel lies in one at most."""
    W, KH, KW, SH, SW, PW, DH, DW, OW = p[3], p[4], p[5], p[6], p[7], p[9], p[10], p[11], p[13]
    return KH <= SH and KW == SW and PW == 0 and OW * SW <= W and DH == 1 and DW == 1


@inner
def clear(dx, to, count):
    for at in range(0, count, width(dx)):
        store(dx, to + at, fill(dx, 0.0), count - at)
