"""Softmax cross-entropy by its formula."""

from __future__ import annotations

import numpy as np

from ..checks import require_float, require_rows
from ..host import Array, HostMemory
from .store import store


class ReferenceLoss(HostMemory):
    """The loss part of the contract."""

    def softmax_cross_entropy_forward(
        self, logits: Array, labels: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("softmax_cross_entropy", logits=logits)
        require_rows("softmax_cross_entropy", "logits", logits, labels)
        shifted = logits - logits.max(1, keepdims=True)
        sums = np.exp(shifted).sum(1, keepdims=True)
        log_prob = shifted - np.log(sums)
        loss = -log_prob[np.arange(len(labels)), labels].astype("float64").mean()
        loss_out, prob_out = out if out is not None else (None, None)
        prob = np.exp(shifted) / sums
        return store(loss, loss_out, (), dtype), store(prob, prob_out, prob.shape, dtype)

    def softmax_cross_entropy_backward(self, prob: Array, labels: Array, *, out: Array | None = None) -> Array:
        dtype = require_float("softmax_cross_entropy_backward", prob=prob)
        require_rows("softmax_cross_entropy_backward", "prob", prob, labels)
        one_hot = np.eye(prob.shape[1], dtype=dtype)[labels]
        return store((prob - one_hot) / dtype.type(len(labels)), out, prob.shape, dtype)
