// CUDA C on the CPU, for tests: stands before a kernel's source and gives it what nvcc would.
//
// Blocks run one after the other. The threads of a block are fibers: each runs until it waits at a barrier, then the
// next one goes on, in an order that the caller permutes. So a missing barrier changes results from one order to
// another, and a barrier that some threads never reach is found at once. Shared memory is filled with NaN before every
// block, as the GPU does not clear it either.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#define FASTCONV_EMULATOR
#define WARP 32
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("cuda_shared"), used))

struct uint3 {
    unsigned x, y, z;
};
struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};
struct __attribute__((aligned(8))) float2 {
    float x, y;
};
struct __attribute__((aligned(16))) double2 {
    double x, y;
};
struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

static uint3 threadIdx, blockIdx, blockDim, gridDim;

template <typename A, typename B> inline std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <typename A, typename B> inline std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
using std::exp, std::fabs, std::fma, std::isnan, std::log, std::sqrt, std::tanh;
template <typename V> inline V __ldg(const V *p) { return *p; }
template <typename To, typename From> inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline float __int_as_float(int x) { return bits_as<float>(x); }
inline int __float_as_int(float x) { return bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return bits_as<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return bits_as<float>(x); }
inline double __longlong_as_double(long long x) { return bits_as<double>(x); }

namespace emulator {

struct Barrier {
    int expected = 0, arrived = 0;
    long generation = 0;
};

struct Fiber {
    ucontext_t start;
    jmp_buf here;
    uint3 id;
    std::vector<char> stack;
    bool started, done;
    const Barrier *waits_at;
    long generation;
    bool waits() const { return waits_at && waits_at->generation == generation; }
};

static std::vector<Fiber> fibers;
static std::vector<Barrier> warps;
static Barrier block;
static ucontext_t caller;
static jmp_buf scheduler;
static int current;
static void (*body)(void **);
static void **arguments;

inline void leave_fiber() {
    if (!_setjmp(fibers[current].here)) _longjmp(scheduler, 1);
}

inline void wait(Barrier &barrier) {
    Fiber &self = fibers[current];
    self.generation = barrier.generation;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    self.waits_at = &barrier;
    leave_fiber();
}

inline int lane() { return current % WARP; }
inline Barrier &warp() { return warps[current / WARP]; }

inline void run_fiber() {
    body(arguments);
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

inline void resume(int i) {
    Fiber &fiber = fibers[current = i];
    threadIdx = fiber.id;
    fiber.waits_at = nullptr;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.here, 1);
    fiber.started = true;
    swapcontext(&caller, &fiber.start);
}

inline void prepare(int threads) {
    if ((int)fibers.size() < threads) fibers.resize(threads);
    warps.assign((threads + WARP - 1) / WARP, Barrier());
    for (int w = 0; w < (int)warps.size(); w++) warps[w].expected = min(WARP, threads - w * WARP);
    block = Barrier();
    block.expected = threads;
    for (int i = 0; i < threads; i++) {
        Fiber &f = fibers[i];
        f.id = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        f.started = f.done = false;
        f.waits_at = nullptr;
        f.stack.resize(64 << 10);
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = f.stack.data();
        f.start.uc_stack.ss_size = f.stack.size();
        makecontext(&f.start, run_fiber, 0);
    }
}

// Whether all threads came to their end.
inline bool run_block(int threads, const int *order) {
    prepare(threads);
    for (int left = threads; left;) {
        bool moved = false;
        for (int j = 0; j < threads; j++) {
            Fiber &fiber = fibers[order[j]];
            if (fiber.done || fiber.waits()) continue;
            resume(order[j]);
            moved = true;
            left -= fiber.done;
        }
        if (!moved) return false;
    }
    return true;
}

template <typename... A, size_t... I> void call(void (*f)(A...), void **args, std::index_sequence<I...>) {
    f(*static_cast<std::remove_cv_t<A> *>(args[I])...);
}
template <typename... A> void apply(void (*f)(A...), void **args) { call(f, args, std::index_sequence_for<A...>()); }

// The sizes in bytes of an entry's parameters, negative for pointers; returns how many there are.
template <typename... A> int parameters(void (*)(A...), int *sizes) {
    int i = 0;
    ((sizes[i++] = std::is_pointer_v<A> ? -(int)sizeof(std::remove_pointer_t<A>) : (int)sizeof(A)), ...);
    return i;
}

}  // namespace emulator

extern char __start_cuda_shared[] __attribute__((weak));
extern char __stop_cuda_shared[] __attribute__((weak));

inline void __syncthreads() { emulator::wait(emulator::block); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait(emulator::warp()); }

template <typename V> inline V shuffle_xor(V x, int mask) {
    static V lanes[1024];
    const int mine = emulator::current, first = mine - emulator::lane();
    lanes[mine] = x;
    __syncwarp();
    const V theirs = lanes[first + (emulator::lane() ^ mask)];
    __syncwarp();
    return theirs;
}

// Behind the kernel's source: what the tests call. ENTRY is the kernel's name.
#define FASTCONV_ENTRY(ENTRY)                                                                                   \
    extern "C" int emulator_parameters(int *sizes) { return emulator::parameters(ENTRY, sizes); }              \
    extern "C" int emulator_launch(const unsigned *grid, const unsigned *block, void **args, const int *order,  \
                                   unsigned *stuck) {                                                           \
        gridDim = {grid[0], grid[1], grid[2]};                                                                  \
        blockDim = {block[0], block[1], block[2]};                                                              \
        emulator::body = [](void **a) { emulator::apply(ENTRY, a); };                                           \
        emulator::arguments = args;                                                                             \
        for (unsigned z = 0; z < grid[2]; z++)                                                                  \
            for (unsigned y = 0; y < grid[1]; y++)                                                              \
                for (unsigned x = 0; x < grid[0]; x++) {                                                        \
                    blockIdx = {x, y, z};                                                                       \
                    if (__start_cuda_shared) memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared); \
                    if (!emulator::run_block(block[0] * block[1] * block[2], order)) {                          \
                        stuck[0] = x, stuck[1] = y, stuck[2] = z;                                               \
                        return 0;                                                                               \
                    }                                                                                           \
                }                                                                                               \
        return 1;                                                                                               \
    }
