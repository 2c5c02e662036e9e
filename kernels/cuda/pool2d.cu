// Max and average pooling, forward and backward, over channels-last memory.
//
//     max   y[n, oh, ow, c] = max over the taps (kh, kw) inside the input of
//                             x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]
//           argmax = kh * KW + kw of the first such maximum; a NaN is larger than everything, padding never counts
//     avg   y = sum of the same taps / divisor(oh, ow), the number of taps that count
//
// x [N, H, W, C], y and argmax [N, OH, OW, C]. A thread makes VECTOR neighbouring channels (1, 2 or 4) of one element of
// the result, so that a warp reads and writes memory in a row. Backward gathers: a thread asks the windows over its
// pixel, in the order of oh, ow; nothing is added by two threads. PLACES: bytes of an element of argmax, 1 or 4.
// `n` is the number of results over VECTOR; HC, WC the (H, W) in which an average counts its taps, (0, 0) for the
// input's own.
//
// Registers on sm_90, float by fours: max 44 forward, 42 backward; average 43, 44; nothing spilled on sm_75 to sm_120.
// Floor: bytes of x, y and argmax over the memory's bandwidth.

#if PLACES == 4
typedef int Place;
#else
typedef unsigned char Place;
#endif
typedef Pack<T, VECTOR> Values;
typedef Pack<Place, VECTOR> Places;

#define PROBLEM \
    int C, int H, int W, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, int OH, int OW

// The taps, or windows, from first to end - 1.
struct Span {
    int first, end;
};

// Those taps k with 0 <= start + k * dilation < size; at least one, as the geometry promises.
__device__ __forceinline__ Span taps_inside(int start, int taps, int dilation, int size) {
    Span span = {0, taps};
    if (start < 0) span.first = (-start - 1) / dilation + 1;
    if ((taps - 1) * dilation >= size - start) span.end = (size - start - 1) / dilation + 1;
    return span;
}

// Those windows whose extent covers a position counted from the padding's start.
__device__ __forceinline__ Span windows_over(int position, int taps, int stride, int dilation, int windows) {
    const int reach = position - (taps - 1) * dilation;
    return {reach <= 0 ? 0 : (reach - 1) / stride + 1, min(position / stride + 1, windows)};
}

__device__ __forceinline__ void keep_larger(Values &best, Places &places, const Values &x, int tap) {
#pragma unroll
    for (int v = 0; v < VECTOR; v++)
        if (!(x.at[v] <= best.at[v]) && best.at[v] == best.at[v]) {
            best.at[v] = x.at[v];
            places.at[v] = (Place)tap;
        }
}

// A window of K x K taps, all inside: every load is under way before the first comparison.
template <int K>
__device__ __forceinline__ void largest_of_square(Values &best, Places &places, const T *x, index_t row, index_t col) {
    Values taps[K * K];
#pragma unroll
    for (int k = 0; k < K * K; k++) taps[k] = load_pack<VECTOR>(x + k / K * row + k % K * col);
    best = taps[0];
#pragma unroll
    for (int k = 1; k < K * K; k++) keep_larger(best, places, taps[k], k);
}

extern "C" __global__ void max_pool2d_forward(T *__restrict__ y, Place *__restrict__ argmax, const T *__restrict__ x,
                                              PROBLEM, index_t n) {
    const index_t col = (index_t)DW * C, row = (index_t)DH * W * C;
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t image = i;
        const int c = take_last(image, C / VECTOR) * VECTOR;
        const int left = take_last(image, OW) * SW - PW, top = take_last(image, OH) * SH - PH;
        const Span rows = taps_inside(top, KH, DH, H), cols = taps_inside(left, KW, DW, W);
        const T *from = x + ((image * H + top + rows.first * DH) * W + left + cols.first * DW) * C + c;
        const bool square = KH == KW && rows.end - rows.first == KH && cols.end - cols.first == KW;
        Values best;
        Places places = {};
        if (square && KH == 2) {
            largest_of_square<2>(best, places, from, row, col);
        } else if (square && KH == 3) {
            largest_of_square<3>(best, places, from, row, col);
        } else {
            best = load_pack<VECTOR>(from);
            for (int v = 0; v < VECTOR; v++) places.at[v] = (Place)(rows.first * KW + cols.first);
            for (int kh = rows.first; kh < rows.end; kh++, from += row)
                for (int kw = cols.first; kw < cols.end; kw++)
                    keep_larger(best, places, load_pack<VECTOR>(from + (kw - cols.first) * col), kh * KW + kw);
        }
        store_pack(y + i * VECTOR, best);
        store_pack(argmax + i * VECTOR, places);
    }
}

