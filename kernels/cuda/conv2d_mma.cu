// Convolution on the matrix units, forward and backward to the input: an implicit product of matrices.
//
//   y[n, oh, ow, oc] = act(b[oc] + sum_{kh, kw, c} x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c] * w[oc, kh, kw, c])
//
// Rows of A are the windows of x, columns of B the filters; k runs over kh, kw, c, so both lie along k in memory.
// Backward to the input is the same product once w lies as [C, KH, KW, OC/G]: where SH = SW = 1, dy is convolved with
// the filters turned round. For larger strides the pixels of dx fall into SH * SW phases; a pixel of phase (h % SH,
// w % SW) meets every (SH / gcd(SH, DH))-th tap of a filter's rows only, and so for columns. Each phase is a
// convolution of its own: no zeros are multiplied.
//
// -D PACK: floats in an asynchronous copy, 4 where a group's channels (of what is convolved) come in fours and both
// arrays begin on 16 bytes, else 1. Grid: tiles of a product, 1, phases and groups.
//
// Ladder: instructions of one step in the machine code for sm_90 (forward, tf32, 128 x 128).
//   windows of a tile's rows worked out once, in shared memory; taps of a step by division     519
//   taps from step to step by addition                                                        466
//   offsets inside an image in 32 bits; the slices of mma_tile.cuh one after the other        492, 126 registers
// Registers at 128 x 128: tf32 126 (backward 128), 3 x tf32 234 (238), 16 bits 226 (234); nothing is spilled.
#include "conv2d_mma.cuh"

// One axis of the windows. Window i begins at origin + i * advance of the map that is convolved and has `taps` taps,
// `dilation` apart; they are the taps first_tap, first_tap + tap_step, ... of the filter. Its sum belongs to place
// first + i * step of the result.
struct Axis {
    int windows, origin, advance, taps, dilation, first_tap, tap_step, first, step;
};

__device__ __forceinline__ Axis forward_axis(int O, int K, int S, int P, int D) {
    return {O, -P, S, K, D, 0, 1, 0, 1};
}

// The places phase, phase + S, ... of dx.
__device__ __forceinline__ Axis backward_axis(int size, int K, int S, int P, int D, int phase) {
    int tap_step = 1, first_tap = 0;
    while ((index_t)tap_step * D % S) tap_step++;
    while (first_tap < tap_step && (phase + P - (index_t)first_tap * D) % S) first_tap++;
    const bool none = first_tap >= min(tap_step, K);
    const int taps = none ? 0 : (K - 1 - first_tap) / tap_step + 1;
    const int windows = size > phase ? (size - 1 - phase) / S + 1 : 0;
    const int origin = none ? 0 : (int)((phase + P - (index_t)first_tap * D) / S);
    return {windows, origin, 1, taps, (int)(-(index_t)tap_step * D / S), first_tap, tap_step, phase, S};
}

// A place of a filter: row and column of its taps, channel.
struct Place {
    int h, w, c;
};

// x [N, H, W, C] and w [OC, KH, KW, CG]: what is convolved, of one group.
struct Convolved {
    const T *x, *w;
    int H, W, C, CG, KH, KW, filters;
    Axis rows, columns;
    const Window *windows;
    Place next, step;  // of this thread's elements in the next tile, and from one tile to the next

    // The place after k others.
    __device__ __forceinline__ Place place(int k) const {
        const int tap = k / CG, h = tap / columns.taps;
        return {h, tap - h * columns.taps, k - tap * CG};
    }

    __device__ __forceinline__ void begin() {
        next = place(threadIdx.x % (BK / PACK) * PACK);
        step = place(BK);
    }

    __device__ __forceinline__ void fetch(float *a, float *b) {
        fetch_windows(a);
        fetch_filters(b);
        next = {next.h + step.h, next.w + step.w, next.c + step.c};
        if (next.c >= CG) next.c -= CG, next.w++;
        if (next.w >= columns.taps) next.w -= columns.taps, next.h++;
    }

