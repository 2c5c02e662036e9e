"""The engine's one stream of random numbers: first weights, dropout, shuffling seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ArgumentError

_generator = np.random.default_rng()


def manual_seed(seed: int) -> None:
    """Start the stream again from `seed`: the same program then makes the same weights and drops the same units.

    Raises:
        ArgumentError: the seed is not a whole number from 0.
    """
    global _generator
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"manual_seed: seed must be a whole number from 0, got {seed!r}")
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The stream itself, for drawing first weights."""
    return _generator


class DrawnSeed(int):
    """A seed that came from the stream and not from the user: a compiled step draws a fresh one at each run."""


def next_seed() -> DrawnSeed:
    """A fresh seed from the stream, from 0 to 2^63 - 1."""
    return DrawnSeed(_generator.integers(2**63))


def get_state() -> dict[str, Any]:
    """Where the stream stands, as plain numbers that JSON can hold."""
    return dict(_generator.bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Continue the stream from where `get_state` was called."""
    manual_seed(0)
    _generator.bit_generator.state = state
