// What every kernel file may use; stands before each of them as text. See kernels/cuda/__init__.py for the rules.

#ifndef T
#define T float
#endif

typedef long long index_t;

#ifndef FASTCONV_EMULATOR
#define WARP 32

// The value of `x` in the lane whose number differs by `mask`; all 32 lanes of the warp take part.
template <typename V> __device__ __forceinline__ V shuffle_xor(V x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}
#endif

__device__ __forceinline__ float not_a_number(float) { return __int_as_float(0x7fffffff); }
__device__ __forceinline__ double not_a_number(double) { return __longlong_as_double(0x7fffffffffffffffLL); }

// The place of this thread among all threads of the launch, and how many there are: for (i = first(); i < n; i += all()).
__device__ __forceinline__ index_t first_element() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ index_t all_threads() { return (index_t)gridDim.x * blockDim.x; }
