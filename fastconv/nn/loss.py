"""Losses as layers."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..ops.loss import cross_entropy, map_loss
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


class MAPLoss(Module):
    """Cross-entropy with one more class, rubbish, of constant score -j: the loss of LeNet-5 in 1998.

    See fc.functional.map_loss for the equation.
    """

    def __init__(self, j: float = 0.1) -> None:
        super().__init__()
        self.j = j

    def forward(self, scores: Any, labels: Any) -> Tensor:
        return map_loss(scores, labels, self.j)

    def options(self) -> str:
        return f"j={self.j}"
