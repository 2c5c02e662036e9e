// CUDA C on the CPU, for tests: stands before a kernel's source and gives it what nvcc would.
//
// Blocks run one after the other. The threads of a block are fibers: each runs until it waits at a barrier, then the
// next one goes on, in an order that the caller permutes. So a missing barrier changes results from one order to
// another, and a barrier that some threads never reach is found at once. Shared memory is filled with NaN before every
// block, as the GPU does not clear it either. An asynchronous copy leaves NaN until its thread waits for it.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
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
#define __grid_constant__
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
using std::exp, std::fabs, std::fma, std::isnan, std::log, std::pow, std::sqrt, std::tanh;
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

struct Copy {
    void *to;
    const void *from;
    size_t size;
    bool inside;
};

constexpr size_t STACK = 64 << 10;

struct Fiber {
    ucontext_t start;
    jmp_buf here;
    uint3 id;
    std::unique_ptr<char[]> stack;
    bool started = false, done;
    const Barrier *waits_at;
    long generation;
    std::vector<std::vector<Copy>> copies;  // groups, the last one still open
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

constexpr size_t GUARD = 256;  // bytes behind the shared memory of a launch
constexpr unsigned char GUARD_BYTE = 0xa5;
static unsigned char *shared;
static size_t shared_size;

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

// A fiber lives on from block to block: making one costs far more than what most threads compute.
inline void run_fiber() {
    for (;;) {
        body(arguments);
        fibers[current].done = true;
        leave_fiber();
    }
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
        f.done = false;
        f.waits_at = nullptr;
        f.copies.assign(1, {});
        if (f.started) continue;
        if (!f.stack) f.stack.reset(new char[STACK]);
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = f.stack.get();
        f.start.uc_stack.ss_size = STACK;
        makecontext(&f.start, run_fiber, 0);
    }
}

// Uncertain contents for whatever this block puts into shared memory.
inline void forget_shared(char *first, char *end) {
    if (first) memset(first, 0xff, end - first);
    memset(shared, 0xff, shared_size);
    memset(shared + shared_size, GUARD_BYTE, GUARD);
}

inline bool shared_guard_intact() {
    for (size_t i = 0; i < GUARD; i++)
        if (shared[shared_size + i] != GUARD_BYTE) return false;
    return true;
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
        if (!moved) {
            for (Fiber &fiber : fibers) fiber.started = false;
            return false;
        }
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

template <typename V> inline V *shared_memory() { return reinterpret_cast<V *>(emulator::shared); }

template <typename V> inline void copy_async(V *to, const V *from, bool inside) {
    static_assert(sizeof(V) == 4 || sizeof(V) == 8 || sizeof(V) == 16, "no asynchronous copy has this size");
    memset((void *)to, 0xff, sizeof(V));
    emulator::fibers[emulator::current].copies.back().push_back({to, from, sizeof(V), inside});
}
inline void copies_commit() { emulator::fibers[emulator::current].copies.emplace_back(); }
template <int N> inline void copies_wait() {
    auto &groups = emulator::fibers[emulator::current].copies;
    while (groups.size() > N + 1) {
        for (const emulator::Copy &c : groups.front())
            c.inside ? memcpy(c.to, c.from, c.size) : memset(c.to, 0, c.size);
        groups.erase(groups.begin());
    }
}

// Bytes of shared memory that the kernels of a file declare.
extern "C" size_t declared_shared() { return __start_cuda_shared ? __stop_cuda_shared - __start_cuda_shared : 0; }

enum Outcome { FINISHED, STUCK, BEYOND_SHARED };

namespace emulator {

inline Outcome run_grid(const unsigned *grid, const unsigned *threads, size_t bytes, const int *order, unsigned *at) {
    const std::unique_ptr<uint4[]> memory(new uint4[(bytes + GUARD) / sizeof(uint4) + 1]);
    shared = reinterpret_cast<unsigned char *>(memory.get());
    shared_size = bytes;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    for (at[2] = 0; at[2] < grid[2]; at[2]++)
        for (at[1] = 0; at[1] < grid[1]; at[1]++)
            for (at[0] = 0; at[0] < grid[0]; at[0]++) {
                blockIdx = {at[0], at[1], at[2]};
                forget_shared(__start_cuda_shared, __stop_cuda_shared);
                if (!run_block(threads[0] * threads[1] * threads[2], order)) return STUCK;
                if (!shared_guard_intact()) return BEYOND_SHARED;
            }
    return FINISHED;
}

}  // namespace emulator

// Behind the kernel's source, once for each of its entries: what the tests call.
#define FASTCONV_ENTRY(NAME)                                                                                  \
    extern "C" int parameters_##NAME(int *sizes) { return emulator::parameters(NAME, sizes); }               \
    extern "C" int launch_##NAME(const unsigned *grid, const unsigned *threads, size_t shared, void **args,  \
                                 const int *order, unsigned *at) {                                           \
        emulator::body = [](void **a) { emulator::apply(NAME, a); };                                         \
        emulator::arguments = args;                                                                          \
        return emulator::run_grid(grid, threads, shared, order, at);                                         \
    }

#include "mma.h"
