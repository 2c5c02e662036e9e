// The gradients of filters and bias on the matrix units: a product of matrices over all pixels.
//
//   dw[oc, kh, kw, c] = sum_{n, oh, ow} dy[n, oh, ow, oc] * x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
//   db[oc]            = sum_{n, oh, ow} dy[n, oh, ow, oc]                                   (in plain float32)
//
// Rows of A are output channels, columns of B are the places (kh, kw, c) of a filter; k runs over pixels, so both lie
// across k in memory. blockIdx.y counts the parts of k, `depth` pixels each (a multiple of BK); the parts' results, dw
// and behind it db, lie `part` elements apart. blockIdx.z counts the groups. -D PACK: floats in an asynchronous copy, 4
// where C/G and OC/G come in fours and both arrays begin on 16 bytes, else 1.
//
// At 128 x 128 on sm_90, tf32: 748 instructions a step, 64 of them HMMA; one warp works out the next step's windows.
#include "conv2d_mma.cuh"

struct Pixels {
    const T *dy, *x;  // dy at the first pixel of the next tile and the first channel of this block's
    int N, H, W, C, OC, SH, SW, PH, PW, OH, OW, channels, group_at;
    Window (*windows)[BK];  // of the tile at hand and of the next one
    index_t pixel, end;        // the first of the next tile, and where this block's end
    int slot;
    int dh, dw;  // from the beginning of a window to this thread's place of the filter, NOWHERE beyond the last
    index_t to_place;

    // The windows of the tile that begins at `pixel`.
    __device__ __forceinline__ void find_windows() {
        if (threadIdx.x < BK) {
            index_t n = pixel + threadIdx.x;
            const bool inside = n < end;
            const int ow = take_last(n, OW), oh = take_last(n, OH), h = oh * SH - PH, w = ow * SW - PW;
            windows[slot][threadIdx.x] = {((n * H + h) * W + w) * C + group_at, inside ? h : NOWHERE, w};
        }
    }

    __device__ __forceinline__ void fetch(float *a, float *b) {
        fetch_across<BM>(a, dy, OC, channels, end - pixel);
        fetch_windows(b);
        dy += (index_t)BK * OC;
        pixel += BK;
        slot ^= 1;
        find_windows();  // a barrier stands before the next call
    }

    __device__ __forceinline__ void fetch_windows(float *tile) const {
        const int line = threadIdx.x % (BN / PACK) * PACK;
#pragma unroll
        for (int i = 0; i < TILE_B / PACK / THREADS; i++) {
            const int k = threadIdx.x / (BN / PACK) + i * (THREADS * PACK / BN);
            const Window at = windows[slot][k];
            const bool inside = (unsigned)(at.h + dh) < H && (unsigned)(at.w + dw) < W;
            copy_async((Pack<T, PACK> *)(tile + place_across<BN>(line, k)),
                       (const Pack<T, PACK> *)(inside ? x + at.at + to_place : x), inside);
        }
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_backward_weight_mma(
    T *dw, T *db, const T *dy, const T *x, int N, int C, int H, int W, int OC, int KH, int KW, int SH, int SW, int PH,
    int PW, int DH, int DW, int G, int OH, int OW, int depth, index_t part
) {
    __shared__ Window windows[2][BK];
    const int CG = C / G, OCG = OC / G, group = blockIdx.z, places = KH * KW * CG;
    const int tiles_n = (places + BN - 1) / BN;
    const int first_row = blockIdx.x / tiles_n * BM, first_column = blockIdx.x % tiles_n * BN;
    const index_t first = (index_t)blockIdx.y * depth, end = min((index_t)N * OH * OW, first + depth);

    const int place = first_column + threadIdx.x % (BN / PACK) * PACK, tap = place / CG, c = place - tap * CG;
    const int kh = tap / KW, kw = tap - kh * KW;
    Pixels operands = {dy + first * OC + group * OCG + first_row, x, N, H, W, C, OC, SH, SW, PH, PW, OH, OW,
                       OCG - first_row, group * CG, windows, first, end, 0,
                       place < places ? kh * DH : NOWHERE, kw * DW, ((index_t)kh * DH * W + kw * DW) * C + c};
    operands.find_windows();
    Sums sums;
    const int steps = (int)((end - first + BK - 1) / BK);
    const float row_sum = accumulate<false, false>(sums, operands, steps, first_column == 0);

    dw += blockIdx.y * part + (index_t)group * OCG * places;
    const auto row_at = [&](int row) {
        return first_row + row < OCG ? dw + (index_t)(first_row + row) * places + first_column : nullptr;
    };
    store(sums, row_at, nullptr, places - first_column);
    if (first_column == 0 && threadIdx.x < BM && first_row + threadIdx.x < OCG)
        db[blockIdx.y * part + group * OCG + first_row + threadIdx.x] = row_sum;
}
