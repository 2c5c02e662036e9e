"""Local response normalisation (Krizhevsky, Sutskever & Hinton 2012, section 3.3), forward and backward.

    d[c]  = k + factor * sum over j of x[j]^2          j = c - before .. c + after, as far as there are channels
    y[c]  = x[c] d[c]^-beta
    dx[c] = dy[c] d[c]^-beta - 2 beta factor x[c] * sum over j of s[j]
    s[j]  = dy[j] x[j] d[j]^-beta / d[j]               j = c - after .. c + before, those whose windows meet c

Arrays are flat [rows, C], a row the channels of one pixel. Backward computes d again: that takes less time than reading
it. One chunk owns some rows and takes a block of them at a time, whose squares (and shares s) lie in scratch of its
own, a row of it with zeros on both sides: so a window is `taps` vectors of memory, each one element further on, and the
ends of rows need no care. By blocks, because a row's windows are read as soon as its squares are written, and a vector
that was written in two parts can be read only once both are out of the way.

AMD Zen 5, 2 cores, AVX-512, float32, size 5, microseconds, calls in turn (first ReLU, which only moves memory):
                        ReLU   forward   backward   PyTorch 2.13 forward   its forward and backward
    16x96x55x55          326      1586       2861                  26411                      66800
    16x64x56x56          210       941       1493                  18319                      44831
    16x192x56x56         946      2780       4532                  76202                     254228
    100x6x28x28           27       443        787                   3025                       6469
A vector takes 40 cycles, half of them the power, whose steps wait for one another: its logarithm in pairs (Estrin) took
9.1 ns to 7.0 for windows of one channel, 96 channels, one thread. Rows of scratch on whole cache lines: no gain.
"""

from .jit import inner, ordered_inner, ordered_kernel
from .lanes import (
    add,
    advance,
    divide,
    fill,
    load,
    multiply,
    multiply_add,
    pointer_to,
    power,
    store,
    subtract,
    width,
)
from .parallel import parallel_for, span


@inner
def _whole(x, at):
    """A vector that ends inside the memory."""
    return load(x, at, at + width(x))


@inner
def _clear(x, size):
    nothing = fill(x, 0.0)
    for i in range(0, size, width(x)):
        store(x, i, nothing, size - i)


@inner
def _window(squares, at, taps):
    """The sum of `taps` elements from each lane on."""
    total = _whole(squares, at)
    for tap in range(1, taps):
        total = add(total, _whole(squares, at + tap))
    return total


@inner
def _square(squares, x, size, first, last, p):
    """The squares of rows first .. last - 1."""
    C, _, before, room, _ = p
    for row in range(first, last):
        to = (row - first) * room + before
        for c in range(0, C, width(x)):
            v = load(x, row * C + c, size)
            store(squares, to + c, multiply(v, v), C - c)


@ordered_inner
def _normalise(chunk, chunks, y, x, size, scratch, p, factor, k, beta):
    C, taps, _, room, block = p
    squares = advance(scratch, chunk * block * room)
    _clear(squares, block * room)
    factors, ks, exponent = fill(x, factor), fill(x, k), fill(x, -beta)
    begin, end = span(chunk, chunks, size // C, 1)
    for first in range(begin, end, block):
        last = min(first + block, end)
        _square(squares, x, size, first, last, p)
        for row in range(first, last):
            for c in range(0, C, width(x)):
                at = row * C + c
                d = multiply_add(_window(squares, (row - first) * room + c, taps), factors, ks)
                store(y, at, multiply(load(x, at, size), power(d, exponent)), C - c)


@ordered_inner
def _share(dx, shares, squares, dy, x, size, first, last, p, factor, k, beta):
    """dx = dy d^-beta, and the shares, of rows first .. last - 1."""
    C, taps, before, room, _ = p
    factors, ks, exponent = fill(x, factor), fill(x, k), fill(x, -beta)
    for row in range(first, last):
        own = (row - first) * room
        for c in range(0, C, width(x)):
            at = row * C + c
            d = multiply_add(_window(squares, own + c, taps), factors, ks)
            part = multiply(load(dy, at, size), power(d, exponent))
            store(dx, at, part, C - c)
            store(shares, own + taps - 1 - before + c, divide(multiply(part, load(x, at, size)), d), C - c)


@inner
def _inhibit(dx, shares, x, size, first, last, p, factor):
    """What the shares take away from dx, in rows first .. last - 1."""
    C, taps, _, room, _ = p
    factors = fill(x, factor)
    for row in range(first, last):
        for c in range(0, C, width(x)):
            at = row * C + c
            inhibited = multiply(_window(shares, (row - first) * room + c, taps), factors)
            store(dx, at, subtract(load(dx, at, size), multiply(load(x, at, size), inhibited)), C - c)


@ordered_inner
def _differentiate(chunk, chunks, dx, dy, x, size, scratch, p, factor, k, beta):
    C, _, _, room, block = p
    squares = advance(scratch, 2 * chunk * block * room)
    shares = advance(squares, block * room)
    _clear(squares, 2 * block * room)
    begin, end = span(chunk, chunks, size // C, 1)
    for first in range(begin, end, block):
        last = min(first + block, end)
        _square(squares, x, size, first, last, p)
        _share(dx, shares, squares, dy, x, size, first, last, p, factor, k, beta)
        _inhibit(dx, shares, x, size, first, last, p, 2 * beta * factor)


@ordered_kernel
def local_response_norm_forward(y, x, scratch, p, factor, k, beta):
    """y from x. p: C, the taps of a window, those before its own channel, elements of a row of scratch (at least
    C + taps + a vector) and rows of a block; scratch is [chunks, block * room]."""
    chunks = scratch.shape[0]
    args = (chunks, pointer_to(y), pointer_to(x), x.size, pointer_to(scratch), p, factor, k, beta)
    parallel_for(_normalise, chunks, args)


@ordered_kernel
def local_response_norm_backward(dx, dy, x, scratch, p, factor, k, beta):
    """dx from dy and x; scratch is [chunks, 2 * block * room]."""
    chunks = scratch.shape[0]
    args = (chunks, pointer_to(dx), pointer_to(dy), pointer_to(x), x.size, pointer_to(scratch), p, factor, k, beta)
    parallel_for(_differentiate, chunks, args)
