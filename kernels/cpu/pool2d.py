"""Max and average pooling, forward and backward, over channels-last arrays.

    max   y[n, oh, ow, c] = max over the taps (kh, kw) inside the input of x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
          argmax = kh * KW + kw of the first such maximum; a NaN is larger than everything, padding never counts
    avg   y = sum of the same taps / divisor(oh, ow), the number of taps that count

x [N, H, W, C], y and argmax [N, OH, OW, C]. One chunk owns some rows of the result. The inner loop runs over
neighbouring channels. Backward gathers: each pixel of dx asks the windows that cover it, in the order of oh, ow, so that
nothing is zeroed first, no two threads meet and sums do not depend on the threads.

`p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW).
"""

from .jit import kernel, ordered_kernel
from .parallel import parallel_for, span

CHUNK = 8192  # elements of x that are worth a chunk


@kernel
def _chunks(p, rows):
    """How many chunks `rows` rows are cut into."""
    return max(1, min(rows, p[0] * p[1] * p[2] * p[3] // CHUNK))


@kernel
def _taps_inside(start, taps, dilation, size):
    """The taps k, from first to last - 1, with 0 <= start + k * dilation < size."""
    first = 0 if start >= 0 else (dilation - 1 - start) // dilation
    last = min(taps, (size - start + dilation - 1) // dilation)
    return first, last


@ordered_kernel
def _max_rows(chunk, chunks, y, argmax, x, p):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        kh0, kh1 = _taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            kw0, kw1 = _taps_inside(left, KW, DW, W)
            best, place = y[n, oh, ow], argmax[n, oh, ow]
            for kh in range(kh0, kh1):
                for kw in range(kw0, kw1):
                    v = x[n, top + kh * DH, left + kw * DW]
                    tap = place.dtype.type(kh * KW + kw)
                    if kh == kh0 and kw == kw0:
                        for c in range(C):
                            best[c] = v[c]
                            place[c] = tap
                    else:
                        for c in range(C):
                            wins = (not v[c] <= best[c]) and best[c] == best[c]
                            place[c] = tap if wins else place[c]
                            best[c] = v[c] if wins else best[c]


@ordered_kernel
def _max_backward_rows(chunk, chunks, dx, dy, argmax, p):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        for w in range(W):
            total = dx[n, h, w]
            total[:] = 0
            for kh in range(KH - 1, -1, -1):
                oh, rest_h = divmod(h + PH - kh * DH, SH)
                if rest_h != 0 or oh < 0 or oh >= OH:
                    continue
                for kw in range(KW - 1, -1, -1):
                    ow, rest_w = divmod(w + PW - kw * DW, SW)
                    if rest_w != 0 or ow < 0 or ow >= OW:
                        continue
                    d, place = dy[n, oh, ow], argmax[n, oh, ow]
                    tap = place.dtype.type(kh * KW + kw)
                    for c in range(C):
                        total[c] += d[c] if place[c] == tap else dx.dtype.type(0)


@ordered_kernel
def _divisor(oh, ow, inside, p, padded):
    """Taps that count: all those inside the padded input of `padded` (H, W), or where that is (0, 0) `inside`."""
    KH, KW, SH, SW = p[4:8]
    DH, DW = p[10:12]
    if padded[0] == 0:
        return inside
    rows = _taps_inside(oh * SH, KH, DH, padded[0])
    cols = _taps_inside(ow * SW, KW, DW, padded[1])
    return (rows[1] - rows[0]) * (cols[1] - cols[0])


@ordered_kernel
def _avg_rows(chunk, chunks, y, x, p, padded):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * OH, 1)
    for row in range(first, last):
        n, oh = row // OH, row % OH
        top = oh * SH - PH
        kh0, kh1 = _taps_inside(top, KH, DH, H)
        for ow in range(OW):
            left = ow * SW - PW
            kw0, kw1 = _taps_inside(left, KW, DW, W)
            total = y[n, oh, ow]
            total[:] = 0
            for kh in range(kh0, kh1):
                for kw in range(kw0, kw1):
                    v = x[n, top + kh * DH, left + kw * DW]
                    for c in range(C):
                        total[c] += v[c]
            divisor = y.dtype.type(_divisor(oh, ow, (kh1 - kh0) * (kw1 - kw0), p, padded))
            for c in range(C):
                total[c] /= divisor


@ordered_kernel
def _avg_backward_rows(chunk, chunks, dx, dy, p, padded):
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    first, last = span(chunk, chunks, N * H, 1)
    for row in range(first, last):
        n, h = row // H, row % H
        for w in range(W):
            total = dx[n, h, w]
            total[:] = 0
            for kh in range(KH - 1, -1, -1):
                oh, rest_h = divmod(h + PH - kh * DH, SH)
                if rest_h != 0 or oh < 0 or oh >= OH:
                    continue
                kh0, kh1 = _taps_inside(oh * SH - PH, KH, DH, H)
                for kw in range(KW - 1, -1, -1):
                    ow, rest_w = divmod(w + PW - kw * DW, SW)
                    if rest_w != 0 or ow < 0 or ow >= OW:
                        continue
                    kw0, kw1 = _taps_inside(ow * SW - PW, KW, DW, W)
                    divisor = dx.dtype.type(_divisor(oh, ow, (kh1 - kh0) * (kw1 - kw0), p, padded))
                    d = dy[n, oh, ow]
                    for c in range(C):
                        total[c] += d[c] / divisor


@kernel
def max_pool2d_forward(y, argmax, x, p):
    """y, argmax [N, OH, OW, C] from x [N, H, W, C]."""
    chunks = _chunks(p, p[0] * p[12])
    parallel_for(_max_rows, chunks, (chunks, y, argmax, x, p))


@kernel
def max_pool2d_backward(dx, dy, argmax, p):
    """dx [N, H, W, C] from dy, argmax [N, OH, OW, C]."""
    chunks = _chunks(p, p[0] * p[2])
    parallel_for(_max_backward_rows, chunks, (chunks, dx, dy, argmax, p))


@kernel
def avg_pool2d_forward(y, x, p, padded):
    """y [N, OH, OW, C] from x [N, H, W, C]; `padded` is the (H, W) that divisors count in, (0, 0) for the input's."""
    chunks = _chunks(p, p[0] * p[12])
    parallel_for(_avg_rows, chunks, (chunks, y, x, p, padded))


@kernel
def avg_pool2d_backward(dx, dy, p, padded):
    """dx [N, H, W, C] from dy [N, OH, OW, C]."""
    chunks = _chunks(p, p[0] * p[2])
    parallel_for(_avg_backward_rows, chunks, (chunks, dx, dy, p, padded))
