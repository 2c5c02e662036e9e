"""Every computed array's place in one block of memory: arrays that are never needed at the same time share it."""

from __future__ import annotations

from collections.abc import Callable, Set
from math import prod
from typing import Any

import numpy as np

from .plan import Plan, Value

ALIGNMENT = 64  # bytes, a cache line and the widest vector


def place(plan: Plan, allocate: Callable[[int], Any], lasting: Set[Value] = frozenset()) -> dict[Value, Any]:
    """An array for every value of the plan: its own, or a piece of one block that `allocate(bytes)` gives.

    lasting: values that are there before the first call and keep their memory.

    Largest first, each at the lowest offset that is free during its whole life (greedy by size: Pisarchyk & Lee,
    arXiv 2001.03288). Fills in `plan.arena_bytes` and `plan.unshared_bytes`.
    """
    lives = _lives(plan) | {v: (0, len(plan.calls)) for v in lasting if v.role == "computed"}
    offsets: dict[Value, int] = {}
    for value in sorted(lives, key=lambda v: -v.nbytes):
        offsets[value] = _lowest_free(value, lives, offsets)
    plan.arena_bytes = max((offsets[v] + _rounded(v.nbytes) for v in offsets), default=0)
    plan.unshared_bytes = sum(_rounded(v.nbytes) for v in lives)
    block = allocate(plan.arena_bytes)
    return {value: _piece(block, value, offset) for value, offset in offsets.items()}


def shaped(block: Any, shape: tuple[int, ...]) -> Any:
    """Elements in the order of memory seen as an array of the engine: four axes lie channels-last."""
    if len(shape) != 4:
        return block.reshape(shape)
    n, c, h, w = shape
    return block.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _lives(plan: Plan) -> dict[Value, tuple[int, int]]:
    """From which call to which each computed value is needed; results until the end."""
    lives: dict[Value, tuple[int, int]] = {}
    for i, call in enumerate(plan.calls):
        for out in call.outputs:
            if out is not None:
                lives[out] = (i, i)
        for value in call.values():
            owner = value.owner
            if owner.role == "computed":
                lives[owner] = (lives[owner][0], i)
    for value in plan.results:
        if value.owner.role == "computed":
            lives[value.owner] = (lives[value.owner][0], len(plan.calls))
    return lives


def _lowest_free(value: Value, lives: dict[Value, tuple[int, int]], offsets: dict[Value, int]) -> int:
    first, last = lives[value]
    taken = sorted(
        (offset, offset + _rounded(other.nbytes))
        for other, offset in offsets.items()
        if lives[other][0] <= last and first <= lives[other][1]
    )
    at = 0
    for start, end in taken:
        if at + value.nbytes <= start:
            break
        at = max(at, end)
    return at


def _piece(block: Any, value: Value, offset: int) -> Any:
    count = prod(value.shape) * np.dtype(value.dtype).itemsize
    return shaped(block[offset : offset + count].view(value.dtype), value.shape)


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
