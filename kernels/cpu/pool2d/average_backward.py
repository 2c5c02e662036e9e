"""Average pooling backward, two ways; the package's docstring has the equations and the layout.

spread     windows side by side that all have the same divisor: each pixel is stored once
gathered   the rest: each vector of dx asks the windows over it
"""

from ..jit import inner, kernel
from ..lanes import fill, load, multiply, pointer_to, store, width
from ..parallel import parallel_for, span
from .average import taps_of
from .gather import gather_rows
from .windows import chunks_of, clear, side_by_side, whole_windows


@inner
def _spread(chunk, chunks, dx, dy, size, same, p):
    N, C, H, W, KH, SH, SW, PH, OH, OW = p[0], p[1], p[2], p[3], p[4], p[6], p[7], p[8], p[12], p[13]
    first, last = span(chunk, chunks, N * H, 1)
    part = fill(dx, same)
    for row in range(first, last):
        n, h = row // H, row % H
        oh = min((h + PH) // SH, OH - 1)
        to, done = row * W * C, 0
        if h + PH - oh * SH < KH:
            at = (n * OH + oh) * OW * C
            for _ in range(OW):
                for c in range(0, C, width(dx)):
                    share = multiply(load(dy, at + c, size), part)
                    for kw in range(SW):
                        store(dx, to + kw * C + c, share, C - c)
                at += C
                to += SW * C
            done = OW * SW
        clear(dx, to, (W - done) * C)


@inner
def _part(source, tap, oh, ow):
    """What part of a window's dy each of its taps gets."""
    p, padded, same = source[2:]
    return same if same > 0 else 1 / taps_of(oh, ow, p, padded)


@inner
def _share(source, part, at):
    dy, size = source[:2]
    return multiply(load(dy, at, size), fill(dy, part))


@inner
def _gather(chunk, chunks, dx, source, found, p):
    gather_rows(chunk, chunks, dx, _part, _share, source, found, p)


@inner
def _same_part(p, padded):
    """What part of dy every tap gets, or 0 where that differs from window to window."""
    H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p[2:]
    if padded[0] > 0:
        H, W, PH, PW = padded[0], padded[1], 0, 0
    if whole_windows(OH, KH, SH, PH, DH, H) == (0, OH) and whole_windows(OW, KW, SW, PW, DW, W) == (0, OW):
        return 1 / (KH * KW)
    return 0.0


@kernel
def avg_pool2d_backward(dx, dy, notes, places, p, padded):
    """dx [N, H, W, C] from dy [N, OH, OW, C]."""
    chunks = chunks_of(p, p[0] * p[2])
    same = _same_part(p, padded)
    if same > 0 and side_by_side(p):
        parallel_for(_spread, chunks, (chunks, pointer_to(dx), pointer_to(dy), dy.size, same, p))
    else:
        source = pointer_to(dy), dy.size, p, padded, same
        found = pointer_to(notes), pointer_to(places)
        parallel_for(_gather, len(notes), (len(notes), pointer_to(dx), source, found, p))
