// Convolution with one channel a group (C = G, OC a multiple of it): nothing is shared between channels, so memory is the
// limit and lanes stand along them.
//
//     y[n,oh,ow,oc]      = activate(b[oc] + sum over (kh,kw) of x[n,ih,iw,c] w[kh,kw,oc]),  c = oc / (OC/G)
//     dx[n,ih,iw,c]      = sum over (kh,kw) and the oc of c of dy[n,oh,ow,oc] w[kh,kw,oc]
//     dw[kh,kw,oc]       = sum over (n,oh,ow) of dy[n,oh,ow,oc] x[n,ih,iw,c];  db[oc] = sum of dy
//
// with ih = oh*SH - PH + kh*DH. Filters and their gradient lie [KH, KW, OC] here, so that lanes read neighbours. Blocks
// are (channels, pixels); blockIdx.y counts blocks of channels.
//
// On sm_90 (NVRTC 13.5): 32 registers a thread forward, 50 backward_data, 32 to 43 backward_weight; nothing spilled.
// Expected limit: memory, x and y once each; RUN pixels share a weight so that the loads of a 3 x 3 filter are 11 a
// result and not 18, at one load of a warp a cycle and 32 results in about 17 cycles of memory.
#include "activation.cuh"
#include "conv2d_sizes.cuh"
#include "division.cuh"

#ifndef RUN
#define RUN 4  // neighbours along a row that one thread sums, so that it reads a weight once for all
#endif
#ifndef TAPS
#define TAPS 1  // neighbours along a filter's row whose gradients one thread sums
#endif

// Run `runs` of the rows of (N, height) images: its row and where it begins.
struct RowRun {
    int line, n, row, first;
    __device__ RowRun(int height, int width) {
        const int runs = (width + RUN - 1) / RUN, run = blockIdx.x * blockDim.y + threadIdx.y;
        line = run / runs, n = line / height, row = line % height, first = run % runs * RUN;
    }
};

extern "C" __global__ void depthwise_forward(T *y, const T *__restrict__ x, const T *__restrict__ w,
                                             const T *__restrict__ b, SIZES) {
    const int oc = blockIdx.y * blockDim.x + threadIdx.x;
    const RowRun at(OH, OW);
    if (oc >= OC || at.n >= N) return;
    const int c = oc / (OC / G), left = at.first * SW - PW;
    T sum[RUN];
#pragma unroll
    for (int r = 0; r < RUN; r++) sum[r] = b ? b[oc] : (T)0;
    for (int kh = 0; kh < KH; kh++) {
        const int ih = at.row * SH - PH + kh * DH;
        if ((unsigned)ih >= (unsigned)H) continue;
        const T *row = x + (index_t)(at.n * H + ih) * W * C + c;
        for (int kw = 0; kw < KW; kw++) {
            const T weight = w[(index_t)(kh * KW + kw) * OC + oc];
#pragma unroll
            for (int r = 0; r < RUN; r++) {
                const int iw = left + r * SW + kw * DW;
                if ((unsigned)iw < (unsigned)W) sum[r] += row[(index_t)iw * C] * weight;
            }
        }
    }
    T *to = y + ((index_t)at.line * OW + at.first) * OC + oc;
#pragma unroll
    for (int r = 0; r < RUN; r++)
        if (at.first + r < OW) to[(index_t)r * OC] = activate(sum[r], (T)0.01);
}

extern "C" __global__ void depthwise_backward_data(T *dx, const T *__restrict__ dy, const T *__restrict__ w, SIZES) {
    const int c = blockIdx.y * blockDim.x + threadIdx.x, each = OC / G;
    const RowRun at(H, W);
    if (c >= C || at.n >= N) return;
    const Divisor by_row = divisor(SH), by_column = divisor(SW);
    T sum[RUN] = {};
    for (int kh = 0; kh < KH; kh++) {
        const int h = at.row + PH - kh * DH, oh = divided(h, by_row).whole;
        if (h < 0 || oh * SH != h || oh >= OH) continue;
        const T *row = dy + (index_t)(at.n * OH + oh) * OW * OC;
        for (int kw = 0; kw < KW; kw++) {
#pragma unroll
            for (int r = 0; r < RUN; r++) {
                const int v = at.first + r + PW - kw * DW, ow = divided(v, by_column).whole;
                if (v < 0 || ow * SW != v || ow >= OW) continue;
                for (int oc = c * each; oc < (c + 1) * each; oc++)
                    sum[r] += row[(index_t)ow * OC + oc] * w[(index_t)(kh * KW + kw) * OC + oc];
            }
        }
    }
    T *to = dx + ((index_t)at.line * W + at.first) * C + c;
#pragma unroll
    for (int r = 0; r < RUN; r++)
        if (at.first + r < W) to[(index_t)r * C] = sum[r];
}

// dw and db of pixels blockIdx.x * depth and so on; blockIdx.z counts runs of TAPS taps. Parts as in parts.cu.
extern "C" __global__ void depthwise_backward_weight(T *dw, T *db, const T *__restrict__ dy, const T *__restrict__ x,
                                                     SIZES, int depth, index_t part) {
    __shared__ T found[TAPS + 1][256];
    const int oc = blockIdx.y * blockDim.x + threadIdx.x, c = oc / (OC / G);
    const int kh = blockIdx.z / (KW / TAPS), first_kw = blockIdx.z % (KW / TAPS) * TAPS;
    const index_t begin = (index_t)blockIdx.x * depth, pixels = (index_t)N * OH * OW;
    const int end = (int)min(begin + depth, pixels);
    const Divisor columns = divisor(OW), rows = divisor(OH);
    T sum[TAPS + 1] = {};  // the last is db
    if (oc < OC)
        for (int p = (int)begin + threadIdx.y; p < end; p += blockDim.y) {
            const Quotient line = divided(p, columns), image = divided(line.whole, rows);
            const int ih = image.rest * SH - PH + kh * DH, left = line.rest * SW - PW + first_kw * DW;
            const T share = dy[(index_t)p * OC + oc];
            const T *row = x + (index_t)(image.whole * H + ih) * W * C + c;
            sum[TAPS] += share;
            if ((unsigned)ih >= (unsigned)H) continue;
#pragma unroll
            for (int i = 0; i < TAPS; i++)
                if ((unsigned)(left + i * DW) < (unsigned)W) sum[i] += share * row[(index_t)(left + i * DW) * C];
        }
    const int place = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
    for (int i = 0; i <= TAPS; i++) found[i][place] = sum[i];
    __syncthreads();
    if (threadIdx.y > 0 || oc >= OC) return;
#pragma unroll
    for (int i = 0; i <= TAPS; i++)
        for (int y = 1; y < blockDim.y; y++) sum[i] += found[i][y * blockDim.x + threadIdx.x];
#pragma unroll
    for (int i = 0; i < TAPS; i++) dw[blockIdx.x * part + (index_t)(kh * KW + first_kw + i) * OC + oc] = sum[i];
    if (blockIdx.z == 0) db[blockIdx.x * part + oc] = sum[TAPS];
}
