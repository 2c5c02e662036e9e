// A tile of C = A B on the matrix units: what the kernels of *_mma.cu share. They differ in where A and B come from.
//
// A block computes BM x BN of C in steps of BK along k, two warps deep; a warp owns BM / 2 rows and WARP_N
// columns. STAGES tiles of A and B lie in shared memory: while one is multiplied, asynchronous copies fill the next
// ones. `lines` are the rows of A and the columns of B.
//
// In shared memory a tile lies as its array does, along k [lines][BK] or across it [BK][lines]. What the lanes of one
// access read lies 32 floats apart or a multiple of it, so places are exchanged: chunks of four floats with those of
// other k (along), or eights of lines (across). Then every access, read or written, meets each of the 32 banks once in
// 128 bytes: no conflicts.
//
// Shared memory of a block: 98,304 bytes at 128 x 128, 73,728 at 128 x 64, 49,152 at 64 x 64, and up to 24 bytes a row
// for tables; the most together, 101,376 bytes, is what sm_86, sm_89 and sm_120 give a block.
//
// Ladder: instructions of one step in the machine code for sm_90 (gemm, tf32, 128 x 128, both arrays along k), of which
// 64 are HMMA.
//   16 bytes along k in one read, rounded in registers          736   a fragment's registers must be neighbours, but
//                                                                     values are rounded where they were read: moves
//   cvt.rn.tf32, which is one instruction on sm_90              672
//   ldmatrix and 8-byte reads bring fragments as they go in     334   no moves
//   the two slices of 16 one after the other                    386   124 registers instead of 160: two blocks of 256
//                                                                     threads on a processor instead of one
//   arrays across k: the exchange worked out outside the slices       a slice takes 134 instead of 246
// Tried: 3 x tf32 with both slices at once spills up to 48 bytes at 255 registers.
#include "mma.cuh"

#define BK 32
#define STAGES 3
#if PRECISION >= BFLOAT16 && BN == 128
#define WARP_N 64
#else
#define WARP_N 32
#endif
#define WARPS_N (BN / WARP_N)
#define THREADS (64 * WARPS_N)
#define ROWS_16 (BM / 32)  // of a warp
#define COLUMNS_8 (WARP_N / 8)
#define TILE_A (BM * BK)
#define TILE_B (BN * BK)

// Threads on a processor: 512 leave each 128 registers, 384 leave 168, 256 leave 255. Only sm_90 has both the shared
// memory for two of the largest blocks and a compiler that keeps them within 128.
#if PRECISION == TF32X3 || PACK == 1 || (PRECISION >= BFLOAT16 && BM == 128)
#define RESIDENT 256
#elif PRECISION == TF32 && __CUDA_ARCH__ == 900
#define RESIDENT 512
#else
#define RESIDENT 384
#endif
#define BLOCKS (RESIDENT / THREADS)

__device__ __forceinline__ int place_along(int line, int k) { return line * BK + (k ^ (line % 8 ^ line / 8 % 2) * 4); }
template <int LINES> __device__ __forceinline__ int place_across(int line, int k) {
    return k * LINES + (line ^ k % 4 * 8);
}

// Asks for LINES lines of an array whose lines lie along k, `stride` apart; `lines` and `depth` are left of it.
template <int LINES>
__device__ __forceinline__ void fetch_along(float *tile, const float *from, int stride, int lines, int depth) {
    const int k = threadIdx.x % (BK / PACK) * PACK;
#pragma unroll
    for (int i = 0; i < LINES * BK / PACK / THREADS; i++) {
        const int line = threadIdx.x / (BK / PACK) + i * (THREADS * PACK / BK);
        const bool inside = line < lines && k < depth;
        copy_async((Pack<float, PACK> *)(tile + place_along(line, k)),
                   (const Pack<float, PACK> *)(inside ? from + (index_t)line * stride + k : from), inside);
    }
}

// The same where lines lie next to each other and steps of k are `stride` apart.
template <int LINES>
__device__ __forceinline__ void fetch_across(float *tile, const float *from, int stride, int lines, index_t depth) {
    const int line = threadIdx.x % (LINES / PACK) * PACK;
#pragma unroll
    for (int i = 0; i < LINES * BK / PACK / THREADS; i++) {
        const int k = threadIdx.x / (LINES / PACK) + i * (THREADS * PACK / LINES);
        const bool inside = line < lines && k < depth;
        copy_async((Pack<float, PACK> *)(tile + place_across<LINES>(line, k)),
                   (const Pack<float, PACK> *)(inside ? from + (index_t)k * stride + line : from), inside);
    }
}

// Rows `row` .. row + 15 of a tile of A, 16 places of k: row 2g + i of them is row g + 8i of the instruction.
template <bool ALONG> __device__ __forceinline__ Left read_left(const float *tile, int row, int k) {
    const int lane = threadIdx.x % WARP;
    float x[2][4];
#pragma unroll
    for (int half = 0; half < 2; half++)
        if (ALONG) {
            const int line = row + lane % 8 * 2 + lane / 8 % 2;
            load_matrices(x[half], tile + place_along(line, k + 8 * half + lane / 16 * 4));
        } else {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float *const from = tile + (k + 8 * half + 4 * i) * BM;
                const auto rows = load_pack<2>(from + place_across<BM>(row + lane / 4 * 2, lane % 4));
                x[half][2 * i] = rows.at[0];
                x[half][2 * i + 1] = rows.at[1];
            }
        }
    return converted(x);
}

