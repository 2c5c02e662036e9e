// The gradient of a convolution's input: dy by filters, phase by phase. See conv2d.cuh.
//
// Phases: pixels of one remainder ih mod SH and iw mod SW receive from the same taps, and of those taps every pixel of the
// phase meets all (but at edges). So a stride costs no multiplication by zero: a phase is a convolution of stride 1 of dy
// with the phase's own taps. blockIdx.x counts tiles within phases within groups.
#include "conv2d.cuh"

// One axis of a phase: the pixels first + j*S and the taps tap + i*TH that reach them, from row start + j - i*UH of
// dy, where TH = SH / gcd(SH, DH) and UH = DH / gcd(SH, DH) for all phases; TW and UW likewise.
struct Phase {
    int first, pixels, tap, taps, start;
    __device__ Phase(int phase, int size, int K, int S, int P, int D, int step) {
        first = phase, pixels = (size - phase + S - 1) / S;
        for (tap = 0; tap < step && (phase + P - tap * D) % S; tap++) {}
        taps = tap < step && tap < K ? (K - tap + step - 1) / step : 0;
        start = (phase + P - tap * D) / S;
    }
};

// Filters as columns, one a channel of x; the steps are (tap row, tap column, filter) of a phase.
struct FilterColumns {
    static constexpr bool ALONG_K = false;
    const T *w;  // [taps of all filters, columns]
    Taps taps;
    int columns, end, first, filter, width, down, right;  // taps: the first, of a filter, of its row, from one to the next
    int column, line;
    bool inside;

    __device__ void place(int part, int position) { column = position - part; }
    __device__ void at(int k) {
        const Tap tap = taps(k);
        line = first + tap.channel * filter + tap.row * down * width + tap.column * right;
        inside = k < end;
    }
    __device__ bool has(int part) const { return inside && column + part < columns; }
    __device__ const T *address(int part) const { return w + ((index_t)line * columns + (column + part)); }
};

// Rows of dx that belong to a phase.
struct PhaseRows {
    T *dx;
    Phase h, w;
    int H, W, C, SH, SW;
    __device__ T *row(int position) const {
        const int line = position / w.pixels, n = line / h.pixels;
        const int ih = h.first + line % h.pixels * SH, iw = w.first + position % w.pixels * SW;
        return dx + ((index_t)(n * H + ih) * W + iw) * C;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    conv2d_backward_data(T *dx, const T *__restrict__ dy, const T *__restrict__ w, SIZES, int TH,
                         int TW, int UH, int UW, int depth, index_t part) {
    const int CG = C / G, OCG = OC / G, phases_h = min(SH, H), phases_w = min(SW, W);
    const int tiles = tiles_of(N * ((H + SH - 1) / SH) * ((W + SW - 1) / SW), CG), phases = phases_h * phases_w;
    const int g = blockIdx.x / (tiles * phases), phase = blockIdx.x / tiles % phases, first = blockIdx.z * depth;
    const Phase ph(phase / phases_w, H, KH, SH, PH, DH, TH), pw(phase % phases_w, W, KW, SW, PW, DW, TW);
    const int M = N * ph.pixels * pw.pixels, K = ph.taps * pw.taps * OCG;
    const TileOrigin tile(blockIdx.x % tiles, CG);
    if (tile.m >= M) return;  // the whole block
    const WindowGrid grid = {{dy, g * OCG, OH, OW, OC}, M, ph.pixels, pw.pixels, 1, 1, ph.start, pw.start, -UH, -UW};
    const Taps taps(max(pw.taps, 1), OCG);
    Operand<Windows, BM> windows(Windows(grid, taps, K), tile.m);
    const int from = (g * OCG * KH + ph.tap) * KW + pw.tap;
    const FilterColumns source = {w, taps, CG, K, from, KH * KW, KW, TH, TW};
    Operand<FilterColumns, BN> filters(source, tile.n);
    T sum[TM][TN] = {}, unused = 0;
    multiply(sum, windows, filters, first, min(K, first + depth), unused, false);
    const PhaseRows rows = {dx + blockIdx.z * part + g * CG, ph, pw, H, W, C, SH, SW};
    write_tile(rows, in_fours(rows.dx, C), nullptr, sum, tile.m, tile.n, M, CG);
}
