// What the GPU's float units reach at most: CHAINS independent multiply-adds in every thread, nothing from memory.
// They are summed and stored so that no compiler can leave them out.

extern "C" __global__ void fma_loop(T *sums, T a, T b, int iterations) {
    T x[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++) x[i] = (T)(threadIdx.x + i);
#pragma unroll 4
    for (int n = 0; n < iterations; n++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) x[i] = fma(x[i], a, b);
    }
    T sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += x[i];
    sums[first_element()] = sum;
}
