// Convolution as matrix products whose matrices are never stored (implicit GEMM), one product a group:
//
//     forward          y[(n,oh,ow), oc]    = activate(b[oc] + sum over (kh,kw,c) of x[n,ih,iw,c] w[oc,kh,kw,c])
//     backward_data    dx[(n,ih,iw), c]    = sum over (kh,kw,oc) of dy[n,oh,ow,oc] w[oc,kh,kw,c]
//     backward_weight  dw[oc, (kh,kw,c)]   = sum over (n,oh,ow) of dy[n,oh,ow,oc] x[n,ih,iw,c];  db[oc] = sum of dy
//
// with ih = oh*SH - PH + kh*DH and iw likewise; what lies outside an image counts as zero. x and dx [N, H, W, C], w and dw
// [OC, KH, KW, C/G], y and dy [N, OH, OW, OC].
//
// A block sums one tile (tiles.cuh) over `depth` steps of the reduction; blockIdx.x counts the tiles of all groups,
// blockIdx.z the parts of the reduction. Where there are several, the results are arrays of parts, `part` elements apart,
// without bias and activation; sum_parts (parts.cu) adds them in order.
#include "conv2d_sizes.cuh"
#include "tiles.cuh"

#define OUTSIDE (-(1 << 30))  // a row or column that no step brings back into an image

__device__ __forceinline__ int tiles_of(int M, int N) { return (M + BM - 1) / BM * ((N + BN - 1) / BN); }

// Where a reduction over (tap row, tap column, channel) stands.
struct Tap {
    int row, column, channel;
};
struct Taps {
    Divisor channels, columns;
    __device__ Taps(int columns, int channels) : channels(divisor(channels)), columns(divisor(columns)) {}
    __device__ Tap operator()(int k) const {
        const Quotient tap = divided(k, channels), row = divided(tap.whole, columns);
        return {row.whole, row.rest, tap.rest};
    }
};

__device__ __forceinline__ bool within(int i, int size) { return (unsigned)i < (unsigned)size; }

// row * W + column, also where the row is OUTSIDE and nobody uses the result.
__device__ __forceinline__ int pixel(int row, int W, int column) { return (int)((unsigned)row * W + column); }

struct Images {
    const T *image;  // [.., H, W, pitch]
    int channel;     // the first one used
    int H, W, pitch;
};

// Windows of images as rows: position (n, i, j) with its first tap at (top, left), a tap further every (down, right).
struct WindowStart {
    int image, top, left;
};
struct WindowGrid {
    Images images;
    int positions, rows, columns;            // of windows: all, and those of an image
    int stride_h, stride_w, first_h, first_w;  // window (i, j) starts at pixel (first_h + i stride_h, first_w + j stride_w)
    int down, right;                         // pixels from tap to tap
    __device__ WindowStart start(int position) const {
        const int line = position / columns;
        return {line / rows, first_h + line % rows * stride_h, first_w + position % columns * stride_w};
    }
};
struct Windows {
    static constexpr bool ALONG_K = true;
    WindowGrid grid;
    Taps taps;
    int end, down, right, channel, line[SLOTS(BM)], top[SLOTS(BM)], left[SLOTS(BM)];
    bool inside;

    __device__ Windows(const WindowGrid &grid, const Taps &taps, int end) : grid(grid), taps(taps), end(end) {}
    __device__ void place(int part, int position) {
        const WindowStart start = grid.start(position);
        line[part] = start.image * grid.images.H;
        top[part] = position < grid.positions ? start.top : OUTSIDE;
        left[part] = start.left;
    }
    __device__ void at(int k) {
        const Tap tap = taps(k);
        down = tap.row * grid.down, right = tap.column * grid.right, channel = grid.images.channel + tap.channel;
        inside = k < end;
    }
    __device__ bool has(int part) const {
        return inside && within(top[part] + down, grid.images.H) && within(left[part] + right, grid.images.W);
    }
    __device__ const T *address(int part) const {
        const Images &x = grid.images;
        return x.image + ((index_t)pixel(line[part] + top[part] + down, x.W, left[part] + right) * x.pitch + channel);
    }
};
