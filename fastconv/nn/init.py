"""First values of weights, drawn from the engine's random stream (`fc.manual_seed`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import random
from ..errors import ArgumentError, DTypeError

Array = npt.NDArray[Any]

BLOCK = 2**16  # numbers drawn at once: they stay in the cache

MOST = 1 << 60  # elements; NumPy's sizes in bytes overflow from here on
_limit: ContextVar[int | None] = ContextVar("fastconv_largest_weight", default=None)
_unset: ContextVar[bool] = ContextVar("fastconv_weights_unset", default=False)


@contextmanager
def at_most(elements: int) -> Iterator[None]:
    """Inside this block a larger array is an ArgumentError: for networks built as an untrusted file says."""
    token = _limit.set(elements)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def unset() -> Iterator[None]:
    """Inside this block no first values are drawn, and parameters hold anything: for networks whose sizes alone are
    asked for, or whose values come from a file. Memory is not taken before it is written.
    """
    token = _unset.set(True)
    try:
        yield
    finally:
        _unset.reset(token)


def is_unset() -> bool:
    """Whether this runs inside `unset()`."""
    return _unset.get()


def _require_room(shape: tuple[int, ...]) -> None:
    if prod(shape) >= MOST:
        raise ArgumentError(f"weights of shape {shape} are more than any memory holds")
    limit = _limit.get()
    if limit is not None and prod(shape) > limit:
        raise ArgumentError(f"weights of shape {shape} are more than the {limit} elements allowed here")


def uniform(shape: tuple[int, ...], bound: float, dtype: Any = None) -> Array:
    """Uniform between -bound and bound."""
    _require_room(shape)
    if is_unset():
        return _placeholder(shape, dtype)
    return _drawn(lambda n: random.generator().uniform(-bound, bound, n), shape, dtype)


def normal(shape: tuple[int, ...], std: float, dtype: Any = None) -> Array:
    """Normal around 0 with the standard deviation std."""
    _require_room(shape)
    if is_unset():
        return _placeholder(shape, dtype)
    return _drawn(lambda n: std * random.generator().standard_normal(n), shape, dtype)


def he(shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Normal with std sqrt(2 / fan in), for ReLU (He et al., arXiv 1502.01852); `shape` is (out, in, ...)."""
    return normal(shape, (2 / prod(shape[1:])) ** 0.5, dtype)


def xavier(shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Normal with std sqrt(1 / fan in), for sigmoid and tanh (Glorot & Bengio 2010); `shape` is (out, in, ...)."""
    return normal(shape, (1 / prod(shape[1:])) ** 0.5, dtype)


def zeros(shape: tuple[int, ...], dtype: Any = None) -> Array:
    """All zero, for biases."""
    _require_room(shape)
    return np.zeros(shape, _floating(dtype))


def ones(shape: tuple[int, ...], dtype: Any = None) -> Array:
    """All one, for scales."""
    _require_room(shape)
    return np.ones(shape, _floating(dtype))


def _drawn(draw: Callable[[int], Array], shape: tuple[int, ...], dtype: Any) -> Array:
    """Numbers from `draw(count)`, which are float64, block by block: all at once would take three times the memory."""
    drawn = np.empty(shape, _floating(dtype))
    flat = drawn.reshape(-1)
    for i in range(0, flat.size, BLOCK):
        flat[i : i + BLOCK] = draw(min(BLOCK, flat.size - i))
    return drawn


def _placeholder(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of this shape and type that takes no memory."""
    return np.broadcast_to(np.zeros((), _floating(dtype)), shape)


def _floating(dtype: Any) -> np.dtype[Any]:
    """The type of new weights, float32 unless given."""
    try:
        found = np.dtype(dtype or "float32")
    except TypeError:
        found = None
    if found not in ("float32", "float64"):
        raise DTypeError(f"weights are float32 or float64, got dtype={dtype!r}")
    return found
