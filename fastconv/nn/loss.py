"""Losses as layers."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..ops.loss import cross_entropy
from .module import Module


class CrossEntropyLoss(Module):
    """Softmax and cross-entropy of logits (N, classes) against labels (N,) or one-hot rows (N, classes)."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: Any, labels: Any) -> Tensor:
        return cross_entropy(logits, labels, self.reduction)

    def options(self) -> str:
        return f"reduction={self.reduction!r}"
