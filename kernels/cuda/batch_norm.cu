// Batch normalisation over rows [M, C]: pixels or images, by channels.
//
//     mean  = 1/M sum over m of x[m, c]            var = 1/M sum over m of (x[m, c] - mean)^2
//     y     = act((x - mean) gamma / std + beta)   std = sqrt(var + eps)
//     dbeta = sum over m of dy                     dgamma = sum over m of dy (x - mean) / std
//     dx    = gamma / std (dy - (dbeta + (x - mean) / std dgamma) / M),  or gamma / std dy where mean and var are
//             constants (CONSTANT 1)
//
// Sums: a block takes LANES neighbouring channels of `depth` rows, from which it subtracts the first (forward) or the
// mean (backward), so that a large mean costs no digits; a thread adds every LINES-th row in T, the block its threads in
// double and in their order: parts [blocks, 2, C]. Joining goes over these in the same way (Chan, Golub & LeVeque,
// "Algorithms for computing the sample variance", 1983). Elements: a thread takes VECTOR (1 or 4) channels.
//
// Floor: statistics one array, forward two, backward five over the memory's bandwidth.
#include "activation.cuh"

#ifndef VECTOR
#define VECTOR 1
#endif
#ifndef CONSTANT
#define CONSTANT 0
#endif

#define LANES 32
#define LINES 8
typedef Pack<T, VECTOR> Values;

// The sum over the lines of a block, in their order; every line gets it.
__device__ __forceinline__ double over_lines(double x, double (*shared)[LANES]) {
    shared[threadIdx.y][threadIdx.x] = x;
    __syncthreads();
    x = shared[0][threadIdx.x];
    for (int line = 1; line < LINES; line++) x += shared[line][threadIdx.x];
    __syncthreads();
    return x;
}

// What a thread adds over the rows of its block: p, and p times (x - shift); p is x - shift itself where dy is null.
struct Sums {
    double plain, product;
};
__device__ __forceinline__ Sums sums_of_rows(const T *dy, const T *x, T shift, int c, int C, index_t first,
                                             index_t end) {
    T plain = 0, product = 0;
#pragma unroll 4
    for (index_t m = first + threadIdx.y; m < end; m += LINES) {
        const T d = x[m * C + c] - shift, p = dy ? dy[m * C + c] : d;
        plain += p;
        product += p * d;
    }
    return {(double)plain, (double)product};
}

__device__ __forceinline__ int channel() { return blockIdx.x * LANES + threadIdx.x; }

extern "C" __global__ void batch_norm_moments(double *parts, const T *__restrict__ x, int C, int depth, index_t M) {
    __shared__ double shared[LINES][LANES];
    const int c = channel();
    const index_t first = (index_t)blockIdx.y * depth, end = first + depth < M ? first + depth : M;
    const T shift = c < C ? x[first * C + c] : (T)0;
    Sums sums = {};
    if (c < C) sums = sums_of_rows(nullptr, x, shift, c, C, first, end);
    const double plain = over_lines(sums.plain, shared), product = over_lines(sums.product, shared);
    if (c >= C || threadIdx.y > 0) return;
    const double squares = product - plain * plain / (end - first);
    double *part = parts + (index_t)blockIdx.y * 2 * C + c;
    part[0] = plain + (end - first) * (double)shift;
    part[C] = squares < 0 ? 0 : squares;
}

extern "C" __global__ void batch_norm_join_moments(T *mean, T *var, T *running_mean, T *running_var,
                                                   const double *parts, double momentum, int blocks, int C, int depth,
                                                   index_t M) {
    __shared__ double shared[LINES][LANES];
    const int c = channel();
    double sum = 0, squares = 0;
    for (int b = threadIdx.y; b < blocks && c < C; b += LINES) sum += parts[(index_t)b * 2 * C + c];
    const double m = over_lines(sum, shared) / M;
    for (int b = threadIdx.y; b < blocks && c < C; b += LINES) {
        const double *part = parts + (index_t)b * 2 * C + c;
        const index_t left = M - (index_t)b * depth, rows = left < depth ? left : depth;
        const double d = part[0] / rows - m;
        squares += part[C] + rows * d * d;
    }
    squares = over_lines(squares, shared);
    if (c >= C || threadIdx.y > 0) return;
    mean[c] = (T)m;
    var[c] = (T)(squares / M);
    if (running_mean) running_mean[c] = (T)((1 - momentum) * running_mean[c] + momentum * m);
    if (running_var) running_var[c] = (T)((1 - momentum) * running_var[c] + momentum * (squares / (M - 1)));
}

