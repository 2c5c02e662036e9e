// The matrix units on the CPU: stand-ins for the instructions that kernels/cuda/mma.cuh wraps.
//
// All lanes of a warp lay down their fragments; each then computes its own four sums. Inputs are rounded as the GPU
// rounds them. Products and their sum are taken in double and cut off, not rounded, to float: the way in which real
// units add differs in details from one GPU to the next, but they cut off (Fasi, Higham, Mikaitis & Pranesh 2021, PeerJ
// CS 7:e330), so errors measured here are no better than theirs.
#pragma once

inline unsigned to_tf32(float x) {
    const unsigned bits = __float_as_uint(x);
    return std::isfinite(x) ? (bits + 0x1000) & 0xffffe000 : std::isnan(x) ? 0x7fffe000 : bits;
}

inline unsigned bfloat16_bits(float x) {
    const unsigned bits = __float_as_uint(x);
    return std::isnan(x) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline unsigned float16_bits(float x) {
    unsigned short bits;
    const _Float16 half = (_Float16)x;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}
inline unsigned to_bfloat16(float low, float high) { return bfloat16_bits(low) | bfloat16_bits(high) << 16; }
inline unsigned to_float16(float low, float high) { return float16_bits(low) | float16_bits(high) << 16; }

namespace emulator {

struct Fragments {
    unsigned a[4], b[2];
};
// Two places in turn: nobody comes back to the first before all have passed the barrier of the second.
static Fragments laid_down[2][1024];
static bool second[1024];

inline const Fragments *exchange(const unsigned (&a)[4], const unsigned (&b)[2]) {
    Fragments *const place = laid_down[second[current] ^= true];
    memcpy(place[current].a, a, sizeof a);
    memcpy(place[current].b, b, sizeof b);
    __syncwarp();
    return place + current - lane();
}

inline float cut_off(double x) {
    const float rounded = (float)x;
    return std::fabs((double)rounded) > std::fabs(x) ? std::nextafter(rounded, 0.0f) : rounded;
}

inline float tf32(unsigned bits, int) { return __uint_as_float(bits & 0xffffe000); }
inline float bfloat16(unsigned bits, int half) { return __uint_as_float(half ? bits & 0xffff0000 : bits << 16); }
inline float float16(unsigned bits, int half) {
    const unsigned short one = half ? bits >> 16 : bits;
    _Float16 x;
    memcpy(&x, &one, sizeof x);
    return (float)x;
}

// c += a b: K places of k, WIDTH elements in a register, value(register, element).
template <int K, int WIDTH, typename Value>
inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Value value) {
    const Fragments *const warp = exchange(a, b);
    for (int i = 0; i < 4; i++) {
        const int row = lane() / 4 + i / 2 * 8, column = lane() % 4 * 2 + i % 2;
        double sum = c[i];
        for (int k = 0; k < K; k++) {
            const int t = k % (K / 2) / WIDTH, late = k >= K / 2;
            const unsigned left = warp[row % 8 * 4 + t].a[row / 8 + 2 * late], right = warp[column * 4 + t].b[late];
            sum += (double)value(left, k % WIDTH) * value(right, k % WIDTH);
        }
        c[i] = cut_off(sum);
    }
}

}  // namespace emulator

inline void load_matrices(float (&x)[4], const float *line) {
    static const float *lines[2][1024];
    static bool second[1024];
    const float **const place = lines[second[emulator::current] ^= true];
    place[emulator::current] = line;
    __syncwarp();
    for (int i = 0; i < 4; i++)
        x[i] = place[emulator::current - emulator::lane() + 8 * i + emulator::lane() / 4][emulator::lane() % 4];
}

inline void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulator::mma<8, 1>(c, a, b, emulator::tf32);
}
inline void mma_bfloat16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulator::mma<16, 2>(c, a, b, emulator::bfloat16);
}
inline void mma_float16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulator::mma<16, 2>(c, a, b, emulator::float16);
}