    __device__ __forceinline__ void fetch_windows(float *tile) const {
        const int k = threadIdx.x % (BK / PACK) * PACK, dh = next.h * rows.dilation, dw = next.w * columns.dilation;
        const int to_tap = (dh * W + dw) * C + next.c;
#pragma unroll
        for (int i = 0; i < TILE_A / PACK / THREADS; i++) {
            const int line = threadIdx.x / (BK / PACK) + i * (THREADS * PACK / BK);
            const Window at = windows[line];
            const bool inside = next.h < rows.taps && (unsigned)(at.h + dh) < H && (unsigned)(at.w + dw) < W;
            copy_async((Pack<T, PACK> *)(tile + place_along(line, k)),
                       (const Pack<T, PACK> *)(inside ? x + at.at + to_tap : x), inside);
        }
    }

    __device__ __forceinline__ void fetch_filters(float *tile) const {
        const int h = rows.first_tap + next.h * rows.tap_step, w_ = columns.first_tap + next.w * columns.tap_step;
        const int at = (h * KW + w_) * CG + next.c - threadIdx.x % (BK / PACK) * PACK;
        fetch_along<BN>(tile, w + at, KH * KW * CG, next.h < rows.taps ? filters : 0, BK);
    }
};

// y [N, HY, WY, CY], of it the places that the axes name and the channels of one group.
__device__ __forceinline__ void convolve(
    T *y, const T *b, Convolved &convolved, int N, int HY, int WY, int CY, int group, int columns
) {
    __shared__ Window windows[BM];
    __shared__ index_t results[BM];
    const Axis h = convolved.rows, w = convolved.columns;
    const int tiles_n = (columns + BN - 1) / BN, first_column = blockIdx.x % tiles_n * BN;
    const index_t first_row = (index_t)(blockIdx.x / tiles_n) * BM, all_rows = (index_t)N * h.windows * w.windows;
    if (first_row >= all_rows) return;
    if (threadIdx.x < BM) {
        index_t n = first_row + threadIdx.x;
        const bool inside = n < all_rows;
        const int j = take_last(n, w.windows), i = take_last(n, h.windows);
        const int top = h.origin + i * h.advance, left = w.origin + j * w.advance;
        const index_t at = ((n * convolved.H + top) * convolved.W + left) * convolved.C;
        windows[threadIdx.x] = {at + group * convolved.CG, inside ? top : NOWHERE, left};
        const index_t pixel = (n * HY + h.first + i * h.step) * WY + w.first + j * w.step;
        results[threadIdx.x] = inside ? pixel * CY + group * columns : -1;
    }
    convolved.windows = windows;
    convolved.w += ((index_t)group * columns + first_column) * convolved.KH * convolved.KW * convolved.CG;
    convolved.filters = columns - first_column;
    const int taps = h.taps * w.taps;
    const int steps = (int)(((index_t)taps * convolved.CG + BK - 1) / BK);
    if (steps) convolved.begin();
    Sums sums;
    accumulate<true, true>(sums, convolved, steps);
    const auto row_at = [&](int row) { return results[row] < 0 ? nullptr : y + results[row] + first_column; };
    store(sums, row_at, b ? b + group * columns + first_column : nullptr, columns - first_column);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_forward_mma(
    T *y, const T *x, const T *w, const T *b, int N, int C, int H, int W, int OC, int KH, int KW, int SH, int SW,
    int PH, int PW, int DH, int DW, int G, int OH, int OW
) {
    Convolved convolved = {x, w, H, W, C, C / G, KH, KW, 0, forward_axis(OH, KH, SH, PH, DH),
                           forward_axis(OW, KW, SW, PW, DW)};
    convolve(y, b, convolved, N, OH, OW, OC, blockIdx.z, OC / G);
}

// w lies as [C, KH, KW, OC/G] here. blockIdx.z: phase * G + group.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_backward_data_mma(
    T *dx, const T *dy, const T *w, int N, int C, int H, int W, int OC, int KH, int KW, int SH, int SW, int PH, int PW,
    int DH, int DW, int G, int OH, int OW
) {
    const int phase = blockIdx.z / G;
    Convolved convolved = {dy, w, OH, OW, OC, OC / G, KH, KW, 0, backward_axis(H, KH, SH, PH, DH, phase / SW),
                           backward_axis(W, KW, SW, PW, DW, phase % SW)};
    convolve(dx, nullptr, convolved, N, H, W, C, blockIdx.z % G, C / G);
}
