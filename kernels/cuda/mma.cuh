// The matrix units (tensor cores, from sm_80 on): one function for each instruction, and products of fragments in the
// precision that -D PRECISION chooses. Memory and sums are float32 in all of them.
//
// What lane 4 * g + t of a warp holds of A [16, k], B [k, 8] and C [16, 8] (PTX ISA, "Matrix fragments for mma.m16n8k8"
// and "... for mma.m16n8k16 with floating point type"); two elements in a register stand next to each other along k:
//   m16n8k8, tf32:      a0 (g, t)     a1 (g+8, t)     a2 (g, t+4)     a3 (g+8, t+4)     b0 (t, g)     b1 (t+4, g)
//   m16n8k16, 16 bits:  a0 (g, 2t..)  a1 (g+8, 2t..)  a2 (g, 2t+8..)  a3 (g+8, 2t+8..)  b0 (2t.., g)  b1 (2t+8.., g)
//   both:               c0, c1 (g, 2t..)              c2, c3 (g+8, 2t..)
// The order of k inside an instruction is free as long as A and B agree on it. Here lane t always takes the elements t,
// t+4, t+8 and t+12 of a slice of 16: those of two tf32 instructions, or the pairs of one of 16 bits.

#define TF32 0
#define TF32X3 1
#define BFLOAT16 2
#define FLOAT16 3
#ifndef PRECISION
#define PRECISION TF32
#endif

#ifndef FASTCONV_EMULATOR
// 10 bits of mantissa instead of 23. Ties go to even from sm_90 on, where that is one instruction, and away from zero
// below, where only that rounding exists and takes four.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits;
#if __CUDA_ARCH__ >= 900
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
#else
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
#endif
    return bits;
}
// Two elements in a register, ties to even: `low` in the lower half.
__device__ __forceinline__ unsigned to_bfloat16(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}
__device__ __forceinline__ unsigned to_float16(float low, float high) {
    unsigned bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

// Four matrices of 8 lines, 16 bytes each, from shared memory: lane i gives the address of line i % 8 of matrix i / 8
// and receives element t of line g of each matrix (PTX ISA, "ldmatrix"; its pairs of 16 bits are our floats).
__device__ __forceinline__ void load_matrices(float (&x)[4], const float *line) {
    const unsigned at = (unsigned)__cvta_generic_to_shared(line);
    unsigned bits[4];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits[0]), "=r"(bits[1]), "=r"(bits[2]), "=r"(bits[3]) : "r"(at));
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = __uint_as_float(bits[i]);
}

// c += a b over the whole warp; volatile, so that no compiler moves it to where only some of the lanes come.
#define MMA(NAME, SHAPE, TYPE)                                                                                  \
    __device__ __forceinline__ void NAME(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {       \
        asm volatile("mma.sync.aligned." SHAPE ".row.col.f32." TYPE "." TYPE ".f32 "                            \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                          \
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                           \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                       \
    }
MMA(mma_tf32, "m16n8k8", "tf32")
MMA(mma_bfloat16, "m16n8k16", "bf16")
MMA(mma_float16, "m16n8k16", "f16")
#undef MMA
#endif

// A [16 rows, 16 of k] and B [16 of k, 8 columns] as the unit takes them, from float fragments [half of k][register].
#if PRECISION == TF32X3
template <int N> struct Split {
    unsigned big[2][N], small[2][N];  // x = big + small up to 2^-22
};
typedef Split<4> Left;
typedef Split<2> Right;
template <int N> __device__ __forceinline__ Split<N> converted(const float (&x)[2][N]) {
    Split<N> s;
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < N; i++) {
            s.big[k][i] = to_tf32(x[k][i]);
            s.small[k][i] = to_tf32(x[k][i] - __uint_as_float(s.big[k][i]));
        }
    return s;
}
#elif PRECISION == TF32
template <int N> struct Whole {
    unsigned at[2][N];
};
typedef Whole<4> Left;
typedef Whole<2> Right;
template <int N> __device__ __forceinline__ Whole<N> converted(const float (&x)[2][N]) {
    Whole<N> w;
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < N; i++) w.at[k][i] = to_tf32(x[k][i]);
    return w;
}
#else
template <int N> struct Pairs {
    unsigned at[N];
};
typedef Pairs<4> Left;
typedef Pairs<2> Right;
template <int N> __device__ __forceinline__ Pairs<N> converted(const float (&x)[2][N]) {
    Pairs<N> p;
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < N / 2; i++)
#if PRECISION == BFLOAT16
            p.at[k * N / 2 + i] = to_bfloat16(x[k][i], x[k][i + N / 2]);
#else
            p.at[k * N / 2 + i] = to_float16(x[k][i], x[k][i + N / 2]);
#endif
    return p;
}
#endif

// c += left right.
__device__ __forceinline__ void multiply(float (&c)[4], const Left &left, const Right &right) {
#if PRECISION == TF32
    mma_tf32(c, left.at[0], right.at[0]);
    mma_tf32(c, left.at[1], right.at[1]);
#elif PRECISION == TF32X3
    // The unit cuts its sums off instead of rounding them (Fasi, Higham, Mikaitis & Pranesh 2021, PeerJ CS 7:e330): it
    // only sums 16 places from zero, ordinary additions do the rest (Ootomo & Yokota 2022, arXiv 2203.03341).
    float sum[4] = {0, 0, 0, 0};
    mma_tf32(sum, left.small[0], right.big[0]);
    mma_tf32(sum, left.small[1], right.big[1]);
    mma_tf32(sum, left.big[0], right.small[0]);
    mma_tf32(sum, left.big[1], right.small[1]);
    mma_tf32(sum, left.big[0], right.big[0]);
    mma_tf32(sum, left.big[1], right.big[1]);
#pragma unroll
    for (int i = 0; i < 4; i++) c[i] += sum[i];
#elif PRECISION == BFLOAT16
    mma_bfloat16(c, left.at, right.at);
#else
    mma_float16(c, left.at, right.at);
#endif
}
