// One tile of a matrix product, computed by one block:
//
//     sum[m, n] = sum over k of A[m, k] B[k, n],    BM x BN of them
//
// Constants: BM, BN, BK the tile and its steps along k; TM x TN what one thread sums in registers; VEC how many
// neighbours of memory are read at once, 4 where every four of them start at 16 bytes and never straddle an edge, else 1.
//
// A step brings BK columns of A and BK rows of B to shared memory, where both lie along m or n, while the step before is
// being multiplied: two stages, one barrier a step. An operand is a source that says where its elements are:
//
//     place(part, position)   once: `position` along m or n
//     at(k)                   every step
//     has(part)               whether there is an element (position, k); it counts as zero where there is none
//     address(part)           where it is, if there is one
//
// Source::ALONG_K says that neighbours in memory follow each other along k: such elements are turned on their way
// through registers. Others take the way of asynchronous copies, from sm_80 up (ASYNC).
//
// Lanes of a warp stand 4 x 8 over the tile, so that one read from shared memory serves 8 or 4 of them; a thread's rows
// and columns come in fours, spread evenly over the tile, so that what neighbours read lies in different banks. Rows in
// shared memory are 4 elements longer than the tile: what a warp turns and writes meets each bank once at BK = 8 and
// twice at BK = 16.
//
// On sm_90 (NVRTC 13.5, read from the binaries; no kernel spills a register on sm_75 .. sm_120 in float):
//
//     tile, sums a thread    threads  shared bytes  registers: product, forward, data, weight
//     128 x 128 x 8,  8 x 8      256         16896        127      125     128     127
//     128 x 64 x 8,   8 x 8      128         12800        128      147     147     139
//     64 x 64 x 8,    8 x 4      128          8704         93      105     109      95
//     128 x 32 x 16,  8 x 4      128         21504        105      123     127     117
//     32 x 32 x 16,   4 x 4       64          9216         80       95      95      88
//
// Ladder: share of multiplications among the instructions of a step, 128 x 128 tile on sm_90.
//
//     a null pointer for "no element", tested on 64 bits    forward 78 %  data 76 %  weight 77 %  product 82 %
//     has() and address() apart: no selects, no tests               81 %       79 %         80 %          85 %
//
// Tried: BK = 16 for this tile gives 84 % forward, but spills 72 bytes in backward_data at 128 registers.
#include "activation.cuh"
#include "division.cuh"

#define THREADS (BM / TM * (BN / TN))
#define BLOCKS (THREADS == 128 && TM * TN == 64 ? 3 : 512 / THREADS)  // on a processor: 168 or 128 registers a thread
#define SLOTS(WIDTH) (WIDTH * BK / 4 / THREADS)  // fours that a thread brings in a step, of an operand WIDTH wide
#define PAD 4

#if defined(FASTCONV_EMULATOR) || __CUDA_ARCH__ >= 800
#ifndef ASYNC
#define ASYNC 1
#endif
#else
#define ASYNC 0
#endif
#if __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200
#define UNROLL BK
#else
#define UNROLL 2  // more, and these spill registers
#endif

typedef Pack<T, 4> Four;

__shared__ __align__(16) T shared_a[2][BK][BM + PAD];
__shared__ __align__(16) T shared_b[2][BK][BN + PAD];

// Rows first .. last - 1 of a matrix [.., end]; the steps are its columns.
template <int PARTS> struct MatrixRows {
    static constexpr bool ALONG_K = true;
    const T *matrix;
    int first, last, end, k, row[PARTS];

    __device__ MatrixRows(const T *matrix, int first, int last, int end)
        : matrix(matrix), first(first), last(last), end(end) {}
    __device__ void place(int part, int position) { row[part] = first + position; }
    __device__ void at(int now) { k = now; }
    __device__ bool has(int part) const { return row[part] < last && k < end; }
    __device__ const T *address(int part) const { return matrix + ((index_t)row[part] * end + k); }
};

// Columns first .. last - 1 of a matrix [end, pitch]; the steps are its rows.
struct MatrixColumns {
    static constexpr bool ALONG_K = false;
    const T *matrix;
    int first, last, pitch, end, k, column;