// Columns `column` .. column + 15 of a tile of B, 16 places of k.
template <bool ALONG>
__device__ __forceinline__ void read_right(Right (&right)[2], const float *tile, int column, int k) {
    const int lane = threadIdx.x % WARP;
    float x[2][2][2];  // [eight columns][half of k][register]
#pragma unroll
    for (int half = 0; half < 2; half++)
        if (ALONG) {
            const int line = column + lane / 16 * 8 + lane % 8;
            float y[4];
            load_matrices(y, tile + place_along(line, k + 8 * half + lane / 8 % 2 * 4));
#pragma unroll
            for (int i = 0; i < 4; i++) x[i / 2][half][i % 2] = y[i];
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *const from = tile + (k + 8 * half + i % 2 * 4) * BN;
                x[i / 2][half][i % 2] = from[place_across<BN>(column + i / 2 * 8 + lane / 4, lane % 4)];
            }
        }
#pragma unroll
    for (int j = 0; j < 2; j++) right[j] = converted(x[j]);
}

// A thread's share of C: row 16 * tile + 2g + r / 2 of its warp's and column 8 * j + 2t + r % 2.
struct Sums {
    float at[ROWS_16][COLUMNS_8][4];  // [tile][j][r]
};

template <bool A_ALONG, bool B_ALONG>
__device__ __forceinline__ void multiply_tiles(Sums &sums, const float *a, const float *b) {
    const int warp = threadIdx.x / WARP, row = warp / WARPS_N * (BM / 2), column = warp % WARPS_N * WARP_N;
#pragma unroll 1  // both slices at once take the registers of a second block
    for (int k = 0; k < BK; k += 16) {
        Right right[COLUMNS_8 / 2][2];
#pragma unroll
        for (int j = 0; j < COLUMNS_8 / 2; j++) read_right<B_ALONG>(right[j], b, column + 16 * j, k);
#pragma unroll
        for (int tile = 0; tile < ROWS_16; tile++) {
            const Left left = read_left<A_ALONG>(a, row + 16 * tile, k);
#pragma unroll
            for (int j = 0; j < COLUMNS_8; j++) multiply(sums.at[tile][j], left, right[j / 2][j % 2]);
        }
    }
}

// The sum of one row of the tile of A, lying across k; in the order of k.
__device__ __forceinline__ float sum_row(const float *a, int row) {
    float sum = 0;
#pragma unroll 8
    for (int k = 0; k < BK; k++) sum += a[place_across<BM>(row, k)];
    return sum;
}

// sums = A B over `steps` steps of k. operands.fetch(a, b) asks for the next tiles. With `row_sums`, where A lies
// across k, the result is the sum of a row of A in each of the first BM threads; else 0.
template <bool A_ALONG, bool B_ALONG, typename Operands>
__device__ __forceinline__ float accumulate(Sums &sums, Operands &operands, int steps, bool row_sums = false) {
    float *const stages = shared_memory<float>();
    sums = {};
    float row_sum = 0;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        __syncthreads();
        if (s < steps) operands.fetch(stages + s * (TILE_A + TILE_B), stages + s * (TILE_A + TILE_B) + TILE_A);
        copies_commit();
    }
    int now = 0, next = STAGES - 1;
    for (int s = 0; s < steps; s++) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        float *const ahead = stages + next * (TILE_A + TILE_B);
        if (s + STAGES - 1 < steps) operands.fetch(ahead, ahead + TILE_A);
        copies_commit();
        const float *const a = stages + now * (TILE_A + TILE_B);
        multiply_tiles<A_ALONG, B_ALONG>(sums, a, a + TILE_A);
        if (!A_ALONG && row_sums && threadIdx.x < BM) row_sum += sum_row(a, threadIdx.x);
        now = now + 1 == STAGES ? 0 : now + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
    return row_sum;
}

// Registers r and r + 1 of every eight columns.
__device__ __forceinline__ void store_row(
    float *to, const float (&sums)[COLUMNS_8][4], int r, const Pack<float, 2> (&added)[COLUMNS_8], int columns
) {
    const bool whole = (size_t)to % sizeof(Pack<float, 2>) == 0;
#pragma unroll
    for (int j = 0; j < COLUMNS_8; j++) {
        Pack<float, 2> y;
#pragma unroll
        for (int i = 0; i < 2; i++) y.at[i] = activate(sums[j][r + i] + added[j].at[i], 0.01f);
        if (whole && 8 * j + 2 <= columns)
            store_pack<2>(to + 8 * j, y);
        else
#pragma unroll
            for (int i = 0; i < 2; i++)
                if (8 * j + i < columns) to[8 * j + i] = y.at[i];
    }
}

// act(C + bias) to memory: row_at(row of the tile) points to the tile's first column there, or is null; `columns` are
// left of the row. bias may be null.
template <typename RowAt>
__device__ __forceinline__ void store(const Sums &sums, RowAt row_at, const float *bias, int columns) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int first_row = warp / WARPS_N * (BM / 2) + lane / 4 * 2, first = warp % WARPS_N * WARP_N + lane % 4 * 2;
    Pack<float, 2> added[COLUMNS_8];
#pragma unroll
    for (int j = 0; j < COLUMNS_8; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) added[j].at[i] = bias && first + 8 * j + i < columns ? bias[first + 8 * j + i] : 0;
#pragma unroll
    for (int row = 0; row < 2 * ROWS_16; row++) {
        float *const to = row_at(first_row + row / 2 * 16 + row % 2);
        if (to) store_row(to + first, sums.at[row / 2], row % 2 * 2, added, columns - first);
    }
}
