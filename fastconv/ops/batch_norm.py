"""Batch normalisation: every channel with mean 0 and variance 1, then scaled and shifted as training finds best."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensors
from ..backends.base import Array, Backend
from ..backends.checks import require_batch_norm
from ..errors import ArgumentError


class BatchNorm(Function):
    """gamma (x - mean) / sqrt(var + eps) + beta, with the statistics of the batch or the running ones."""

    name = "batch_norm"

    def forward(
        self, be: Backend, x: Array, gamma: Array | None, beta: Array | None, running_mean: Array | None,
        running_var: Array | None, *, training: bool, momentum: float, eps: float,
    ) -> Array:  # fmt: skip
        if training:
            mean, var = be.batch_norm_statistics(x, running_mean, running_var, momentum=momentum)
        else:
            mean, var = running_mean, running_var
        y = be.batch_norm_forward(x, mean, var, gamma, beta, eps=eps)
        self.save(x, mean, var, gamma, eps, training)
        return y

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        x, mean, var, gamma, eps, training = self.saved
        dx, dgamma, dbeta = be.batch_norm_backward(dy, x, mean, var, gamma, eps=eps, batch_statistics=training)
        return dx, dgamma, dbeta, None, None


def batch_norm(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel of x (N, C) or (N, C, H, W) normalised, times weight (C,), plus bias (C,).

    training: mean and variance are taken over the batch and the image, and the running ones (tensors (C,), or None)
    move towards them in place: by `momentum` of the way, and to the variance with M - 1 below the sum of its M squares.
    Else the running ones are taken (Ioffe & Szegedy, arXiv 1502.03167).

    Raises:
        ShapeError: x has other axes, one element of a channel while training, or as many channels as no other array.
    """
    if not training and (running_mean is None or running_var is None):
        raise ArgumentError("batch_norm: without training it needs running_mean and running_var")
    if not 0 <= momentum <= 1 or not eps >= 0:
        raise ArgumentError(f"batch_norm: momentum must be from 0 to 1 and eps at least 0, got {momentum} and {eps}")
    tensors = as_tensors(x, weight, bias, running_mean, running_var)
    x, *channels = (None if t is None else t.data for t in tensors)
    named = dict(zip(("weight", "bias", "running_mean", "running_var"), channels, strict=True))
    require_batch_norm("batch_norm", x, batch_statistics=training, **named)
    return BatchNorm.apply(*tensors, training=training, momentum=momentum, eps=eps)