    __device__ MatrixColumns(const T *matrix, int first, int last, int pitch, int end)
        : matrix(matrix), first(first), last(last), pitch(pitch), end(end) {}
    __device__ void place(int part, int position) { column = first + position - part; }
    __device__ void at(int now) { k = now; }
    __device__ bool has(int part) const { return k < end && column + part < last; }
    __device__ const T *address(int part) const { return matrix + ((index_t)k * pitch + (column + part)); }
};

// An operand on its way from memory to shared memory, WIDTH positions of it in a block.
template <class Source, int WIDTH> struct Operand {
    static constexpr int SLOTS = SLOTS(WIDTH);
    static constexpr bool ALONG_K = Source::ALONG_K;
    static constexpr bool DIRECT = ASYNC && !ALONG_K && VEC == 4;
    static constexpr int RUN = ALONG_K ? BK / 4 : WIDTH / 4;  // fours that lie side by side
    static_assert(SLOTS * 4 * THREADS == WIDTH * BK && THREADS % RUN == 0, "threads do not share the tile evenly");

    Source source;
    Four staged[SLOTS];

    __device__ Operand(const Source &from, int first) : source(from) {
        if constexpr (ALONG_K)
            for (int s = 0; s < SLOTS; s++) source.place(s, first + line(s));
        else
            for (int q = 0; q < 4; q += VEC) source.place(q / VEC, first + beside() + q);
    }

    // Begins to bring step `k`.
    __device__ __forceinline__ void fetch(int k, T (*tile)[WIDTH + PAD]) {
        if constexpr (ALONG_K) {
#pragma unroll
            for (int q = 0; q < 4; q += VEC) {
                source.at(k + beside() + q);
#pragma unroll
                for (int s = 0; s < SLOTS; s++) stage(s, q, source.has(s), source.address(s));
            }
        } else {
#pragma unroll
            for (int s = 0; s < SLOTS; s++) {
                source.at(k + line(s));
#pragma unroll
                for (int q = 0; q < 4; q += VEC) {
                    if constexpr (DIRECT)
                        copy(tile[line(s)] + beside(), source.has(0), source.address(0));
                    else
                        stage(s, q, source.has(q / VEC), source.address(q / VEC));
                }
            }
        }
    }

    // Puts what fetch has staged in its place.
    __device__ __forceinline__ void store(T (*tile)[WIDTH + PAD]) const {
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            if constexpr (ALONG_K) {
#pragma unroll
                for (int q = 0; q < 4; q++) tile[beside() + q][line(s)] = staged[s].at[q];
            } else if constexpr (!DIRECT) {
                store_pack(tile[line(s)] + beside(), staged[s]);
            }
        }
    }

private:
    __device__ static int beside() { return threadIdx.x % RUN * 4; }                    // along memory
    __device__ static int line(int slot) { return threadIdx.x / RUN + slot * (THREADS / RUN); }  // across it

    __device__ __forceinline__ void stage(int slot, int q, bool there, const T *from) {
        Pack<T, VEC> x = {};
        if (there) x = load_pack<VEC>(from);
#pragma unroll
        for (int i = 0; i < VEC; i++) staged[slot].at[q + i] = x.at[i];
    }

    __device__ __forceinline__ static void copy(T *to, bool there, const T *from) {
        constexpr int N = 16 / sizeof(T);
#pragma unroll
        for (int i = 0; i < 4; i += N)
            copy_async(reinterpret_cast<Pack<T, N> *>(to + i), reinterpret_cast<const Pack<T, N> *>(from + i), there);
    }
};

// Where this thread's sums stand in the tile: 4 neighbours, then 4 more one STEP further, ...
struct Place {
    static constexpr int ACROSS = BN / TN, WARPS_ACROSS = ACROSS / 8;
    static constexpr int STEP_M = BM / TM * 4, STEP_N = ACROSS * 4;
    int m, n;

    __device__ Place() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        m = (warp / WARPS_ACROSS * 4 + lane / 8) * 4;
        n = (warp % WARPS_ACROSS * 8 + lane % 8) * 4;
    }
    __device__ int row(int i) const { return m + i / 4 * STEP_M + i % 4; }
    __device__ int column(int j) const { return n + j / 4 * STEP_N + j % 4; }
};

