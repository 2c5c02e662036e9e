// The parts of sums that several blocks have computed side by side, added in a fixed order.
//
//     c[i] = activate(bias[i mod columns] + sum over p of parts[p, i]),   i < n
//     sums[i] = sum over p of parts[p, n + i],                            i < rows
//
// parts [count, n + rows]; block (x, y): thread (x, y) adds element x of the parts y, y + blockDim.y, ..., then y = 0 adds
// what the others have found, in their order. Neighbours in x read neighbours in memory.
#include "activation.cuh"

extern "C" __global__ void sum_parts(T *c, T *sums, const T *__restrict__ parts, const T *__restrict__ bias, int count,
                                     int columns, int rows, index_t n) {
    __shared__ T found[256];
    const index_t each = n + rows, i = (index_t)blockIdx.x * blockDim.x + threadIdx.x;
    T sum = 0;
    if (i < each) {
#pragma unroll 4
        for (int p = threadIdx.y; p < count; p += blockDim.y) sum += parts[p * each + i];
    }
    found[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= each) return;
    for (int y = 1; y < blockDim.y; y++) sum += found[y * blockDim.x + threadIdx.x];
    if (i >= n)
        sums[i - n] = sum;
    else
        c[i] = activate(bias ? sum + bias[i % columns] : sum, (T)0.01);
}
