// Exact quotients of 0 <= n < 2^31 by a divisor that is known late: the reciprocal, rounded down, gives the quotient or
// one less.
struct Divisor {
    unsigned by, reciprocal;
};
struct Quotient {
    int whole, rest;
};
__device__ __forceinline__ Divisor divisor(int by) { return {(unsigned)by, 0xffffffffu / (unsigned)by}; }
__device__ __forceinline__ Quotient divided(int n, Divisor d) {
    unsigned whole = (unsigned)(((unsigned long long)(unsigned)n * d.reciprocal) >> 32), rest = n - whole * d.by;
    if (rest >= d.by) whole++, rest -= d.by;
    return {(int)whole, (int)rest};
}
