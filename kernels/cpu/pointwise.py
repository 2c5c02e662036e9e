"""Activations and dropout, element by element.

    relu        y = 0 if x <= 0 else x              dx = 0 if y <= 0 else dy
    leaky_relu  y = slope x if x < 0 else x         dx = slope dy if y < 0 else dy
    sigmoid     y = 1 / (1 + exp(-x))               dx = dy y (1 - y)
    tanh        y = tanh(x)                         dx = dy (1 - y^2)
    dropout     y = x / (1 - p) where u(i) >= p, else 0

Arrays are flat, in the order of memory. One iteration of the parallel loop takes about CHUNK neighbouring elements.
NaN stays NaN.

exp and tanh in float32 are ours, because Numba without SVML calls the C library once an element:

    x = k ln 2 + r, |r| <= ln 2 / 2       exp(x) - 1 = 2^k (exp(r) - 1) + (2^k - 1)
    tanh(x) = m / (m + 2), m = exp(2x) - 1

with ln 2 in two parts (Cody & Waite) and exp(r) - 1 = r + r^2 q(r), q a weighted minimax fit of degree 5 whose own
error is 2.4e-10. In float64 the C library's functions are called.

Ladder (AMD Zen 5, 2 cores, AVX-512, 1,048,576 float32, microseconds; numpy.copyto takes 75):
                                          relu   leaky_relu   sigmoid   tanh   dropout
    indices from a chunk's first element   318      322         617      567     367
    slices of it, indices from 0            51       51         153      119      82
    backward                                69       74          74       73

u(i) is splitmix64 (Steele, Lea & Flood 2014) in counter mode: the draw for element i is a function of seed and i.
"""

import math

import numpy as np
from llvmlite import ir
from numba import float32, types, uint64
from numba.core.typing import signature
from numba.extending import intrinsic, overload

from .jit import kernel, ordered_inner
from .parallel import parallel_for, span

RELU, LEAKY_RELU, SIGMOID, TANH = range(4)

CHUNK = 8192
LINE = 16  # chunks end on cache lines of 16 float32

LOG2_E = np.float32(1.44269504)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(-2.12194440e-4)
Q0, Q1, Q2, Q3, Q4, Q5 = np.float32(
    [0.5, 0.1666666567325592, 0.04166635870933533, 0.008333389647305012, 0.0013940668432042003, 0.0001984588016057387]
)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


@intrinsic
def _float_from_bits(typingctx, bits):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return signature(types.float32, types.int32), codegen


@ordered_inner
def _exp_parts(x):
    """(2^k, exp(r) - 1) with x = k ln 2 + r; x must be a number from -88 to 88."""
    z = x * LOG2_E
    k = np.int32(z + (np.float32(-0.5) if z < 0 else np.float32(0.5)))
    n = float32(k)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    q = Q4 + r * Q5
    q = Q3 + r * q
    q = Q2 + r * q
    q = Q1 + r * q
    q = Q0 + r * q
    return _float_from_bits(np.int32((k + np.int32(127)) << np.int32(23))), r + r * r * q


@ordered_inner
def _exp_of_negative_f32(x):
    scale, p = _exp_parts(x if x > np.float32(-88) else np.float32(-88))
    return x if x != x else scale * p + scale


@ordered_inner
def _sigmoid_f32(x):
    a = abs(x)
    scale, p = _exp_parts(-(a if a < np.float32(88) else np.float32(88)))
    e = scale * p + scale
    y = (e if x < 0 else np.float32(1)) / (np.float32(1) + e)
    return x if x != x else y


@ordered_inner
def _tanh_f32(x):
    a = abs(x)
    scale, p = _exp_parts(np.float32(2) * (a if a < np.float32(10) else np.float32(10)))
    m = scale * p + (scale - np.float32(1))
    y = math.copysign(m / (m + np.float32(2)), x)
    return x if x != x else y


@ordered_inner
def _sigmoid_f64(x):
    e = math.exp(-abs(x))
    return (e if x < 0 else 1.0) / (1.0 + e)


