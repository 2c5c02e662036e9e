"""The IDX format of MNIST: a magic number, the axes, then the elements, all big-endian.

    00 00 08 ndim | ndim x uint32 axes | unsigned bytes, last axis fastest

08 stands for unsigned bytes, the only type read here. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits", section "File formats".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .files import Readable, damaged, open_file, read_capped

UNSIGNED_BYTES = 0x0800


def read_idx(path: Path, *, most: int, each: tuple[int, ...] = ()) -> npt.NDArray[np.uint8]:
    """The array of an IDX file, plain or gzip: (N, *each) unsigned bytes with 1 <= N <= most.

    Every claim of the header is checked before an element is read.

    Raises:
        DataError: a wrong magic number or size, too few or too many elements, a damaged gzip stream.
    """
    with open_file(path) as stream:
        shape = _read_shape(path, stream, most, each)
        size = math.prod(shape)
        data = read_capped(stream, size)
    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else "more"
        raise damaged(path, f"{size} elements for its shape {shape}", found)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_shape(path: Path, stream: Readable, most: int, each: tuple[int, ...]) -> tuple[int, ...]:
    magic = UNSIGNED_BYTES + 1 + len(each)
    head = stream.read(4)
    if len(head) < 4 or int.from_bytes(head, "big") != magic:
        found = f"{int.from_bytes(head, 'big')} (bytes {head.hex(' ') or 'none'})"
        raise damaged(path, f"the IDX magic number {magic}", found)
    axes = stream.read(4 * (1 + len(each)))
    if len(axes) < 4 * (1 + len(each)):
        raise damaged(path, f"{1 + len(each)} axes after the magic number", f"the end after {len(axes)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(axes, ">u4"))
    if not 1 <= shape[0] <= most or shape[1:] != each:
        raise damaged(path, f"the shape ({', '.join(['N', *map(str, each)])}) with N from 1 to {most}", f"{shape}")
    return shape
