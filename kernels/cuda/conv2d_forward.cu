// The forward pass of convolution: windows of x by filters. See conv2d.cuh.
#include "conv2d.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    conv2d_forward(T *y, const T *__restrict__ x, const T *__restrict__ w, const T *__restrict__ b, SIZES, int depth,
                   index_t part) {
    const int CG = C / G, OCG = OC / G, M = N * OH * OW, K = KH * KW * CG;
    const int tiles = tiles_of(M, OCG), g = blockIdx.x / tiles, first = blockIdx.z * depth;
    const TileOrigin tile(blockIdx.x % tiles, OCG);
    const WindowGrid grid = {{x, g * CG, H, W, C}, M, OH, OW, SH, SW, -PH, -PW, DH, DW};
    Operand<Windows, BM> windows(Windows(grid, Taps(KW, CG), K), tile.m);
    typedef MatrixRows<SLOTS(BN)> Filters;
    Operand<Filters, BN> filters(Filters(w, g * OCG, (g + 1) * OCG, K), tile.n);
    T sum[TM][TN] = {}, unused = 0;
    multiply(sum, windows, filters, first, min(K, first + depth), unused, false);
    const PlainRows rows = {y + blockIdx.z * part + g * OCG, OC};
    write_tile(rows, in_fours(rows.first, OC), b ? b + g * OCG : nullptr, sum, tile.m, tile.n, M, OCG);
}
