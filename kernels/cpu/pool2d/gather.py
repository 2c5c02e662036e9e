"""Backward of overlapping windows: each vector of dx asks the windows over it, in the order of oh, ow.

`note(source, tap, oh, ow)` is what `share(source, note, place)` needs to give the tap its part of the window
at this place in dy. Which windows lie over a pixel is found once a row for each phase (w + PW) % SW and moved
from pixel to pixel; only pixels near the edges look for their own.
"""

from ..jit import inner
from ..lanes import add, advance, fill, store, width
from ..parallel import span
from .windows import whole_windows, windows_over


@inner
def most_windows(p):
    """How many windows cover a pixel at the most."""
    KH, KW, SH, SW, DH, DW = p[4], p[5], p[6], p[7], p[10], p[11]
    return ((KH - 1) * DH // SH + 1) * ((KW - 1) * DW // SW + 1)


@inner
def gather_rows(chunk, chunks, dx, note, share, source, found, p):
    """A chunk's rows of dx. found: scratch for each chunk, pointers to notes [SW + 1, most windows over a pixel],
    places as many and counts [SW + 1]."""
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * H, 1)
    T = most_windows(p)
    notes = advance(found[0], chunk * (SW + 1) * T)
    places = advance(found[1], chunk * (SW + 1) * (T + 1))
    counts = advance(places, (SW + 1) * T)
    begin, stop = whole_windows(OW, KW, SW, PW, DW, W)
    reach = (KW - 1) * DW // SW, (KW - 1) * DW % SW
    begin += reach[0]
    for row in range(first, last):
        n, h = row // H, row % H
        oh0, oh1 = windows_over(h + PH, KH, SH, DH, OH)
        over = n * OH, oh0, oh1, h + PH
        latest, phase = PW // SW, PW % SW
        for w in range(W):
            inside = begin <= latest < stop
            slot = phase if inside else SW
            own_notes, own_places = advance(notes, slot * T), advance(places, slot * T)
            if not inside or latest == begin:
                counts[slot] = _find(own_notes, own_places, note, source, over, latest, phase, reach, p)
            moved = (latest - begin) * C if inside else 0
            to, count = (row * W + w) * C, counts[slot]
            for c in range(0, C, width(dx)):
                total = fill(dx, 0.0)
                for k in range(count):
                    total = add(total, share(source, own_notes[k], own_places[k] + moved + c))
                store(dx, to + c, total, C - c)
            phase += 1
            if phase == SW:
                latest, phase = latest + 1, 0


@inner
def _find(notes, places, note, source, over, latest, phase, reach, p):
    """The windows over a pixel, and how many.

    over: (first row of the image's windows, first and last that cover the pixel's row, that row counted from the
    padding's start). latest: the last window of a row that starts at or before the pixel, which lies `phase` behind
    that start. reach: (KW - 1) DW over SW, and the rest.
    """
    C, KW, SH, SW, DH, DW, OW = p[1], p[5], p[6], p[7], p[10], p[11], p[13]
    windows, oh0, oh1, pixel = over
    ow0, ow1 = max(0, latest - reach[0] + (1 if phase > reach[1] else 0)), min(latest, OW - 1)
    count = 0
    for oh in range(oh0, oh1 + 1):
        kh = _tap(pixel - oh * SH, DH)
        for ow in range(ow0, ow1 + 1):
            kw = _tap(phase + (latest - ow) * SW, DW)
            if kh >= 0 and kw >= 0:
                places[count] = ((windows + oh) * OW + ow) * C
                notes[count] = note(source, kh * KW + kw, oh, ow)
                count += 1
    return count


@inner
def _tap(distance, dilation):
    """The tap that lies so far behind a window's start, -1 if none does."""
    if dilation == 1:
        return distance
    return distance // dilation if distance % dilation == 0 else -1
