// What every kernel file may use; stands before each of them as text. See kernels/cuda/__init__.py for the rules.

#ifndef ELEMENT
#define ELEMENT float
#endif
typedef ELEMENT T;  // no macro: -DT=float would reach the compiler's own templates

typedef long long index_t;

#ifndef FASTCONV_EMULATOR
#define WARP 32

// The value of `x` in the lane whose number differs by `mask`; all 32 lanes of the warp take part.
template <typename V> __device__ __forceinline__ V shuffle_xor(V x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}

// The shared memory whose size the launch gives, from its first byte on; aligned to 16 bytes.
extern __shared__ uint4 shared_memory_of_launch[];
template <typename V> __device__ __forceinline__ V *shared_memory() {
    return reinterpret_cast<V *>(shared_memory_of_launch);
}

// Copy V (4, 8 or 16 bytes, aligned) from global to shared memory while the thread goes on; zeros, and nothing is read,
// unless `inside`. It has arrived once copies_wait<N>() returned: N newer groups, closed by copies_commit(), may still
// be under way. Other threads see it after a barrier. Below sm_80 it is there at once.
template <typename V> __device__ __forceinline__ void copy_async(V *to, const V *from, bool inside) {
    static_assert(sizeof(V) == 4 || sizeof(V) == 8 || sizeof(V) == 16, "no asynchronous copy has this size");
#if __CUDA_ARCH__ >= 800
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    const int size = inside ? (int)sizeof(V) : 0;
    if (sizeof(V) == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(size) : "memory");
    else if (sizeof(V) == 8)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(at), "l"(from), "r"(size) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(size) : "memory");
#else
    V x = V();
    if (inside) x = *from;
    *to = x;
#endif
}
__device__ __forceinline__ void copies_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N> __device__ __forceinline__ void copies_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
#endif

// N neighbouring elements that memory gives or takes in one access of up to 16 bytes.
template <typename V, int N> struct alignas(sizeof(V) * N < 16 ? sizeof(V) * N : 16) Pack {
    V at[N];
};
template <int N, typename V> __device__ __forceinline__ Pack<V, N> load_pack(const V *from) {
    return *reinterpret_cast<const Pack<V, N> *>(from);
}
template <int N, typename V> __device__ __forceinline__ void store_pack(V *to, const Pack<V, N> &x) {
    *reinterpret_cast<Pack<V, N> *>(to) = x;
}

__device__ __forceinline__ float not_a_number(float) { return __int_as_float(0x7fffffff); }
__device__ __forceinline__ double not_a_number(double) { return __longlong_as_double(0x7fffffffffffffffLL); }

// The place of this thread among all threads of the launch, and how many there are: for (i = first(); i < n; i += all()).
__device__ __forceinline__ index_t first_element() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ index_t all_threads() { return (index_t)gridDim.x * blockDim.x; }

// Takes the innermost coordinate, of an axis of `size`, off a flat index. A division of 64 bits costs a hundred
// instructions, so small indices take the short one.
__device__ __forceinline__ int take_last(index_t &index, int size) {
    if (index <= 0x7fffffff) {
        const int i = (int)index, rest = i / size;
        index = rest;
        return i - rest * size;
    }
    const index_t rest = index / size;
    const int last = (int)(index - rest * size);
    index = rest;
    return last;
}
