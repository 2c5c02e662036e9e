"""Matrix product, row-major: c[m, n] = bias[n] + sum_k a[m, k] * b[k, n].

One parallel iteration owns one row of c and adds in the order of k, so the result does not depend on the number of
threads.
"""

from numba import int64, prange

from .jit import parallel_kernel


@parallel_kernel
def gemm(c, a, b, bias):
    """c [M, N] from a [M, K], b [K, N], bias [N]."""
    M, K = a.shape
    N = b.shape[1]
    for row in prange(M):
        m = int64(row)
        for n in range(N):
            c[m, n] = bias[n]
        for k in range(K):
            v = a[m, k]
            for n in range(N):
                c[m, n] += v * b[k, n]


@parallel_kernel
def column_sums(total, a):
    """total [N] = sum_m a[m, n], rows in order."""
    M, N = a.shape
    for column in prange(N):
        n = int64(column)
        s = a.dtype.type(0)
        for m in range(M):
            s += a[m, n]
        total[n] = s
