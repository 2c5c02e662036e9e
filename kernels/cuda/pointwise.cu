// Activations, element by element; arrays are flat, in the order of memory. KIND: one of the constants below.
// NaN stays NaN: every comparison is written so that it is false for NaN where x itself must come through.

#define RELU 0
#define LEAKY_RELU 1
#define SIGMOID 2
#define TANH 3

__device__ __forceinline__ T activate(T x, T slope) {
#if KIND == RELU
    return x <= (T)0 ? (T)0 : x;
#elif KIND == LEAKY_RELU
    return x < (T)0 ? slope * x : x;
#elif KIND == SIGMOID
    const T e = exp(-fabs(x));
    return (x < (T)0 ? e : (T)1) / ((T)1 + e);
#else
    return tanh(x);
#endif
}

// dx / dy from the activation's own output y.
__device__ __forceinline__ T slope_at(T y, T slope) {
#if KIND == RELU
    return y <= (T)0 ? (T)0 : (T)1;
#elif KIND == LEAKY_RELU
    return y < (T)0 ? slope : (T)1;
#elif KIND == SIGMOID
    return y * ((T)1 - y);
#else
    return (T)1 - y * y;
#endif
}

extern "C" __global__ void activation_forward(T *y, const T *x, T slope, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) y[i] = activate(x[i], slope);
}

extern "C" __global__ void activation_backward(T *dx, const T *dy, const T *y, T slope, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) dx[i] = dy[i] * slope_at(y[i], slope);
}
