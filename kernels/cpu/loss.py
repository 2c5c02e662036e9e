"""Softmax and cross-entropy over the rows of logits [N, classes].

    prob[n, c] = exp(x[n, c] - m) / s        m = max over c, s = sum over c of exp(x[n, c] - m)
    loss       = 1/N sum over n of (log s + m - x[n, label[n]]), log and sum over n in float64, in the order of rows
    dx[n, c]   = (prob[n, c] - [c == label[n]]) / N

One chunk owns some rows; a row stays in the first cache for its three sweeps.
"""

import math

from .jit import kernel, ordered_kernel
from .parallel import parallel_for, span
from .pointwise import exp_of_negative

CHUNK = 2048  # logits that are worth a chunk


@kernel
def _chunks(rows, classes):
    return max(1, min(rows, rows * classes // CHUNK))


@kernel
def _sum(row):
    total = row.dtype.type(0)
    for c in range(row.size):
        total += row[c]
    return total


@ordered_kernel
def _max(row):
    m = row[0]
    for c in range(row.size):
        m = row[c] if row[c] > m else m
    return m


@ordered_kernel
def _softmax_rows(chunk, chunks, losses, prob, logits, labels):
    first, last = span(chunk, chunks, logits.shape[0], 1)
    for n in range(first, last):
        x, e = logits[n], prob[n]
        m = _max(x)
        for c in range(x.size):
            e[c] = exp_of_negative(x[c] - m)
        s = _sum(e)
        for c in range(x.size):
            e[c] /= s
        losses[n] = math.log(float(s)) + (float(m) - float(x[labels[n]]))


@ordered_kernel
def _gradient_rows(chunk, chunks, dx, prob, labels):
    rows = prob.shape[0]
    first, last = span(chunk, chunks, rows, 1)
    scale = prob.dtype.type(rows)
    one = prob.dtype.type(1)
    for n in range(first, last):
        d, e = dx[n], prob[n]
        for c in range(e.size):
            d[c] = e[c] / scale
        d[labels[n]] = (e[labels[n]] - one) / scale


@ordered_kernel
def softmax_cross_entropy_forward(prob, losses, logits, labels):
    """Fills prob [N, classes] and losses [N] (float64); returns the mean loss."""
    rows, classes = logits.shape
    chunks = _chunks(rows, classes)
    parallel_for(_softmax_rows, chunks, (chunks, losses, prob, logits, labels))
    total = 0.0
    for n in range(rows):
        total += losses[n]
    return total / rows


@kernel
def softmax_cross_entropy_backward(dx, prob, labels):
    """dx [N, classes]."""
    rows, classes = prob.shape
    chunks = _chunks(rows, classes)
    parallel_for(_gradient_rows, chunks, (chunks, dx, prob, labels))
