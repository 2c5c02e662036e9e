// Softmax and cross-entropy over the rows of logits [N, classes].
//
//     prob[n, c] = exp(x[n, c] - m) / s        m = max over c, s = sum over c of exp(x[n, c] - m)
//     losses[n]  = log s + m - x[n, label[n]], in double; NaN where the label is none of 0 .. classes-1
//     mean       = 1/N sum over n of losses[n], in double, in an order that depends on N only
//     dx[n, c]   = (prob[n, c] - [c == label[n]]) / N, a row of NaN where the label is none
//
// A row belongs to the threads of one line of the block: a warp where classes are few (blockDim 32 x 8), the whole block
// where they are many (256 x 1). Three sweeps over the row, of which the last two meet it in the first cache. Sums: each
// thread its own elements in steps of the line, then lanes by halves, then the warps in their order.
//
// Floor: logits and prob over the memory's bandwidth; below some 10,000 logits the launches themselves.

#define WARPS 8

struct Add {
    template <typename V> __device__ __forceinline__ static V of(V a, V b) { return a + b; }
};
struct Larger {
    template <typename V> __device__ __forceinline__ static V of(V a, V b) { return b > a ? b : a; }
};

// What every thread of a line holds, as one; all of them get it. `shared`: WARPS elements where the line is a block.
template <typename Op, typename V> __device__ __forceinline__ V over_line(V x, V *shared) {
#pragma unroll
    for (int mask = WARP / 2; mask; mask /= 2) x = Op::of(x, shuffle_xor(x, mask));
    if (blockDim.x == WARP) return x;
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    x = shared[0];
    for (int w = 1; w < blockDim.x / WARP; w++) x = Op::of(x, shared[w]);
    __syncthreads();
    return x;
}

__device__ __forceinline__ double loss_of(const T *x, T largest, T sum, index_t label, int classes) {
    if (label < 0 || label >= classes) return not_a_number(0.0);
    return log((double)sum) + ((double)largest - (double)x[label]);
}

extern "C" __global__ void softmax_rows(T *prob, double *losses, const T *logits, const index_t *labels, int N,
                                        int classes) {
    __shared__ T shared[WARPS];
    const int lines = gridDim.x * blockDim.y;
    for (int n = blockIdx.x * blockDim.y + threadIdx.y; n < N; n += lines) {
        const T *x = logits + (index_t)n * classes;
        T *e = prob + (index_t)n * classes;
        T largest = x[0];  // a NaN that it passes over comes back through the sum
        for (int c = threadIdx.x; c < classes; c += blockDim.x) largest = Larger::of(largest, x[c]);
        largest = over_line<Larger>(largest, shared);
        T sum = 0;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) sum += e[c] = exp(x[c] - largest);
        sum = over_line<Add>(sum, shared);
        for (int c = threadIdx.x; c < classes; c += blockDim.x) e[c] /= sum;
        if (threadIdx.x == 0) losses[n] = loss_of(x, largest, sum, labels[n], classes);
    }
}

extern "C" __global__ void mean_of_rows(T *mean, const double *losses, int N) {
    __shared__ double shared[WARPS];
    double sum = 0;
    for (int n = threadIdx.x; n < N; n += blockDim.x) sum += losses[n];
    sum = over_line<Add>(sum, shared);
    if (threadIdx.x == 0) *mean = (T)(sum / N);
}

extern "C" __global__ void softmax_cross_entropy_backward(T *dx, const T *prob, const index_t *labels, int N,
                                                          int classes, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) {
        index_t row = i;
        const int c = take_last(row, classes);
        const index_t label = labels[row];
        const T hit = c == label ? (T)1 : (T)0;
        dx[i] = label < 0 || label >= classes ? not_a_number((T)0) : (prob[i] - hit) / (T)N;
    }
}
