"""Softmax and cross-entropy over the rows of logits [N, classes].

    prob[n, c] = exp(x[n, c] - m) / s        m = max over c, s = sum over c of exp(x[n, c] - m)
    loss       = 1/N sum over n of (log s + m - x[n, label[n]]), log and sum over n in float64, in the order of rows
    dx[n, c]   = (prob[n, c] - [c == label[n]]) / N

One chunk owns some rows; a row stays in the first cache for its three sweeps.
"""

import math

from numba import carray

from .jit import inner, kernel, ordered_inner, ordered_kernel
from .lanes import advance, greater, greatest, load, pointer_to, width
from .parallel import parallel_for, span
from .pointwise import exp_of_negative

CHUNK = 2048  # logits that are worth a chunk


@inner
def _chunks(rows, classes):
    return max(1, min(rows, rows * classes // CHUNK))


@inner
def _row(pointer, n, classes):
    """Row n without a reference count: two threads that count on one array wait for each other."""
    return carray(advance(pointer, n * classes), classes)


@inner
def _sum(row):
    total = row.dtype.type(0)
    for c in range(row.size):
        total += row[c]
    return total


@inner
def _max(pointer, n, classes):
    """The largest of row n. A NaN may be passed over: it comes back through the sum."""
    row = advance(pointer, n * classes)
    step = width(row)
    if classes < step:
        x = carray(row, classes)
        m = x[0]
        for c in range(1, classes):
            m = x[c] if x[c] > m else m
        return m
    best = load(row, 0, classes)
    for c in range(step, classes, step):
        best = greater(best, load(row, min(c, classes - step), classes))
    return greatest(best)


@ordered_inner
def _softmax_rows(chunk, chunks, losses, prob, logits, labels, rows, classes):
    first, last = span(chunk, chunks, rows, 1)
    for n in range(first, last):
        x, e = _row(logits, n, classes), _row(prob, n, classes)
        m = _max(logits, n, classes)
        for c in range(classes):
            e[c] = exp_of_negative(x[c] - m)
        s = _sum(e)
        for c in range(classes):
            e[c] /= s
        losses[n] = math.log(float(s)) + (float(m) - float(x[labels[n]]))


@ordered_inner
def _gradient_rows(chunk, chunks, dx, prob, labels, rows, classes):
    first, last = span(chunk, chunks, rows, 1)
    for n in range(first, last):
        d, e = _row(dx, n, classes), _row(prob, n, classes)
        scale = e.dtype.type(rows)
        for c in range(classes):
            d[c] = e[c] / scale
        d[labels[n]] = (e[labels[n]] - e.dtype.type(1)) / scale


@ordered_kernel
def softmax_cross_entropy_forward(prob, losses, logits, labels):
    """Fills prob [N, classes] and losses [N] (float64); returns the mean loss."""
    rows, classes = logits.shape
    chunks = _chunks(rows, classes)
    args = (chunks, losses, pointer_to(prob), pointer_to(logits), labels, rows, classes)
    parallel_for(_softmax_rows, chunks, args)
    total = 0.0
    for n in range(rows):
        total += losses[n]
    return total / rows


@kernel
def softmax_cross_entropy_backward(dx, prob, labels):
    """dx [N, classes]."""
    rows, classes = prob.shape
    chunks = _chunks(rows, classes)
    parallel_for(_gradient_rows, chunks, (chunks, pointer_to(dx), pointer_to(prob), labels, rows, classes))
