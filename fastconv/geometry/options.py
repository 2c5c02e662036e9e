"""Stride, padding, dilation and kernel in every spelling, as plain numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex

from ..errors import ArgumentError, ShapeError

Size2 = SupportsIndex | Sequence[int]
Padding = SupportsIndex | Sequence[int] | Literal["same", "valid"]


def window_options(op: str, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, seen: str) -> dict[str, int]:
    if isinstance(stride, tuple) and len(stride) == 4:  # tf.nn.conv2d: (batch, height, width, channel)
        if stride[0] != 1 or stride[3] != 1:
            raise ArgumentError(f"{op}: strides over batch and channels must be 1, got {stride}  ({seen})")
        stride = stride[1:3]
    SH, SW = one_or_two(op, "stride", stride, seen)
    DH, DW = one_or_two(op, "dilation", dilation, seen)
    KH, KW = kernel
    if min(KH, KW) < 1:
        raise ShapeError(f"{op}: the kernel must be at least 1 x 1, got {(KH, KW)}  ({seen})")
    if min(SH, SW, DH, DW) < 1:
        raise ArgumentError(f"{op}: stride and dilation must be at least 1, got {(SH, SW)} and {(DH, DW)}  ({seen})")
    PH, PB, PW, PR = _sides(op, padding, x[2:], ((KH - 1) * DH + 1, (KW - 1) * DW + 1), (SH, SW), seen)
    return {"KH": KH, "KW": KW, "SH": SH, "SW": SW, "PH": PH, "PB": PB, "PW": PW, "PR": PR, "DH": DH, "DW": DW}


def _sides(op: str, padding: Any, sizes: Any, extents: Any, strides: Any, seen: str) -> tuple[int, int, int, int]:
    """Padding in any spelling as (top, bottom, left, right)."""
    mode = padding.lower() if isinstance(padding, str) else None  # TensorFlow writes them in capitals
    if mode == "valid":
        return 0, 0, 0, 0
    if mode == "same":
        sides: list[int] = []
        for n, extent, stride in zip(sizes, extents, strides, strict=True):
            total = max((-(-n // stride) - 1) * stride + extent - n, 0)
            sides += [total // 2, total - total // 2]
        return sides[0], sides[1], sides[2], sides[3]
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding
    if mode is not None:
        raise ArgumentError(f"{op}: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}  ({seen})")
    ph, pw = one_or_two(op, "padding", padding, seen)
    return ph, ph, pw, pw


def pair(op: str, what: str, value: Any) -> tuple[int, int]:
    """One number for both axes, or (height, width), as plain ints; raises ArgumentError for anything else."""
    return one_or_two(op, what, frozen(op, what, value), f"{what}={value!r}")


def one_or_two(op: str, what: str, value: Any, seen: str) -> tuple[int, int]:
    """One number for both axes, or (height, width)."""
    if isinstance(value, tuple) and len(value) in (1, 2):
        return value[0], value[-1]
    n = one_number(op, what, value, seen, " or (height, width)")
    return n, n


def one_number(op: str, what: str, value: Any, seen: str, otherwise: str = "") -> int:
    if isinstance(value, int):
        return value
    raise ArgumentError(f"{op}: {what} must be one number{otherwise}, got {value!r}  ({seen})")


def frozen(op: str, what: str, value: Any, *shapes: tuple[int, ...]) -> Any:
    """`value` in plain ints: a number, a tuple of numbers, or a string as it is.

    Before the cache, where 1, 1.0 and True would all find the same entry.
    """
    if isinstance(value, str):
        return value
    try:
        plain = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(plain, Sequence) and not isinstance(plain, bytes):
            return tuple(map(operator.index, plain))
        return operator.index(plain)
    except TypeError:
        seen = ", ".join(f"{name} {shape}" for name, shape in zip("xw", shapes, strict=False))
        seen = f"  ({seen})" if seen else ""
        raise ArgumentError(f"{op}: {what} must be made of whole numbers, got {value!r}{seen}") from None


def whole_number(op: str, what: str, value: Any, least: int | None = None) -> int:
    """`value` as a plain int; raises ArgumentError where it is none, or below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{op}: {what} must be a whole number, got {value!r:.60}") from None
    if least is not None and number < least:
        raise ArgumentError(f"{op}: {what} must be at least {least}, got {number}")
    return number
