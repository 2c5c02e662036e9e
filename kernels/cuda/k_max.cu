// k-max pooling (Kalchbrenner, Grefenstette & Blunsom, arXiv 1404.2188, section 3.2): the k largest of a row, in order.
//
//     y[j] = x[places[j]]      places: ascending, those of the k largest; of equal values the first, NaN above numbers
//     dx[places[j]] = dy[j], 0 elsewhere
//
// Arrays are flat [blocks, L, beside] and [blocks, k, beside]: `beside` rows lie side by side. A thread makes one row,
// so that where rows lie side by side a warp reads and writes memory in a row. y itself holds the best so far, in their
// order: a value larger than the least of them takes its place away and goes to the end.
//
// Floor: bytes of x, y and places over the memory's bandwidth, where `beside` is 32 or more.

__device__ __forceinline__ bool beats(T a, T b) { return !(a <= b) && b == b; }

// Which of the values kept goes first: the least, of equals the last.
__device__ __forceinline__ int least_of(const T *y, int k, int beside) {
    int least = 0;
    for (int j = 1; j < k; j++)
        if (!beats(y[(index_t)j * beside], y[(index_t)least * beside])) least = j;
    return least;
}

extern "C" __global__ void k_max_forward(T *__restrict__ y, int *__restrict__ places, const T *__restrict__ x, int L,
                                         int k, int beside, index_t n) {
    for (index_t row = first_element(); row < n; row += all_threads()) {
        index_t block = row;
        const int column = take_last(block, beside);
        const T *from = x + block * L * beside + column;
        T *best = y + block * k * beside + column;
        int *found = places + block * k * beside + column;
        for (int j = 0; j < k; j++) {
            best[(index_t)j * beside] = from[(index_t)j * beside];
            found[(index_t)j * beside] = j;
        }
        int least = least_of(best, k, beside);
        for (int i = k; i < L; i++) {
            const T value = from[(index_t)i * beside];
            if (!beats(value, best[(index_t)least * beside])) continue;
            for (int j = least; j < k - 1; j++) {
                best[(index_t)j * beside] = best[(index_t)(j + 1) * beside];
                found[(index_t)j * beside] = found[(index_t)(j + 1) * beside];
            }
            best[(index_t)(k - 1) * beside] = value;
            found[(index_t)(k - 1) * beside] = i;
            least = least_of(best, k, beside);
        }
    }
}

extern "C" __global__ void k_max_backward(T *__restrict__ dx, const T *__restrict__ dy, const int *__restrict__ places,
                                          int L, int k, int beside, index_t n) {
    for (index_t row = first_element(); row < n; row += all_threads()) {
        index_t block = row;
        const int column = take_last(block, beside);
        T *to = dx + block * L * beside + column;
        const index_t from = block * k * beside + column;
        for (int i = 0; i < L; i++) to[(index_t)i * beside] = 0;
        for (int j = 0; j < k; j++) {
            const int place = places[from + (index_t)j * beside];
            if (0 <= place && place < L) to[(index_t)place * beside] += dy[from + (index_t)j * beside];
        }
    }
}