__device__ __forceinline__ void multiply_step(T (&sum)[TM][TN], const T (*a)[BM + PAD], const T (*b)[BN + PAD],
                                              Place at) {
#pragma unroll UNROLL
    for (int k = 0; k < BK; k++) {
        Four left[TM / 4], right[TN / 4];
#pragma unroll
        for (int i = 0; i < TM; i += 4) left[i / 4] = load_pack<4>(a[k] + at.row(i));
#pragma unroll
        for (int j = 0; j < TN; j += 4) right[j / 4] = load_pack<4>(b[k] + at.column(j));
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++) sum[i][j] += left[i / 4].at[i % 4] * right[j / 4].at[j % 4];
    }
}

// sum += A B over the steps from k = first to below `end`. With `totals`, thread m < BM also adds the m-th row of A to
// `total`. All threads of the block take part.
template <class A, class B>
__device__ __forceinline__ void multiply(T (&sum)[TM][TN], Operand<A, BM> &a, Operand<B, BN> &b, int first, int end,
                                         T &total, bool totals) {
    const Place at;
    a.fetch(first, shared_a[0]);
    b.fetch(first, shared_b[0]);
    copies_commit();
    a.store(shared_a[0]);
    b.store(shared_b[0]);
    copies_wait<0>();
    __syncthreads();
    int stage = 0;
    for (int k = first; k < end; k += BK, stage ^= 1) {
        const bool more = k + BK < end;
        if (more) {
            a.fetch(k + BK, shared_a[stage ^ 1]);
            b.fetch(k + BK, shared_b[stage ^ 1]);
            copies_commit();
        }
        multiply_step(sum, shared_a[stage], shared_b[stage], at);
        if (totals && threadIdx.x < BM)
            for (int i = 0; i < BK; i++) total += shared_a[stage][i][threadIdx.x];
        if (more) {
            a.store(shared_a[stage ^ 1]);
            b.store(shared_b[stage ^ 1]);
            copies_wait<0>();
        }
        __syncthreads();
    }
}

// Whether rows that start at `first`, `pitch` elements apart, can be written in fours.
__device__ __forceinline__ bool in_fours(const T *first, index_t pitch) {
    return ((size_t)first | (size_t)(pitch * sizeof(T))) % 16 == 0;
}

// out.row(m)[n] = activate(sum + bias[n]) for this thread's sums with m < rows and n < columns; the tile starts at
// (m0, n0). `bias` may be null.
template <class Rows>
__device__ __forceinline__ void write_tile(const Rows &out, bool fours, const T *bias, const T (&sum)[TM][TN], int m0,
                                           int n0, int rows, int columns) {
    const Place at;
#pragma unroll
    for (int j = 0; j < TN; j += 4) {
        const int n = n0 + at.column(j);
        Four start = {};
        for (int q = 0; q < 4; q++)
            if (bias && n + q < columns) start.at[q] = bias[n + q];
#pragma unroll
        for (int i = 0; i < TM; i++) {
            const int m = m0 + at.row(i);
            if (m >= rows) continue;
            Four y;
#pragma unroll
            for (int q = 0; q < 4; q++) y.at[q] = activate(sum[i][j + q] + start.at[q], (T)0.01);
            T *to = out.row(m) + n;
            if (fours && n + 4 <= columns) {
                store_pack(to, y);
            } else {
#pragma unroll
                for (int q = 0; q < 4; q++)
                    if (n + q < columns) to[q] = y.at[q];
            }
        }
    }
}

// Rows of a matrix whose first is `first`.
struct PlainRows {
    T *first;
    index_t pitch;
    __device__ T *row(int m) const { return first + m * pitch; }
};

// Which of the tiles of an M x N product is number `tile`: neighbours share their rows.
struct TileOrigin {
    int m, n;
    __device__ TileOrigin(int tile, int N) {
        const int across = (N + BN - 1) / BN;
        m = tile / across * BM;
        n = tile % across * BN;
    }
};
