"""Losses: one number that says how wrong the prediction is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensor, as_tensors
from ..backends.base import Array, Backend
from ..errors import ArgumentError, DTypeError, ShapeError
from .shape import concat


class SoftmaxCrossEntropy(Function):
    """The mean of -log softmax(logits)[label]."""

    name = "cross_entropy"

    def forward(self, be: Backend, logits: Array, labels: Array) -> Array:
        loss, prob = be.softmax_cross_entropy_forward(logits, labels)
        self.save(prob, labels)
        return loss

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        prob, labels = self.saved
        return be.softmax_cross_entropy_backward(prob, labels) * dy, None


class Softmax(Function):
    """exp(x) / sum(exp(x)) over the last axis."""

    name = "softmax"

    def forward(self, be: Backend, x: Array) -> Array:
        labels = be.zeros((x.shape[0],), "int64")
        _, prob = be.softmax_cross_entropy_forward(x, labels)
        self.save(prob)
        return prob

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        (prob,) = self.saved
        return (prob * (dy - (dy * prob).sum(-1, keepdims=True)),)


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Tensor:
    """Softmax and cross-entropy in one: -log softmax(logits)[label], its mean or sum over the batch.

    logits (N, classes); labels (N,) whole numbers from 0 to classes - 1, or one-hot rows (N, classes).
    """
    logits, labels = as_tensors(logits, labels)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ShapeError(f"cross_entropy: logits must be (N, classes), got {logits.shape}")
    if logits.shape[0] == 0:
        raise ShapeError(f"cross_entropy: the batch is empty, logits {logits.shape}, labels {labels.shape}")
    if labels.shape not in (logits.shape, logits.shape[:1]):
        raise ShapeError(
            f"cross_entropy: one label per row or one-hot rows are needed, logits {logits.shape}, labels {labels.shape}"
        )
    labels = class_indices(labels)
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"cross_entropy: labels must be whole numbers or one-hot rows, got {labels.dtype}")
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"cross_entropy: reduction must be 'mean' or 'sum', got {reduction!r}")
    loss = SoftmaxCrossEntropy.apply(logits, labels)
    return loss if reduction == "mean" else loss * logits.shape[0]


def map_loss(scores: Any, labels: Any, j: float = 0.1) -> Tensor:
    """The mean over the batch of y[label] + log(exp(-j) + sum over classes of exp(-y)), with y = -scores.

    scores (N, classes): minus the penalties y of all classes, distances of RBF units say; labels as cross_entropy's.
    The first term pulls the right class's penalty down, the second pushes the others' up as long as they are not far
    above j: the negative logarithm of the right class's probability beside a class of rubbish whose penalty is j.

    LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, equation 9, which says of j only that it is
    positive. Without the second term it is their equation 8; with a large j it is cross_entropy(scores, labels).
    """
    scores, labels = as_tensors(scores, labels)
    if scores.ndim != 2:
        raise ShapeError(f"map_loss: scores must be (N, classes), got {scores.shape}")
    if labels.shape not in (scores.shape, scores.shape[:1]):
        raise ShapeError(
            f"map_loss: one label per row or one-hot rows are needed, scores {scores.shape}, labels {labels.shape}"
        )
    labels, classes = class_indices(labels), scores.shape[1]
    if isinstance(labels.data, np.ndarray) and (labels.data >= classes).any():  # rubbish is nobody's label
        raise ArgumentError(f"map_loss: labels must be from 0 to {classes - 1}, got {labels.data.max()}")
    rubbish = scores.constant(np.full((scores.shape[0], 1), -j))
    return cross_entropy(concat([scores, rubbish], axis=1), labels)


def softmax(x: Any) -> Tensor:
    """Positive numbers that add up to 1 in each row of x (N, classes)."""
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(f"softmax: x must be (N, classes), got {x.shape}")
    return Softmax.apply(x)


def class_indices(labels: Any) -> Tensor:
    """Labels as whole numbers (N,): one-hot rows (N, classes) become the place of their one.

    Raises:
        ArgumentError: a row is not one-hot (looked at in main memory only, not on a device).
    """
    labels = as_tensor(labels)
    be, data = labels.backend, labels.data
    if labels.ndim == 2:
        if not is_one_hot(labels):
            raise ArgumentError("labels: every row must be one-hot, zeros and a single 1; shares are not implemented")
        data = data.argmax(1)
    return Tensor(be.asarray(data, "int64") if data.dtype.kind in "iu" else data, be)


def is_one_hot(labels: Tensor) -> bool:
    """Whether these are rows (N, 2 or more classes) of zeros and a single 1; on a device the shape alone decides."""
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    rows = labels.data
    return not isinstance(rows, np.ndarray) or bool(((rows == 0) | (rows == 1)).all() and (rows.sum(1) == 1).all())
