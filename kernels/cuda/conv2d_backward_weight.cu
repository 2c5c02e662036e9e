// The gradients of filters and bias: dy by the pixels of x that windows meet. See conv2d.cuh.
#include "conv2d.cuh"

// The pixels that windows meet, tap by tap, as columns; the steps are the windows.
struct WindowPixels {
    static constexpr bool ALONG_K = false;
    Images x;
    Taps taps;
    int columns, end, stride_h, stride_w, top, left, down, right;
    Divisor rows_out, columns_out;
    int line, h, w, tap_h[4 / VEC], tap_w[4 / VEC], channel[4 / VEC];

    __device__ void place(int part, int column) {
        const Tap tap = taps(column);
        tap_h[part] = column < columns ? tap.row * down - top : OUTSIDE;
        tap_w[part] = tap.column * right - left;
        channel[part] = x.channel + tap.channel;
    }
    __device__ void at(int k) {
        const Quotient row = divided(k, columns_out), image = divided(row.whole, rows_out);
        line = image.whole * x.H;
        h = k < end ? image.rest * stride_h : OUTSIDE;
        w = row.rest * stride_w;
    }
    __device__ bool has(int part) const { return within(h + tap_h[part], x.H) && within(w + tap_w[part], x.W); }
    __device__ const T *address(int part) const {
        return x.image + ((index_t)pixel(line + h + tap_h[part], x.W, w + tap_w[part]) * x.pitch + channel[part]);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    conv2d_backward_weight(T *dw, T *db, const T *__restrict__ dy, const T *__restrict__ x, SIZES, int depth,
                           index_t part) {
    const int CG = C / G, OCG = OC / G, pixels = N * OH * OW, columns = KH * KW * CG;
    const int tiles = tiles_of(OCG, columns), g = blockIdx.x / tiles, first = blockIdx.z * depth;
    const TileOrigin tile(blockIdx.x % tiles, columns);
    Operand<MatrixColumns, BM> gradients(MatrixColumns(dy, g * OCG, (g + 1) * OCG, OC, pixels), tile.m);
    const WindowPixels source = {{x, g * CG, H, W, C}, Taps(KW, CG), columns, pixels, SH, SW, PH, PW,
                                 DH, DW, divisor(OH), divisor(OW)};
    Operand<WindowPixels, BN> windows(source, tile.n);
    T sum[TM][TN] = {}, total = 0;
    multiply(sum, gradients, windows, first, min(pixels, first + depth), total, tile.n == 0);
    const PlainRows rows = {dw + blockIdx.z * part + (index_t)g * OCG * columns, columns};
    write_tile(rows, in_fours(rows.first, columns), nullptr, sum, tile.m, tile.n, OCG, columns);
    const int oc = tile.m + threadIdx.x;
    if (tile.n == 0 && threadIdx.x < BM && oc < OCG) db[blockIdx.z * part + g * OCG + oc] = total;
}
