// Activations and dropout, element by element; arrays are flat, in the order of memory.
//
//     relu        y = 0 if x <= 0 else x              dx = 0 if y <= 0 else dy
//     leaky_relu  y = slope x if x < 0 else x         dx = slope dy if y < 0 else dy
//     sigmoid     y = 1 / (1 + exp(-x))               dx = dy y (1 - y)
//     tanh        y = tanh(x)                         dx = dy (1 - y^2)
//     dropout     y = x / (1 - p) where u(i) >= p, else 0
//
// A thread takes PACK neighbours at once: `packs` of them where every array begins at 16 bytes, else none; the rest one
// by one. `y` may be `x`. exp and tanh are CUDA's own of T: expf and tanhf in float, off by at most 2 units in the last
// place, exp by 1 and tanh by 2 in double (CUDA C++ Programming Guide, Mathematical Functions).
//
// u(i) is splitmix64 (Steele, Lea & Flood 2014) in counter mode: the draw for element i is a function of seed and i, bit
// for bit that of the CPU. The seed lies in device memory, so that a CUDA graph draws anew at every replay.
//
// Floor: two (backward: three) arrays over the memory's bandwidth.
#include "activation.cuh"

#define PACK 4
typedef Pack<T, PACK> Values;

extern "C" __global__ void activation_forward(T *y, const T *x, T slope, index_t packs, index_t n) {
    for (index_t i = first_element(); i < packs; i += all_threads()) {
        Values v = load_pack<PACK>(x + PACK * i);
#pragma unroll
        for (int j = 0; j < PACK; j++) v.at[j] = activate(v.at[j], slope);
        store_pack(y + PACK * i, v);
    }
    for (index_t i = PACK * packs + first_element(); i < n; i += all_threads()) y[i] = activate(x[i], slope);
}

extern "C" __global__ void activation_backward(T *dx, const T *dy, const T *y, T slope, index_t packs, index_t n) {
    for (index_t i = first_element(); i < packs; i += all_threads()) {
        Values d = load_pack<PACK>(dy + PACK * i);
        const Values v = load_pack<PACK>(y + PACK * i);
#pragma unroll
        for (int j = 0; j < PACK; j++) d.at[j] = differentiate(d.at[j], v.at[j], slope);
        store_pack(dx + PACK * i, d);
    }
    for (index_t i = PACK * packs + first_element(); i < n; i += all_threads())
        dx[i] = differentiate(dy[i], y[i], slope);
}

typedef unsigned long long Draw;

// Whether the upper 24 bits of the i-th draw reach the threshold.
__device__ __forceinline__ bool is_kept(Draw seed, index_t i, int threshold) {
    Draw z = seed + (Draw)(i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (int)((z ^ (z >> 31)) >> 40) >= threshold;
}

extern "C" __global__ void dropout(T *y, const T *x, const Draw *seed, T scale, int threshold, index_t packs,
                                   index_t n) {
    const Draw s = *seed;
    for (index_t i = first_element(); i < packs; i += all_threads()) {
        Values v = load_pack<PACK>(x + PACK * i);
#pragma unroll
        for (int j = 0; j < PACK; j++) v.at[j] = is_kept(s, PACK * i + j, threshold) ? scale * v.at[j] : (T)0;
        store_pack(y + PACK * i, v);
    }
    for (index_t i = PACK * packs + first_element(); i < n; i += all_threads())
        y[i] = is_kept(s, i, threshold) ? scale * x[i] : (T)0;
}
