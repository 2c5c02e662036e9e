// Optimizer steps: up to TENSORS parameters of a group in one launch.
//
// Each rule is the formula of the backend contract, element by element. A Group, passed by value, says where the arrays
// are: row 0 the parameters, row 1 the gradients, then the state. Tensors are cut into pieces of PIECE elements; block b
// has piece b of all pieces in a row, so that many small biases cost no more than one large matrix. A thread takes PACK
// neighbours, in accesses of 16 bytes where all its arrays allow.
//
// `hyper` holds a rule's numbers in device memory, in the order of the rule's first line: a CUDA graph that replays the
// step reads the learning rate and the correction for the step count that stand there then.
//
// Registers on sm_90, float: Adam 47; nothing spilled on sm_75 to sm_120. Floor: every array read once, parameters and
// state written once, over the memory's bandwidth.

#define ARRAYS 4
#define TENSORS 64
#define PACK 4
#define PIECE 1024  // of a block of 256 threads

struct Group {
    T *arrays[ARRAYS][TENSORS];
    index_t sizes[TENSORS];
    int first_piece[TENSORS];  // beyond the last tensor the largest int
};

// hyper = lr, weight decay
struct GradientDescent {
    static constexpr int STATES = 0;
    __device__ __forceinline__ static void step(T &p, T g, T *, const T *h) { p -= h[0] * (g + h[1] * p); }
};

// hyper = lr, weight decay, momentum, 1 for Nesterov's form or 0
struct Momentum {
    static constexpr int STATES = 1;
    __device__ __forceinline__ static void step(T &p, T g, T *s, const T *h) {
        const T d = g + h[1] * p;
        s[0] = h[2] * s[0] + d;
        p -= h[0] * (h[3] != (T)0 ? d + h[2] * s[0] : s[0]);
    }
};

// hyper = lr, weight decay, eps
struct AdaGrad {
    static constexpr int STATES = 1;
    __device__ __forceinline__ static void step(T &p, T g, T *s, const T *h) {
        const T d = g + h[1] * p;
        s[0] += d * d;
        p -= h[0] * d / (sqrt(s[0]) + h[2]);
    }
};

// hyper = lr, weight decay, eps, alpha, 1 - alpha
struct RmsProp {
    static constexpr int STATES = 1;
    __device__ __forceinline__ static void step(T &p, T g, T *s, const T *h) {
        const T d = g + h[1] * p;
        s[0] = h[3] * s[0] + h[4] * d * d;
        p -= h[0] * d / (sqrt(s[0]) + h[2]);
    }
};

// hyper = lr, weight decay, eps, rho, 1 - rho
struct AdaDelta {
    static constexpr int STATES = 2;
    __device__ __forceinline__ static void step(T &p, T g, T *s, const T *h) {
        T d = g + h[1] * p;
        s[0] = h[3] * s[0] + h[4] * d * d;
        d *= sqrt(s[1] + h[2]) / sqrt(s[0] + h[2]);
        s[1] = h[3] * s[1] + h[4] * d * d;
        p -= h[0] * d;
    }
};

// hyper = lr / (1 - beta1^step), coupled weight decay, eps, what the decoupled decay leaves of p, 1 - beta2^step,
// beta1, 1 - beta1, beta2, 1 - beta2
struct Adam {
    static constexpr int STATES = 2;
    __device__ __forceinline__ static void step(T &p, T g, T *s, const T *h) {
        const T q = h[3] * p, d = g + h[1] * q;
        s[0] = h[5] * s[0] + h[6] * d;
        s[1] = h[7] * s[1] + h[8] * d * d;
        p = q - h[0] * s[0] / (sqrt(s[1] / h[4]) + h[2]);
    }
};

// WIDTH neighbours.
template <typename Rule, int WIDTH> __device__ __forceinline__ void step_pack(T *const *at, const T *hyper) {
    Pack<T, WIDTH> p = load_pack<WIDTH>(at[0]), g = load_pack<WIDTH>(at[1]), states[Rule::STATES + 1];
#pragma unroll
    for (int s = 0; s < Rule::STATES; s++) states[s] = load_pack<WIDTH>(at[2 + s]);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        T state[Rule::STATES + 1];
#pragma unroll
        for (int s = 0; s < Rule::STATES; s++) state[s] = states[s].at[j];
        Rule::step(p.at[j], g.at[j], state, hyper);
#pragma unroll
        for (int s = 0; s < Rule::STATES; s++) states[s].at[j] = state[s];
    }
    store_pack(at[0], p);
#pragma unroll
    for (int s = 0; s < Rule::STATES; s++) store_pack(at[2 + s], states[s]);
}

__device__ __forceinline__ int tensor_of(const Group &group, int piece) {
    int tensor = 0;
#pragma unroll
    for (int half = TENSORS / 2; half; half /= 2)
        if (group.first_piece[tensor + half] <= piece) tensor += half;
    return tensor;
}

template <typename Rule> __device__ __forceinline__ void step_piece(const Group &group, const T *hyper) {
    const int tensor = tensor_of(group, blockIdx.x);
    const index_t first = (index_t)(blockIdx.x - group.first_piece[tensor]) * PIECE + threadIdx.x * PACK;
    const index_t left = group.sizes[tensor] - first;
    T *at[2 + Rule::STATES];
    bool aligned = true;
#pragma unroll
    for (int a = 0; a < 2 + Rule::STATES; a++) {
        at[a] = group.arrays[a][tensor] + first;
        aligned = aligned && (unsigned long long)at[a] % 16 == 0;
    }
    if (aligned && left >= PACK) return step_pack<Rule, PACK>(at, hyper);
    for (int j = 0; j < PACK && j < left; j++) {
        step_pack<Rule, 1>(at, hyper);
#pragma unroll
        for (int a = 0; a < 2 + Rule::STATES; a++) at[a]++;
    }
}

extern "C" __global__ void gradient_descent_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<GradientDescent>(group, hyper);
}
extern "C" __global__ void momentum_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<Momentum>(group, hyper);
}
extern "C" __global__ void adagrad_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<AdaGrad>(group, hyper);
}
extern "C" __global__ void rmsprop_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<RmsProp>(group, hyper);
}
extern "C" __global__ void adadelta_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<AdaDelta>(group, hyper);
}
extern "C" __global__ void adam_step(const __grid_constant__ Group group, const T *hyper) {
    step_piece<Adam>(group, hyper);
}
