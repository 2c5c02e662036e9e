// Activations, element by element; arrays are flat, in the order of memory.
#include "activation.cuh"

extern "C" __global__ void activation_forward(T *y, const T *x, T slope, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) y[i] = activate(x[i], slope);
}

extern "C" __global__ void activation_backward(T *dx, const T *dy, const T *y, T slope, index_t n) {
    for (index_t i = first_element(); i < n; i += all_threads()) dx[i] = dy[i] * slope_at(y[i], slope);
}
