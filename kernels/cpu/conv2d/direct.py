"""Direct convolution, plain loops over channels-last arrays: the kernel that takes every geometry.

    y[n, oh, ow, k] = b[k] + sum_{kh, kw, c} x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c] * w[kh, kw, c, k]

x [N, H, W, C], y [N, OH, OW, OC], filters with their last axis innermost in memory, so that the inner loop runs over
neighbouring numbers in all three passes. One parallel iteration owns one row of the result, or one slice of dw, and
adds in the order of the loops: the result does not depend on the number of threads.

`p` is (N, C, H, W, OC, KH, KW, SH, SW, PH, PW, DH, DW, G, OH, OW).
"""

from ..jit import inner, kernel
from ..parallel import parallel_for


@kernel
def conv2d_forward(y, x, w, b, p):
    """y [N, OH, OW, OC] from x [N, H, W, C], w [KH, KW, C/G, OC], b [OC]."""
    parallel_for(_forward_row, y.shape[0] * y.shape[1], (y, x, w, b, p))


@inner
def _forward_row(row, y, x, w, b, p):
    _, C, H, W, OC, KH, KW, SH, SW, PH, PW, DH, DW, G, OH, OW = p
    CG, KG = C // G, OC // G
    n, oh = row // OH, row % OH
    for ow in range(OW):
        for k in range(OC):
            y[n, oh, ow, k] = b[k]
        for kh in range(KH):
            ih = oh * SH - PH + kh * DH
            if ih < 0 or ih >= H:
                continue
            for kw in range(KW):
                iw = ow * SW - PW + kw * DW
                if iw < 0 or iw >= W:
                    continue
                for g in range(G):
                    for c in range(CG):
                        xv = x[n, ih, iw, g * CG + c]
                        for k in range(g * KG, (g + 1) * KG):
                            y[n, oh, ow, k] += xv * w[kh, kw, c, k]


@kernel
def conv2d_backward_data(dx, dy, w, p):
    """dx [N, H, W, C] from dy [N, OH, OW, OC], w [OC, KH, KW, C/G]: each pixel gathers what it gave."""
    parallel_for(_backward_data_row, dx.shape[0] * dx.shape[1], (dx, dy, w, p))


@inner
def _backward_data_row(row, dx, dy, w, p):
    _, C, H, W, OC, KH, KW, SH, SW, PH, PW, DH, DW, G, OH, OW = p
    CG, KG = C // G, OC // G
    n, ih = row // H, row % H
    for iw in range(W):
        for c in range(C):
            dx[n, ih, iw, c] = 0
        for kh in range(KH):
            oh, rest = divmod(ih + PH - kh * DH, SH)
            if rest or oh < 0 or oh >= OH:
                continue
            for kw in range(KW):
                ow, rest = divmod(iw + PW - kw * DW, SW)
                if rest or ow < 0 or ow >= OW:
                    continue
                for g in range(G):
                    for k in range(g * KG, (g + 1) * KG):
                        v = dy[n, oh, ow, k]
                        for c in range(CG):
                            dx[n, ih, iw, g * CG + c] += v * w[k, kh, kw, c]


@kernel
def conv2d_backward_weight(dw, db, dy, x, p):
    """dw [OC, KH, KW, C/G] and db [OC] from dy [N, OH, OW, OC], x [N, H, W, C]; one iteration owns dw[k, kh]."""
    parallel_for(_backward_weight_row, dw.shape[0] * dw.shape[1], (dw, db, dy, x, p))


@inner
def _backward_weight_row(row, dw, db, dy, x, p):
    N, C, H, W, OC, KH, KW, SH, SW, PH, PW, DH, DW, G, OH, OW = p
    CG, KG = C // G, OC // G
    k, kh = row // KH, row % KH
    c0 = k // KG * CG
    total = dw.dtype.type(0)
    dw[k, kh] = 0
    for n in range(N):
        for oh in range(OH):
            ih = oh * SH - PH + kh * DH
            for ow in range(OW):
                v = dy[n, oh, ow, k]
                total += v
                if ih < 0 or ih >= H:
                    continue
                for kw in range(KW):
                    iw = ow * SW - PW + kw * DW
                    if iw < 0 or iw >= W:
                        continue
                    for c in range(CG):
                        dw[k, kh, kw, c] += v * x[n, ih, iw, c0 + c]
    if kh == 0:
        db[k] = total
