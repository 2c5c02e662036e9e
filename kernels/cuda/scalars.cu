// Numbers that change from step to step (a learning rate, a seed) into device memory, where kernels read them. They
// travel as the launch's own arguments: nothing waits, and whatever was launched before still reads the old ones.

struct Words {
    unsigned long long at[16];
};

extern "C" __global__ void store_words(unsigned long long *to, const __grid_constant__ Words words, int n) {
    if (threadIdx.x < n) to[threadIdx.x] = words.at[threadIdx.x];
}
