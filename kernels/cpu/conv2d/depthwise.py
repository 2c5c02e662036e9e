"""Depthwise convolution (every channel its own filter): the inner loop runs over channels in all three passes.

    y[n, oh, ow, c]  = b[c] + sum over kh, kw:  x[n, ih, iw, c] * w[kh, kw, c]
    dx[n, ih, iw, c] =        sum over kh, kw:  dy[n, oh, ow, c] * w[kh, kw, c]
    dw[kh, kw, c]    =        sum over n, oh, ow:  dy[n, oh, ow, c] * x[n, ih, iw, c]
    with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW, where they lie inside

x, dx [N, H, W, C], y, dy [N, OH, OW, C], w [KH, KW, C]. There is no reduction over channels to keep in registers: a row
of the result stays in the first-level cache while the taps pass over it, and LLVM vectorises the loop over channels.
One chunk owns one row of the result or, for dw, one group of images; groups are added in their order.

`p` is (KH, KW, SH, SW, PH, PW, DH, DW).
"""

from ..jit import inner, kernel
from ..parallel import parallel_for


@kernel
def depthwise_forward(y, x, w, b, p):
    """y from x, w, b [C]."""
    parallel_for(_forward_row, y.shape[0] * y.shape[1], (y, x, w, b, p))


@inner
def _forward_row(row, y, x, w, b, p):
    KH, KW, SH, SW, PH, PW, DH, DW = p
    OH, OW, C = y.shape[1:]
    H, W = x.shape[1:3]
    n, oh = row // OH, row % OH
    for ow in range(OW):
        for c in range(C):
            y[n, oh, ow, c] = b[c]
    for kh in range(KH):
        ih = oh * SH - PH + kh * DH
        if ih < 0 or ih >= H:
            continue
        for kw in range(KW):
            first, last = _columns_inside(kw * DW - PW, SW, W, OW)
            for ow in range(first, last):
                out, given, filters = y[n, oh, ow], x[n, ih, ow * SW - PW + kw * DW], w[kh, kw]
                for c in range(C):
                    out[c] += given[c] * filters[c]


@kernel
def depthwise_backward_data(dx, dy, w, p):
    """dx from dy, w."""
    parallel_for(_backward_data_row, dx.shape[0] * dx.shape[1], (dx, dy, w, p))


@inner
def _backward_data_row(row, dx, dy, w, p):
    KH, KW, SH, SW, PH, PW, DH, DW = p
    H, W, C = dx.shape[1:]
    OH, OW = dy.shape[1:3]
    n, ih = row // H, row % H
    dx[n, ih] = 0
    for kh in range(KH):
        oh, rest = divmod(ih + PH - kh * DH, SH)
        if rest or oh < 0 or oh >= OH:
            continue
        for kw in range(KW):
            first, last = _columns_inside(kw * DW - PW, SW, W, OW)
            for ow in range(first, last):
                out, given, filters = dx[n, ih, ow * SW - PW + kw * DW], dy[n, oh, ow], w[kh, kw]
                for c in range(C):
                    out[c] += given[c] * filters[c]


@kernel
def depthwise_backward_weight(sums, bias_sums, dy, x, p):
    """sums [groups, KH, KW, C] and bias_sums [groups, C] from dy, x."""
    parallel_for(_group_of_images, len(sums), (sums, bias_sums, dy, x, p))


@inner
def _group_of_images(group, sums, bias_sums, dy, x, p):
    KH, KW, SH, SW, PH, PW, DH, DW = p
    N, OH, OW, C = dy.shape
    H, W = x.shape[1:3]
    groups = len(sums)
    dw, db = sums[group], bias_sums[group]
    dw[:] = 0
    db[:] = 0
    for n in range(group * N // groups, (group + 1) * N // groups):
        for oh in range(OH):
            for ow in range(OW):
                given = dy[n, oh, ow]
                for c in range(C):
                    db[c] += given[c]
            for kh in range(KH):
                ih = oh * SH - PH + kh * DH
                if ih < 0 or ih >= H:
                    continue
                for kw in range(KW):
                    first, last = _columns_inside(kw * DW - PW, SW, W, OW)
                    for ow in range(first, last):
                        out, given, other = dw[kh, kw], dy[n, oh, ow], x[n, ih, ow * SW - PW + kw * DW]
                        for c in range(C):
                            out[c] += given[c] * other[c]


@inner
def _columns_inside(start, SW, W, OW):
    """The first ow and the last + 1 with 0 <= ow * SW + start < W."""
    first = min(OW, max(0, -(start // SW)))
    return first, max(first, min(OW, (W - 1 - start) // SW + 1))
