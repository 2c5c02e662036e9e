"""Max pooling backward, three ways; the package's docstring has the equations and the layout.

pairs      windows side by side, two columns wide: each pixel is stored once
scattered  few channels: each dy is added where its maximum stood, one by one
gathered   the rest: each vector of dx asks the windows over it
"""

from ..jit import inner, kernel, optimised_inner
from ..lanes import fill, load, pointer_to, store, width
from ..parallel import parallel_for, span
from .gather import gather_rows
from .places import keep_at, load_places, place
from .windows import chunks_of, clear, side_by_side, windows_over

ELEMENT = 4  # cycles to scatter an element of dy,
PIXEL, TAP = 20, 4  # to find the windows over a pixel, and to ask one of them


@inner
def _tap(source, tap, oh, ow):
    return float(tap)


@inner
def _share(source, tap, at):
    """dy of the windows whose maximum stood at this tap."""
    dy, argmax, size = source
    d = load(dy, at, size)
    return keep_at(d, load_places(argmax, at, size, d), place(int(tap), d))


@inner
def _gather(chunk, chunks, dx, source, found, p):
    gather_rows(chunk, chunks, dx, _tap, _share, source, found, p)


@inner
def _scatter(chunk, chunks, dx, dy, argmax, moves, p):
    """A chunk's rows of dx: taps that were no maximum cost nothing. moves: from a window's first tap to each."""
    N, C, H, W, KH, SH, SW, PH, PW, DH, OH, OW = *p[:5], *p[6:11], *p[12:]
    row, last = span(chunk, chunks, N * H, 1)
    clear(dx, row * W * C, (last - row) * W * C)
    while row < last:  # an image after the other
        n, h = row // H, row % H
        rows = min(H - h, last - row)
        begin, end = row * W * C, (row + rows) * W * C
        oh0 = windows_over(h + PH, KH, SH, DH, OH)[0]
        oh1 = windows_over(h + rows - 1 + PH, KH, SH, DH, OH)[1]
        for oh in range(oh0, oh1 + 1):
            to, at = ((n * H + oh * SH - PH) * W - PW) * C, (n * OH + oh) * OW * C
            for _ in range(OW):
                for c in range(C):
                    place = to + c + moves[argmax[at + c]]
                    if begin <= place < end:
                        dx[place] += dy[at + c]
                at += C
                to += SW * C
        row += rows


@inner
def _pair_rows(chunk, chunks, dx, dy, argmax, size, p):
    N, C, H, W, KH, SH, PH, OH, OW = p[0], p[1], p[2], p[3], p[4], p[6], p[8], p[12], p[13]
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        oh = min((h + PH) // SH, OH - 1)
        to, tap, done = row * W * C, (h + PH - oh * SH) * 2, 0
        if tap < 2 * KH:
            _pairs(dx, dy, argmax, size, to, (n * OH + oh) * OW * C, tap, C, OW)
            done = 2 * OW
        clear(dx, to + done * C, (W - done) * C)


@optimised_inner
def _pairs(dx, dy, argmax, size, to, at, tap, C, OW):
    """Two pixels of dx for each of OW windows, which are at `at`; `tap` is the left one's."""
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


@inner
def _scatter_pays(p, lanes):
    """By the cycles measured; more channels scatter over more cache lines at once than a core keeps track of."""
    C, taps, pixels = p[1], p[4] * p[5], p[6] * p[7]  # pixels of dx for each window
    vectors = (C + lanes - 1) // lanes
    scattered, gathered = ELEMENT * C, PIXEL * pixels + TAP * taps * vectors
    return 2 * lanes > C and scattered < gathered


@kernel
def max_pool2d_backward(dx, dy, argmax, moves, notes, places, p):
    """dx [N, H, W, C] from dy, argmax [N, OH, OW, C]; moves [KH * KW]: elements from a window's first tap to each."""
    chunks = chunks_of(p, p[0] * p[2])
    to, source, at = pointer_to(dx), pointer_to(dy), pointer_to(argmax)
    if p[5] == 2 and side_by_side(p) and p[1] > 2:
        parallel_for(_pair_rows, chunks, (chunks, to, source, at, dy.size, p))
    elif _scatter_pays(p, width(to)):
        parallel_for(_scatter, chunks, (chunks, to, source, at, pointer_to(moves), p))
    else:
        found = pointer_to(notes), pointer_to(places)
        parallel_for(_gather, len(notes), (len(notes), to, (source, at, dy.size), found, p))
