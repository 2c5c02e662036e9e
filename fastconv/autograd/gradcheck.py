"""Derivatives by finite differences, to check the ones that were programmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import select
from ..errors import DTypeError
from .mode import no_grad
from .tensor import Tensor


def gradcheck(
    function: Callable[..., Tensor], *inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3
) -> bool:
    """Compare the gradients of `function(*inputs)` with central differences in float64.

    inputs: float64 arrays or tensors; every one gets a gradient. The result is weighted with fixed random numbers, so
    that one backward pass checks all its elements.

    Returns True, or raises AssertionError naming the input, the worst element and both derivatives.

    Raises:
        DTypeError: an input is not float64; finite differences in float32 prove nothing.
    """
    backend = next((t.backend for t in inputs if isinstance(t, Tensor)), select.current())
    tensors = [_leaf(backend, i, value) for i, value in enumerate(inputs)]
    y = function(*tensors)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
    y.backward(weights)
    for i, leaf in enumerate(tensors):
        analytic = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        numeric = numerical_gradient(lambda: _weighted(function(*tensors), weights), leaf.data, eps)
        bad = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))  # a NaN is bad too
        if bad.any():
            error = np.where(np.isnan(analytic - numeric), np.inf, np.abs(analytic - numeric))
            at = tuple(int(k) for k in np.unravel_index(error.argmax(), error.shape))
            raise AssertionError(
                f"gradcheck: input {i} of shape {leaf.shape}, {int(bad.sum())} of {bad.size} derivatives differ; "
                f"worst at {at}: backward {analytic[at]:.9g}, finite difference {numeric[at]:.9g}"
            )
    return True


def numerical_gradient(loss: Callable[[], float], array: Any, eps: float = 1e-4) -> Any:
    """d loss / d array by central differences: every element of `array` is moved by eps both ways, in place.

    loss: computes the scalar from the present values. Costs two calls for each element.
    """
    gradient = np.empty(array.shape, "float64")
    with no_grad():
        for at in np.ndindex(*array.shape):
            before = array[at].item()
            array[at] = before + eps
            above = loss()
            array[at] = before - eps
            below = loss()
            array[at] = before
            gradient[at] = (above - below) / (2 * eps)
    return gradient


def _leaf(backend: Any, i: int, value: Any) -> Tensor:
    data = value.data if isinstance(value, Tensor) else np.asarray(value)
    if data.dtype != "float64":
        raise DTypeError(f"gradcheck: input {i} is {data.dtype}, it must be float64")
    return Tensor(backend.asarray(data.copy()), backend, requires_grad=True)


def _weighted(y: Tensor, weights: Any) -> float:
    return float((y.numpy() * weights).sum())
