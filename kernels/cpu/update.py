"""Optimizer steps: all parameters of a group in one parallel region.

Each rule is the formula of the backend contract, element by element. A group is given as `addresses` [arrays, tensors],
one column a tensor: row 0 the parameters, row 1 the gradients, then the state. `starts` [tensors + 1] says where each
tensor would begin if all were laid end to end. A chunk owns a stretch of that line, so that many small biases cost no
more than one large matrix. `hyper` holds a rule's numbers in the type of the elements, in the order of its first line.

Adam, 61,706 float32 in 10 tensors (LeNet-5), AMD Zen 5, 2 cores: 68 us when addresses were asked for and arrays checked
in every step, 22 us with the backend's remembered groups; 433,890 in 6 (SimpleConvNet): 57 us, 212 GB/s out of caches.

The addresses are used within the call only: whoever calls keeps the arrays alive until it returns.
"""

import math

from numba import carray, types
from numba.core.typing import signature
from numba.extending import intrinsic

from .jit import inner, kernel, ordered_inner
from .parallel import parallel_for, span

CHUNK = 8192
LINE = 16  # chunks end on cache lines of 16 float32


@intrinsic
def _pointer(typingctx, address, like):
    """The address as a pointer to elements of the array `like`."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature(types.CPointer(like.dtype), types.int64, like), codegen


@inner
def _piece_at(place, end, starts):
    """(tensor, its first element, number of elements) of the tensor that holds a place, up to `end`."""
    tensor, beyond = 0, starts.size - 1
    while beyond - tensor > 1:
        middle = (tensor + beyond) // 2
        if starts[middle] <= place:
            tensor = middle
        else:
            beyond = middle
    return tensor, place - starts[tensor], min(end, starts[tensor + 1]) - place


@inner
def _part(row, addresses, piece, hyper):
    tensor, first, size = piece
    return carray(_pointer(addresses[row, tensor] + first * hyper.itemsize, hyper), size)


@ordered_inner
def _gradient_descent(chunk, chunks, starts, addresses, hyper):
    lr, decay = hyper[0], hyper[1]
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        for i in range(p.size):
            p[i] -= lr * (g[i] + decay * p[i])


@ordered_inner
def _momentum(chunk, chunks, starts, addresses, hyper):
    lr, decay, momentum, nesterov = hyper[0], hyper[1], hyper[2], hyper[3] != 0
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        v = _part(2, addresses, piece, hyper)
        if nesterov:
            for i in range(p.size):
                d = g[i] + decay * p[i]
                v[i] = momentum * v[i] + d
                p[i] -= lr * (d + momentum * v[i])
        else:
            for i in range(p.size):
                v[i] = momentum * v[i] + (g[i] + decay * p[i])
                p[i] -= lr * v[i]


@ordered_inner
def _adagrad(chunk, chunks, starts, addresses, hyper):
    lr, decay, eps = hyper[0], hyper[1], hyper[2]
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        s = _part(2, addresses, piece, hyper)
        for i in range(p.size):
            d = g[i] + decay * p[i]
            s[i] += d * d
            p[i] -= lr * d / (math.sqrt(s[i]) + eps)


@ordered_inner
def _rmsprop(chunk, chunks, starts, addresses, hyper):
    lr, decay, eps, alpha, rest = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        m = _part(2, addresses, piece, hyper)
        for i in range(p.size):
            d = g[i] + decay * p[i]
            m[i] = alpha * m[i] + rest * d * d
            p[i] -= lr * d / (math.sqrt(m[i]) + eps)


@ordered_inner
def _adadelta(chunk, chunks, starts, addresses, hyper):
    lr, decay, eps, rho, rest = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        m, u = _part(2, addresses, piece, hyper), _part(3, addresses, piece, hyper)
        for i in range(p.size):
            d = g[i] + decay * p[i]
            m[i] = rho * m[i] + rest * d * d
            d *= math.sqrt(u[i] + eps) / math.sqrt(m[i] + eps)
            u[i] = rho * u[i] + rest * d * d
            p[i] -= lr * d


@ordered_inner
def _adam(chunk, chunks, starts, addresses, hyper):
    rate, decay, eps, shrink, correction = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    beta1, rest1, beta2, rest2 = hyper[5], hyper[6], hyper[7], hyper[8]
    place, end = span(chunk, chunks, starts[-1], LINE)
    while place < end:
        piece = _piece_at(place, end, starts)
        place += piece[2]
        p, g = _part(0, addresses, piece, hyper), _part(1, addresses, piece, hyper)
        m, v = _part(2, addresses, piece, hyper), _part(3, addresses, piece, hyper)
        for i in range(p.size):
            q = shrink * p[i]
            d = g[i] + decay * q
            m[i] = beta1 * m[i] + rest1 * d
            v[i] = beta2 * v[i] + rest2 * d * d
            p[i] = q - rate * m[i] / (math.sqrt(v[i] / correction) + eps)


@inner
def _chunks(starts):
    return max(1, starts[-1] // CHUNK)


@kernel
def gradient_descent_step(starts, addresses, hyper):
    """hyper = lr, weight decay."""
    chunks = _chunks(starts)
    parallel_for(_gradient_descent, chunks, (chunks, starts, addresses, hyper))


@kernel
def momentum_step(starts, addresses, hyper):
    """hyper = lr, weight decay, momentum, 1 for Nesterov's form or 0."""
    chunks = _chunks(starts)
    parallel_for(_momentum, chunks, (chunks, starts, addresses, hyper))


@kernel
def adagrad_step(starts, addresses, hyper):
    """hyper = lr, weight decay, eps."""
    chunks = _chunks(starts)
    parallel_for(_adagrad, chunks, (chunks, starts, addresses, hyper))


@kernel
def rmsprop_step(starts, addresses, hyper):
    """hyper = lr, weight decay, eps, alpha, 1 - alpha."""
    chunks = _chunks(starts)
    parallel_for(_rmsprop, chunks, (chunks, starts, addresses, hyper))


@kernel
def adadelta_step(starts, addresses, hyper):
    """hyper = lr, weight decay, eps, rho, 1 - rho."""
    chunks = _chunks(starts)
    parallel_for(_adadelta, chunks, (chunks, starts, addresses, hyper))


@kernel
def adam_step(starts, addresses, hyper):
    """hyper = lr / (1 - beta1^step), coupled weight decay, eps, what the decoupled decay leaves of p,
    1 - beta2^step, beta1, 1 - beta1, beta2, 1 - beta2."""
    chunks = _chunks(starts)
    parallel_for(_adam, chunks, (chunks, starts, addresses, hyper))
