"""Windows of an image as rows of a matrix, and back: the lectures' convolution, kept to be read and compared.

    cols[(n, oh, ow), (c, kh, kw)] = x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c], zero in the padding

x [N, H, W, C], cols [N*OH*OW, C*KH*KW]. `p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW). One iteration
owns one row of windows (im2col) or one row of the image, which gathers its columns (col2im).
"""

from .jit import inner, kernel
from .parallel import parallel_for


@kernel
def im2col(cols, x, p):
    """cols [N*OH*OW, C*KH*KW] from x [N, H, W, C]."""
    parallel_for(_im2col_row, p[0] * p[12], (cols, x, p))


@inner
def _im2col_row(row, cols, x, p):
    _, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    n, oh = row // OH, row % OH
    for ow in range(OW):
        out = cols[row * OW + ow]
        for kh in range(KH):
            ih = oh * SH - PH + kh * DH
            for kw in range(KW):
                iw = ow * SW - PW + kw * DW
                inside = 0 <= ih < H and 0 <= iw < W
                for c in range(C):
                    out[(c * KH + kh) * KW + kw] = x[n, ih, iw, c] if inside else 0


@kernel
def col2im(x, cols, p):
    """x [N, H, W, C]: each pixel adds up the columns that were taken from it, in the order of kh, kw."""
    parallel_for(_col2im_row, p[0] * p[2], (x, cols, p))


@inner
def _col2im_row(row, x, cols, p):
    _, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    n, ih = row // H, row % H
    for iw in range(W):
        for c in range(C):
            x[n, ih, iw, c] = 0
        for kh in range(KH):
            oh, rest = divmod(ih + PH - kh * DH, SH)
            if rest or oh < 0 or oh >= OH:
                continue
            for kw in range(KW):
                ow, rest = divmod(iw + PW - kw * DW, SW)
                if rest or ow < 0 or ow >= OW:
                    continue
                column = cols[(n * OH + oh) * OW + ow]
                for c in range(C):
                    x[n, ih, iw, c] += column[(c * KH + kh) * KW + kw]
