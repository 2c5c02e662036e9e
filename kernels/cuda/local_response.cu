// Local response normalisation (Krizhevsky, Sutskever & Hinton 2012, section 3.3), forward and backward.
//
//     d[c]  = k + factor * sum over j of x[j]^2          j = c - before .. c + after, as far as there are channels
//     y[c]  = x[c] d[c]^-beta
//     dx[c] = dy[c] d[c]^-beta - 2 beta factor x[c] * sum over j of s[j]
//     s[j]  = dy[j] x[j] d[j]^-beta / d[j]               j = c - after .. c + before, those whose windows meet c
//
// Arrays are flat [rows, C], a row the channels of one pixel. A thread makes one element; its window lies in the first
// cache. In backward a block makes blockDim.x neighbouring elements, from pixel to pixel: it computes the shares s of
// these and of the `after` before and `before` behind them once, into shared memory. Sums are in the order of channels.
//
// Registers on sm_90, float: forward 26, backward 31; nothing spilled on sm_75 to sm_120.
// Floor: two (backward: three) arrays over the memory's bandwidth.

// k + factor * the sum of the squares in the window of element i, which is channel c.
__device__ __forceinline__ T denominator(const T *x, index_t i, int c, int C, int before, int after, T factor, T k) {
    T sum = 0;
    for (int j = max(-before, -c); j <= min(after, C - 1 - c); j++) sum += x[i + j] * x[i + j];
    return k + factor * sum;
}

__device__ __forceinline__ int channel_of(index_t i, int C) { return take_last(i, C); }

extern "C" __global__ void local_response_norm_forward(T *__restrict__ y, const T *__restrict__ x, int C, int before,
                                                       int after, T factor, T k, T beta, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads())
        y[i] = x[i] * pow(denominator(x, i, channel_of(i, C), C, before, after, factor, k), -beta);
}

extern "C" __global__ void local_response_norm_backward(T *__restrict__ dx, const T *__restrict__ dy,
                                                        const T *__restrict__ x, int C, int before, int after,
                                                        T factor, T k, T beta, index_t n) {
    T *shares = shared_memory<T>();  // of the elements start - after .. start + blockDim.x + before - 1
    const int size = blockDim.x, around = size + before + after;
    for (index_t start = (index_t)blockIdx.x * size; start < n; start += (index_t)gridDim.x * size) {
        for (int s = threadIdx.x; s < around; s += size) {
            const index_t i = start - after + s;
            T share = 0;
            if (i >= 0 && i < n) {
                const T d = denominator(x, i, channel_of(i, C), C, before, after, factor, k);
                share = dy[i] * x[i] * pow(d, -beta) / d;
            }
            shares[s] = share;
        }
        __syncthreads();
        const index_t i = start + threadIdx.x;
        if (i < n) {
            const int c = channel_of(i, C);
            T sum = 0;
            for (int j = max(-after, -c); j <= min(before, C - 1 - c); j++) sum += shares[after + threadIdx.x + j];
            const T d = denominator(x, i, c, C, before, after, factor, k);
            dx[i] = dy[i] * pow(d, -beta) - 2 * beta * factor * x[i] * sum;
        }
        __syncthreads();
    }
}