def exp_of_negative(x):
    """exp(x) for x <= 0, NaN for NaN; float32: at most 2 units in the last place off, below 2^-126 it is 0."""


def sigmoid(x):
    """1 / (1 + exp(-x)); float32: at most 3 units in the last place off, below 2^-126 it is 0."""


def tanh(x):
    """tanh(x); float32: at most 3 units in the last place off."""


@overload(exp_of_negative)
def _exp_of_negative(x):
    return (lambda x: _exp_of_negative_f32(x)) if x == types.float32 else (lambda x: math.exp(x))


@overload(sigmoid)
def _sigmoid(x):
    return (lambda x: _sigmoid_f32(x)) if x == types.float32 else (lambda x: _sigmoid_f64(x))


@overload(tanh)
def _tanh(x):
    return (lambda x: _tanh_f32(x)) if x == types.float32 else (lambda x: math.tanh(x))


@ordered_inner
def _activate(chunk, chunks, y, x, kind, slope):
    first, last = span(chunk, chunks, x.size, LINE)
    y, x = y[first:last], x[first:last]
    zero = x.dtype.type(0)
    s = x.dtype.type(slope)
    if kind == RELU:
        for i in range(x.size):
            y[i] = zero if x[i] <= zero else x[i]
    elif kind == LEAKY_RELU:
        for i in range(x.size):
            y[i] = s * x[i] if x[i] < zero else x[i]
    elif kind == SIGMOID:
        for i in range(x.size):
            y[i] = sigmoid(x[i])
    else:
        for i in range(x.size):
            y[i] = tanh(x[i])


@ordered_inner
def _differentiate(chunk, chunks, dx, dy, y, kind, slope):
    first, last = span(chunk, chunks, y.size, LINE)
    dx, dy, y = dx[first:last], dy[first:last], y[first:last]
    zero = y.dtype.type(0)
    one = y.dtype.type(1)
    s = y.dtype.type(slope)
    if kind == RELU:
        for i in range(y.size):
            dx[i] = zero if y[i] <= zero else dy[i]
    elif kind == LEAKY_RELU:
        for i in range(y.size):
            dx[i] = s * dy[i] if y[i] < zero else dy[i]
    elif kind == SIGMOID:
        for i in range(y.size):
            dx[i] = dy[i] * y[i] * (one - y[i])
    else:
        for i in range(y.size):
            dx[i] = dy[i] * (one - y[i] * y[i])


@ordered_inner
def _drop(chunk, chunks, y, x, scale, seed, threshold):
    first, last = span(chunk, chunks, x.size, LINE)
    y, x = y[first:last], x[first:last]
    zero = x.dtype.type(0)
    s = x.dtype.type(scale)
    for i in range(x.size):
        z = seed + uint64(first + i + 1) * GOLDEN
        z = (z ^ (z >> uint64(30))) * MIX_1
        z = (z ^ (z >> uint64(27))) * MIX_2
        z = z ^ (z >> uint64(31))
        y[i] = s * x[i] if (z >> uint64(40)) >= threshold else zero


@kernel
def activation_forward(y, x, kind, slope):
    """y[i] = act(x[i]); `kind` is RELU, LEAKY_RELU, SIGMOID or TANH."""
    chunks = max(1, x.size // CHUNK)
    parallel_for(_activate, chunks, (chunks, y, x, kind, slope))


@kernel
def activation_backward(dx, dy, y, kind, slope):
    """dx[i] = dy[i] act'(x[i]), written in terms of y[i] = act(x[i])."""
    chunks = max(1, y.size // CHUNK)
    parallel_for(_differentiate, chunks, (chunks, dx, dy, y, kind, slope))


@kernel
def dropout(y, x, scale, seed, threshold):
    """y[i] = scale x[i] where the upper 24 bits of the i-th draw reach `threshold` (uint64), else 0."""
    chunks = max(1, x.size // CHUNK)
    parallel_for(_drop, chunks, (chunks, y, x, scale, seed, threshold))
