"""Activations and dropout, element by element; activation.py has the formulas of the activations.

    dropout     y = x / (1 - p) where u(i) >= p, else 0

Arrays are flat, in the order of memory. A chunk takes neighbouring elements, enough of them to be worth a thread, in
whole vectors. `y` may be `x`: every vector is read before it is written.

Ladder (AMD Zen 5, 2 cores, AVX-512, 1,048,576 float32, microseconds; numpy.copyto takes 75):
                                          relu   leaky_relu   sigmoid   tanh   dropout
    indices from a chunk's first element   318      322         617      567     367
    slices of it, indices from 0            51       51         153      119      82
    backward                                69       74          74       73
One thread, 345,600 float32:              relu   in place      sigmoid   tanh
    loops vectorised by LLVM                29       88          95        72     in place one by one: y may be x + 1
    written as vectors                      29       13          53        61     exp without comparisons
    PyTorch 2.13, two threads               18                   44       389

u(i) is splitmix64 (Steele, Lea & Flood 2014) in counter mode: the draw for element i is a function of seed and i.
"""

import numpy as np
from numba import types, uint64
from numba.extending import intrinsic

from .activation import LEAKY_RELU, RELU, SIGMOID, TANH, ActivationVectors
from .jit import inner, kernel, ordered_inner
from .parallel import parallel_for, span
from .simd import VECTOR_BYTES, address

CHEAP, COSTLY = 65536, 16384  # elements of a chunk: moved only, or computed
LINE = 16  # chunks end on cache lines of 16 float32

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


@intrinsic(prefer_literal=True)
def _activate_run(typingctx, kind, y, x, count, slope):
    """y[i] = act(x[i]) for i < count; y, x are addresses, `slope` is a number of their type, `kind` a constant."""
    return _run_signature(kind, [y, x], count, slope), _emit_run(kind, slope, ActivationVectors.activate)


@intrinsic(prefer_literal=True)
def _differentiate_run(typingctx, kind, dx, dy, y, count, slope):
    """dx[i] = dy[i] act'(x[i]) for i < count, as _activate_run."""
    return _run_signature(kind, [dx, dy, y], count, slope), _emit_run(kind, slope, ActivationVectors.differentiate)


def _run_signature(kind, addresses, count, slope):
    return types.void(kind, *addresses, count, slope)


def _emit_run(kind, slope, act):
    """A loop over whole vectors and what is left of one: act(kind, *inputs, slope)."""

    def codegen(context, builder, signature, args):
        item = slope.bitwidth // 8
        v = ActivationVectors(builder, VECTOR_BYTES // item, item)
        to, *inputs, count, leak = args[1:]
        leak = v.splat(leak)

        def step(at, load, store):
            values = [load(v.at(source, at)) for source in inputs]
            store(act(v, kind.literal_value, *values, leak), v.at(to, at))

        v.walk(count, step)
        return context.get_dummy_value()

    return codegen


@inner
def _activate(chunk, chunks, y, x, size, kind, slope, item):
    first, last = span(chunk, chunks, size, LINE)
    y, x, count = y + first * item, x + first * item, last - first
    if kind == RELU:
        _activate_run(RELU, y, x, count, slope)
    elif kind == LEAKY_RELU:
        _activate_run(LEAKY_RELU, y, x, count, slope)
    elif kind == SIGMOID:
        _activate_run(SIGMOID, y, x, count, slope)
    else:
        _activate_run(TANH, y, x, count, slope)


@inner
def _differentiate(chunk, chunks, dx, dy, y, size, kind, slope, item):
    first, last = span(chunk, chunks, size, LINE)
    dx, dy, y, count = dx + first * item, dy + first * item, y + first * item, last - first
    if kind == RELU:
        _differentiate_run(RELU, dx, dy, y, count, slope)
    elif kind == LEAKY_RELU:
        _differentiate_run(LEAKY_RELU, dx, dy, y, count, slope)
    elif kind == SIGMOID:
        _differentiate_run(SIGMOID, dx, dy, y, count, slope)
    else:
        _differentiate_run(TANH, dx, dy, y, count, slope)


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


@inner
def _chunks(size, worth):
    return max(1, size // worth)


@kernel
def activation_forward(y, x, kind, slope):
    """y[i] = act(x[i]); `kind` is RELU, LEAKY_RELU, SIGMOID or TANH."""
    chunks = _chunks(x.size, CHEAP if kind <= LEAKY_RELU else COSTLY)
    args = (chunks, address(y), address(x), x.size, kind, x.dtype.type(slope), x.itemsize)
    parallel_for(_activate, chunks, args)


@kernel
def activation_backward(dx, dy, y, kind, slope):
    """dx[i] = dy[i] act'(x[i]), written in terms of y[i] = act(x[i])."""
    chunks = _chunks(y.size, CHEAP)
    args = (chunks, address(dx), address(dy), address(y), y.size, kind, y.dtype.type(slope), y.itemsize)
    parallel_for(_differentiate, chunks, args)


@kernel
def dropout(y, x, scale, seed, threshold):
    """y[i] = scale x[i] where the upper 24 bits of the i-th draw reach `threshold` (uint64), else 0."""
    chunks = _chunks(x.size, COSTLY)
    parallel_for(_drop, chunks, (chunks, y, x, scale, seed, threshold))
