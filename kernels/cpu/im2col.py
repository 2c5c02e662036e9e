"""Windows of an image as rows of a matrix, and back: the lectures' convolution, kept to be read and compared.

    cols[(n, oh, ow), (c, kh, kw)] = x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c], zero in the padding

x [N, H, W, C], cols [N*OH*OW, C*KH*KW]. `p` is (N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW). One iteration
owns one row of windows (im2col) or one row of the image, which gathers its columns (col2im).
"""

from numba import int64, prange

from .jit import parallel_kernel


@parallel_kernel
def im2col(cols, x, p):
    """cols [N*OH*OW, C*KH*KW] from x [N, H, W, C]."""
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    for row in prange(N * OH):
        n, oh = int64(row) // OH, int64(row) % OH
        for ow in range(OW):
            out = cols[int64(row) * OW + ow]
            for kh in range(KH):
                ih = oh * SH - PH + kh * DH
                for kw in range(KW):
                    iw = ow * SW - PW + kw * DW
                    inside = 0 <= ih < H and 0 <= iw < W
                    for c in range(C):
                        out[(c * KH + kh) * KW + kw] = x[n, ih, iw, c] if inside else 0


@parallel_kernel
def col2im(x, cols, p):
    """x [N, H, W, C]: each pixel adds up the columns that were taken from it, in the order of kh, kw."""
    N, C, H, W, KH, KW, SH, SW, PH, PW, DH, DW, OH, OW = p
    for row in prange(N * H):
        n, ih = int64(row) // H, int64(row) % H
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
