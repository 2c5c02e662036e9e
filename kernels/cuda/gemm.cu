// Matrix products C [M, N] = activate(op(A) op(B) + bias [N]), op(A) [M, K] and op(B) [K, N].
//
// A lies [M, K], or [K, M] with TRANS_A=1; B lies [K, N], or [N, K] with TRANS_B=1; C [M, N]. One block sums one tile
// (tiles.cuh) over `depth` steps of k; blockIdx.z counts the parts of k. Where there are several, C is an array of parts,
// `part` elements apart, without bias and activation: sum_parts adds them in order. With SUMS=1, sums [M] gets the
// sums of op(A)'s rows (the gradient of a bias, where A is dy and C is dw).
//
// Registers, shared memory and the ladder: tiles.cuh.
#include "tiles.cuh"

#if TRANS_A
typedef MatrixColumns SourceA;
#define SOURCE_A(a) SourceA(a, 0, M, M, K)
#else
typedef MatrixRows<SLOTS(BM)> SourceA;
#define SOURCE_A(a) SourceA(a, 0, M, K)
#endif
#if TRANS_B
typedef MatrixRows<SLOTS(BN)> SourceB;
#define SOURCE_B(b) SourceB(b, 0, N, K)
#else
typedef MatrixColumns SourceB;
#define SOURCE_B(b) SourceB(b, 0, N, N, K)
#endif

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    gemm(T *c, T *sums, const T *__restrict__ a, const T *__restrict__ b, const T *__restrict__ bias, int M, int N,
         int K, int depth, index_t part) {
    const TileOrigin tile(blockIdx.x, N);
    const int first = blockIdx.z * depth;
    Operand<SourceA, BM> left(SOURCE_A(a), tile.m);
    Operand<SourceB, BN> right(SOURCE_B(b), tile.n);
    T sum[TM][TN] = {}, total = 0;
    multiply(sum, left, right, first, min(K, first + depth), total, SUMS && tile.n == 0);
    const PlainRows rows = {c + blockIdx.z * part, N};
    write_tile(rows, in_fours(rows.first, N), bias, sum, tile.m, tile.n, M, N);
    if (SUMS && tile.n == 0 && threadIdx.x < BM && tile.m + threadIdx.x < M)
        sums[blockIdx.z * part + tile.m + threadIdx.x] = total;
}
