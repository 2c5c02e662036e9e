"""Softmax and cross-entropy over the rows of logits [N, classes].

    prob[n, c] = exp(x[n, c] - m) / s        m = max over c, s = sum over c of exp(x[n, c] - m)
    loss       = 1/N sum over n of (log s + m - x[n, label[n]]), log and sum over n in float64, in the order of rows
    dx[n, c]   = (prob[n, c] - [c == label[n]]) / N

One chunk owns some rows; a row goes by in vectors and stays in the first cache for its three sweeps.
"""

import math

import numpy as np
from numba import carray

from .jit import inner, kernel, ordered_inner, ordered_kernel
from .lanes import (
    add,
    advance,
    divide,
    exp,
    fill,
    first,
    greater,
    greatest,
    load,
    pointer_to,
    store,
    subtract,
    total,
    width,
)
from .parallel import parallel_for, span

CHUNK = 2048  # logits that are worth a chunk


@inner
def _chunks(rows, classes):
    return max(1, min(rows, rows * classes // CHUNK))


@inner
def _largest(x, classes):
    """The largest of a row. A NaN may be passed over: it comes back through the sum."""
    nothing = fill(x, -np.inf)
    best = nothing
    for c in range(0, classes, width(x)):
        best = greater(best, first(load(x, c, classes), classes - c, nothing))
    return float(greatest(best))


@inner
def _divide(y, x, classes, by):
    """y[c] = x[c] / by for a row."""
    divisor = fill(x, by)
    for c in range(0, classes, width(x)):
        store(y, c, divide(load(x, c, classes), divisor), classes - c)


@ordered_inner
def _softmax_rows(chunk, chunks, losses, prob, logits, labels, rows, classes):
    begin, end = span(chunk, chunks, rows, 1)
    for n in range(begin, end):
        x, e = advance(logits, n * classes), advance(prob, n * classes)
        m = _largest(x, classes)
        shift, nothing = fill(x, m), fill(x, 0.0)
        sums = nothing
        for c in range(0, classes, width(x)):
            powers = exp(subtract(load(x, c, classes), shift))
            store(e, c, powers, classes - c)
            sums = add(sums, first(powers, classes - c, nothing))
        s = float(total(sums))
        _divide(e, e, classes, s)
        losses[n] = math.log(s) + (m - float(carray(x, classes)[labels[n]]))


@inner
def _gradient_rows(chunk, chunks, dx, prob, labels, rows, classes):
    begin, end = span(chunk, chunks, rows, 1)
    for n in range(begin, end):
        d, e = advance(dx, n * classes), advance(prob, n * classes)
        _divide(d, e, classes, float(rows))
        own, p = carray(d, classes), carray(e, classes)
        own[labels[n]] = (p[labels[n]] - p.dtype.type(1)) / p.dtype.type(rows)


@ordered_kernel
def softmax_cross_entropy_forward(mean, prob, losses, logits, labels):
    """Fills mean [1], the mean loss, prob [N, classes] and losses [N] (float64)."""
    rows, classes = logits.shape
    chunks = _chunks(rows, classes)
    args = (chunks, losses, pointer_to(prob), pointer_to(logits), labels, rows, classes)
    parallel_for(_softmax_rows, chunks, args)
    total_loss = 0.0
    for n in range(rows):
        total_loss += losses[n]
    mean[0] = total_loss / rows


@kernel
def softmax_cross_entropy_backward(dx, prob, labels):
    """dx [N, classes]."""
    rows, classes = prob.shape
    chunks = _chunks(rows, classes)
    parallel_for(_gradient_rows, chunks, (chunks, pointer_to(dx), pointer_to(prob), labels, rows, classes))
