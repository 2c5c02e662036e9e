"""Scratch memory that is used again: fresh large arrays cost a page fault every 4 KiB.

Every Python thread that calls has its own blocks, so two threads never write into one another's scratch. A block
keeps its name and grows to the largest size asked for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .host import aligned

Blocks = dict[str, npt.NDArray[np.uint8]]


class _Own(threading.local):
    def __init__(self) -> None:
        self.blocks: Blocks = {}


_own = _Own()


def scratch(name: str, shape: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """An uninitialised contiguous array, aligned to 64 bytes. The next call with the same name reuses its memory."""
    wanted = np.dtype(dtype)
    size = math.prod(shape) * wanted.itemsize
    blocks = _own.blocks
    block = blocks.get(name)
    if block is None or block.size < size:
        block = blocks[name] = aligned(size)
    return block[:size].view(wanted).reshape(tuple(shape))


@contextmanager
def separate(blocks: Blocks) -> Iterator[None]:
    """Inside this block the calling thread takes its scratch memory from `blocks`."""
    before, _own.blocks = _own.blocks, blocks
    try:
        yield
    finally:
        _own.blocks = before


def release() -> None:
    """Give the calling thread's scratch memory back."""
    _own.blocks.clear()
