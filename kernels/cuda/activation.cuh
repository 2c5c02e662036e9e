// Activations of one value, chosen by -D KIND: one of the constants below, NONE where nothing is said.
// NaN stays NaN: every comparison is written so that it is false for NaN where x itself must come through.

#define RELU 0
#define LEAKY_RELU 1
#define SIGMOID 2
#define TANH 3
#define NONE 4

#ifndef KIND
#define KIND NONE
#endif

__device__ __forceinline__ T activate(T x, T slope) {
#if KIND == RELU
    return x <= (T)0 ? (T)0 : x;
#elif KIND == LEAKY_RELU
    return x < (T)0 ? slope * x : x;
#elif KIND == SIGMOID
    const T e = exp(-fabs(x));
    return (x < (T)0 ? e : (T)1) / ((T)1 + e);
#elif KIND == TANH
    return tanh(x);
#else
    return x;
#endif
}

// dx from dy and the activation's own output y.
__device__ __forceinline__ T differentiate(T dy, T y, T slope) {
#if KIND == RELU
    return y <= (T)0 ? (T)0 : dy;
#elif KIND == LEAKY_RELU
    return y < (T)0 ? slope * dy : dy;
#elif KIND == SIGMOID
    return dy * y * ((T)1 - y);
#elif KIND == TANH
    return dy * ((T)1 - y * y);
#else
    return dy;
#endif
}
