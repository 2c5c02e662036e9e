// The product of matrices on the matrix units.
//
//   c[m, n] = act(bias[n] + sum_k a[m, k] * b[k, n])        sums[m] = sum_k a[m, k]   (in plain float32)
//
// Arrays and arguments as in gemm.cu: A lies [M, K], or [K, M] with TRANS_A=1; B lies [K, N], or [N, K] with TRANS_B=1;
// blockIdx.z counts the parts of k, `depth` each (a multiple of BK), whose results lie `part` elements apart. sums may
// be null, and is null where A lies [M, K]. -D PACK: floats in an asynchronous copy, 4 where the inner sizes of both
// arrays come in fours and both begin on 16 bytes, else 1.
//
// The ladder is that of mma_tile.cuh. Registers on sm_90 at 128 x 128: tf32 at most 128, 16 bits 244.
#include "activation.cuh"
#include "mma_tile.cuh"

struct Matrices {
    const T *a, *b;
    int a_stride, b_stride;
    int left, rows, columns;  // `left`: of k

    __device__ __forceinline__ void fetch(float *a_tile, float *b_tile) {
#if TRANS_A
        fetch_across<BM>(a_tile, a, a_stride, rows, left);
        a += (index_t)BK * a_stride;
#else
        fetch_along<BM>(a_tile, a, a_stride, rows, left);
        a += BK;
#endif
#if TRANS_B
        fetch_along<BN>(b_tile, b, b_stride, columns, left);
        b += BK;
#else
        fetch_across<BN>(b_tile, b, b_stride, columns, left);
        b += (index_t)BK * b_stride;
#endif
        left -= BK;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    gemm_mma(T *c, T *sums, const T *a, const T *b, const T *bias, int M, int N, int K, int depth, index_t part) {
    const int tiles_n = (N + BN - 1) / BN, row = blockIdx.x / tiles_n * BM, column = blockIdx.x % tiles_n * BN;
    const int first = blockIdx.z * depth, left = min(depth, K - first);
    Matrices matrices = {a + (TRANS_A ? (index_t)first * M + row : (index_t)row * K + first),
                         b + (TRANS_B ? (index_t)column * K + first : (index_t)first * N + column),
                         TRANS_A ? M : K, TRANS_B ? K : N, left, M - row, N - column};
    const bool wants_sums = sums && column == 0;
    Sums products;
    const float sum = accumulate<!TRANS_A, TRANS_B>(products, matrices, (left + BK - 1) / BK, wants_sums);
    c += blockIdx.z * part;
    const auto row_at = [&](int i) { return row + i < M ? c + (index_t)(row + i) * N + column : nullptr; };
    store(products, row_at, bias ? bias + column : nullptr, N - column);
    if (wants_sums && threadIdx.x < BM && row + threadIdx.x < M) sums[blockIdx.z * part + row + threadIdx.x] = sum;
}