extern "C" __global__ void max_pool2d_backward(T *__restrict__ dx, const T *__restrict__ dy,
                                               const Place *__restrict__ argmax, PROBLEM, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t image = i;
        const int c = take_last(image, C / VECTOR) * VECTOR;
        const int w = take_last(image, W) + PW, h = take_last(image, H) + PH;
        const Span rows = windows_over(h, KH, SH, DH, OH), cols = windows_over(w, KW, SW, DW, OW);
        Values total = {};
#pragma unroll 1
        for (int oh = rows.first; oh < rows.end; oh++) {
            const int kh = (h - oh * SH) / DH;
            if (kh * DH != h - oh * SH) continue;
#pragma unroll 1
            for (int ow = cols.first; ow < cols.end; ow++) {
                const int kw = (w - ow * SW) / DW;
                if (kw * DW != w - ow * SW) continue;
                const index_t at = ((image * OH + oh) * OW + ow) * C + c;
                const Values d = load_pack<VECTOR>(dy + at);
                const Places places = load_pack<VECTOR>(argmax + at);
#pragma unroll
                for (int v = 0; v < VECTOR; v++)
                    if (places.at[v] == kh * KW + kw) total.at[v] += d.at[v];
            }
        }
        store_pack(dx + i * VECTOR, total);
    }
}

// How many taps of a window's side count: those inside `counted`, padding included, or where that is 0 inside the input.
__device__ __forceinline__ int taps_counted(int start, int before, int taps, int dilation, int size, int counted) {
    const Span span = counted ? taps_inside(start + before, taps, dilation, counted)
                              : taps_inside(start, taps, dilation, size);
    return span.end - span.first;
}

extern "C" __global__ void avg_pool2d_forward(T *__restrict__ y, const T *__restrict__ x, PROBLEM, int HC, int WC,
                                              index_t n) {
    const index_t col = (index_t)DW * C, row = (index_t)DH * W * C;
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t image = i;
        const int c = take_last(image, C / VECTOR) * VECTOR;
        const int left = take_last(image, OW) * SW - PW, top = take_last(image, OH) * SH - PH;
        const Span rows = taps_inside(top, KH, DH, H), cols = taps_inside(left, KW, DW, W);
        const T *from = x + ((image * H + top + rows.first * DH) * W + left + cols.first * DW) * C + c;
        const int counted = taps_counted(top, PH, KH, DH, H, HC) * taps_counted(left, PW, KW, DW, W, WC);
        Values total = {};
        for (int kh = rows.first; kh < rows.end; kh++, from += row) {
            Values line = {};  // sums of rows do not wait for one another
            for (int kw = cols.first; kw < cols.end; kw++) {
                const Values tap = load_pack<VECTOR>(from + (kw - cols.first) * col);
#pragma unroll
                for (int v = 0; v < VECTOR; v++) line.at[v] += tap.at[v];
            }
#pragma unroll
            for (int v = 0; v < VECTOR; v++) total.at[v] += line.at[v];
        }
#pragma unroll
        for (int v = 0; v < VECTOR; v++) total.at[v] /= (T)counted;
        store_pack(y + i * VECTOR, total);
    }
}

extern "C" __global__ void avg_pool2d_backward(T *__restrict__ dx, const T *__restrict__ dy, PROBLEM, int HC, int WC,
                                               index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t image = i;
        const int c = take_last(image, C / VECTOR) * VECTOR;
        const int w = take_last(image, W) + PW, h = take_last(image, H) + PH;
        const Span rows = windows_over(h, KH, SH, DH, OH), cols = windows_over(w, KW, SW, DW, OW);
        Values total = {};
#pragma unroll 1
        for (int oh = rows.first; oh < rows.end; oh++) {
            if ((h - oh * SH) / DH * DH != h - oh * SH) continue;
            const int counted_rows = taps_counted(oh * SH - PH, PH, KH, DH, H, HC);
#pragma unroll 1
            for (int ow = cols.first; ow < cols.end; ow++) {
                if ((w - ow * SW) / DW * DW != w - ow * SW) continue;
                const T counted = (T)(counted_rows * taps_counted(ow * SW - PW, PW, KW, DW, W, WC));
                const Values d = load_pack<VECTOR>(dy + ((image * OH + oh) * OW + ow) * C + c);
#pragma unroll
                for (int v = 0; v < VECTOR; v++) total.at[v] += d.at[v] / counted;
            }
        }
        store_pack(dx + i * VECTOR, total);
    }
}