extern "C" __global__ void batch_norm_gradient_sums(double *parts, const T *__restrict__ dy, const T *__restrict__ x,
                                                    const T *__restrict__ mean, int C, int depth, index_t M) {
    __shared__ double shared[LINES][LANES];
    const int c = channel();
    const index_t first = (index_t)blockIdx.y * depth, end = first + depth < M ? first + depth : M;
    Sums sums = {};
    if (c < C) sums = sums_of_rows(dy, x, mean[c], c, C, first, end);
    const double plain = over_lines(sums.plain, shared), product = over_lines(sums.product, shared);
    if (c >= C || threadIdx.y > 0) return;
    double *part = parts + (index_t)blockIdx.y * 2 * C + c;
    part[0] = plain;
    part[C] = product;
}

extern "C" __global__ void batch_norm_join_gradients(T *dgamma, T *dbeta, const double *parts, const T *var,
                                                     double eps, int blocks, int C) {
    __shared__ double shared[LINES][LANES];
    const int c = channel();
    double plain = 0, product = 0;
    for (int b = threadIdx.y; b < blocks && c < C; b += LINES) {
        plain += parts[(index_t)b * 2 * C + c];
        product += parts[(index_t)b * 2 * C + C + c];
    }
    plain = over_lines(plain, shared);
    product = over_lines(product, shared);
    if (c >= C || threadIdx.y > 0) return;
    dbeta[c] = (T)plain;
    dgamma[c] = (T)(product / sqrt((double)var[c] + eps));
}

__device__ __forceinline__ T inverse_of(T var, T eps) { return (T)1 / sqrt(var + eps); }

extern "C" __global__ void batch_norm_forward(T *y, const T *__restrict__ x, const T *__restrict__ mean,
                                              const T *__restrict__ var, const T *__restrict__ gamma,
                                              const T *__restrict__ beta, T eps, int C, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t row = i;
        const int c = take_last(row, C / VECTOR) * VECTOR;
        Values v = load_pack<VECTOR>(x + i * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const T scale = (gamma ? gamma[c + j] : (T)1) * inverse_of(var[c + j], eps);
            v.at[j] = activate((v.at[j] - mean[c + j]) * scale + (beta ? beta[c + j] : (T)0), (T)0.01);
        }
        store_pack(y + i * VECTOR, v);
    }
}

extern "C" __global__ void batch_norm_backward(T *dx, const T *__restrict__ dy, const T *__restrict__ x,
                                               const T *__restrict__ mean, const T *__restrict__ var,
                                               const T *__restrict__ gamma, const T *__restrict__ dgamma,
                                               const T *__restrict__ dbeta, T eps, int C, T M, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t row = i;
        const int c = take_last(row, C / VECTOR) * VECTOR;
        Values d = load_pack<VECTOR>(dy + i * VECTOR);
#if !CONSTANT
        const Values v = load_pack<VECTOR>(x + i * VECTOR);
#endif
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const T inverse = inverse_of(var[c + j], eps), scale = (gamma ? gamma[c + j] : (T)1) * inverse;
#if CONSTANT
            d.at[j] *= scale;
#else
            const T xhat = (v.at[j] - mean[c + j]) * inverse;
            d.at[j] = scale * (d.at[j] - (dbeta[c + j] + xhat * dgamma[c + j]) / M);
#endif
        }
        store_pack(dx + i * VECTOR, d);
    }
}
