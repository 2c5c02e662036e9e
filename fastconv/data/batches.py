"""Mini-batches in an order that depends on the seed and the epoch alone.

A resumed run asks for the same (seed, epoch) and skips the batches it has seen. The orders are those of NumPy's PCG64
generator, which NumPy may change between its versions (NEP 19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from .pixels import channels_last

Array = npt.NDArray[Any]
Transform = Callable[[Array, np.random.Generator], Array]


def batches(
    x: Array,
    t: Array,
    batch_size: int,
    *,
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    drop_last: bool = False,
    skip: int = 0,
    transform: Transform | None = None,
) -> Iterator[tuple[Array, Array]]:
    """One epoch of (x_batch, t_batch) from x (N, ...) and t (N, ...); the last batch may be smaller.

    A batch of four axes (n, C, H, W) lies channels-last in memory, as the backends take it, whatever the layout of x;
    it is quickest where x lies so, as `load` gives it. Batches are copies.

    drop_last: leave out a last batch that is smaller. skip: start at this batch of the epoch. transform: called as
    transform(x_batch, rng) with a generator that depends on (seed, epoch, number of the batch) alone.

    Raises:
        ShapeError: x and t of different or zero length. ArgumentError: a size, seed or count out of range.
    """
    x, t = np.asarray(x), np.asarray(t)
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or not len(x):
        raise ShapeError(f"batches: x and t must hold equally many items, at least 1, got x {x.shape} and t {t.shape}")
    seed, epoch, skip = (
        whole_number("batches", name, value, 0) for name, value in (("seed", seed), ("epoch", epoch), ("skip", skip))
    )
    count = count_batches(len(x), batch_size, drop_last=drop_last)
    if skip > count:
        raise ArgumentError(f"batches: skip={skip} goes beyond the {count} batches of an epoch")
    order = _generator(seed, epoch, 0).permutation(len(x)) if shuffle else np.arange(len(x))
    chosen = (order[i * batch_size : (i + 1) * batch_size] for i in range(skip, count))
    pairs = ((take(x, rows), t[rows]) for rows in chosen)
    if transform is None:
        return pairs
    return (
        (channels_last(transform(x_batch, _generator(seed, epoch, 1 + i))), t_batch)
        for i, (x_batch, t_batch) in enumerate(pairs, start=skip)
    )


def count_batches(n: int, batch_size: int, *, drop_last: bool = False) -> int:
    """How many batches an epoch of n items has."""
    batch_size = whole_number("batches", "batch_size", batch_size, 1)
    return n // batch_size if drop_last else -(-n // batch_size)


def take(x: Array, rows: npt.NDArray[np.intp]) -> Array:
    """The items `rows` of x along the first axis, as a copy; four axes channels-last in memory."""
    if x.ndim != 4:
        return x[rows]
    by_pixel = x.transpose(0, 2, 3, 1)  # [N, H, W, C]
    if by_pixel.flags.c_contiguous:
        return by_pixel[rows].transpose(0, 3, 1, 2)
    return channels_last(x[rows])


def _generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch, stream))))
