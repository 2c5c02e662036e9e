"""The geometry of a pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ArgumentError, ShapeError
from .options import Padding, Size2, frozen, one_or_two, window_options
from .window import Window2d, axis_pair


@dataclass(frozen=True, kw_only=True)
class Pool2dGeometry(Window2d):
    """One pooling: x (N, C, H, W) to y (N, C, OH, OW).

    ceil_mode: round the output size up; a window that would start beyond the input and its left padding is dropped.
    count_include_pad: an average divides by all taps inside the padded input, else only by those inside the input.
    Every window holds at least one element of the input, so that a maximum always exists.
    """

    ceil_mode: bool = False
    count_include_pad: bool = True

    op = "pool2d"

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis, before in (("H", self.PH), ("W", self.PW)):
            self._check_windows_touch_input(axis, before)

    @staticmethod
    def from_shape(
        x_shape: Sequence[int],
        kernel: Size2,
        *,
        stride: Size2 | None = None,
        padding: Padding = 0,
        dilation: Size2 = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        strict: bool = False,
    ) -> Pool2dGeometry:
        """The geometry of a window over `x` (N, C, H, W); the stride defaults to the kernel's size."""
        op, x, stride = "pool2d", tuple(x_shape), kernel if stride is None else stride
        return _pool2d(
            frozen(op, "x's shape", x, x), frozen(op, "kernel", kernel, x), frozen(op, "stride", stride, x),
            frozen(op, "padding", padding, x), frozen(op, "dilation", dilation, x),
            bool(ceil_mode), bool(count_include_pad), bool(strict),
        )  # fmt: skip

    def _output_size(self, axis: str) -> int:
        size = super()._output_size(axis)
        stride, before, n = (self.SH, self.PH, self.H) if axis == "H" else (self.SW, self.PW, self.W)
        if self.ceil_mode:
            size = -(-(self._padded(axis) - self._extent(axis)) // stride) + 1
            if (size - 1) * stride >= n + before:
                size -= 1
        return size

    def _check_windows_touch_input(self, axis: str, before: int) -> None:
        n, stride, dilation, out = (
            (self.H, self.SH, self.DH, self.OH) if axis == "H" else (self.W, self.SW, self.DW, self.OW)
        )
        last = (out - 1) * stride - before
        edges_touch = before < self._extent(axis) and last < n
        if edges_touch and n < dilation:
            # Such gaps can step over the whole input: the first tap at or after row 0 must come before row n.
            left_of_input = min(out, -(-before // stride))
            edges_touch = all((o * stride - before) % dilation < n for o in range(left_of_input))
        if not edges_touch:
            raise ArgumentError(
                f"pool2d: a window along {axis} would lie in the padding only, where there is nothing to pool; "
                f"use less padding or a larger kernel  ({self})"
            )

    @property
    def taps(self) -> int:
        """Elements of a window, KH * KW."""
        return self.KH * self.KW

    @property
    def argmax_dtype(self) -> str:
        """The type that holds a position kh * KW + kw inside the window: one byte where it fits, else int32."""
        return "uint8" if self.taps <= 256 else "int32"

    def bytes(self, itemsize: int = 4) -> int:
        """Bytes of x and y."""
        return itemsize * self.N * self.C * (self.H * self.W + self.OH * self.OW)

    @property
    def name(self) -> str:
        """Row name in benchmarks and plans, e.g. mb100_ic30ih24_kh2sh2."""
        return f"mb{self.N}_ic{self.C}{axis_pair('ih', 'iw', self.H, self.W)}_{self._name_tail()}"

    def __str__(self) -> str:
        return f"x {self.x_shape} NCHW; {self._describe_window()}, ceil_mode={self.ceil_mode}"


@lru_cache(maxsize=4096)
def _pool2d(
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    strict: bool,
) -> Pool2dGeometry:
    seen = f"x {x} NCHW; kernel {kernel}"
    if len(x) != 4:
        raise ShapeError(f"pool2d: x must have 4 axes, it has {len(x)}  ({seen})")
    options = window_options("pool2d", x, one_or_two("pool2d", "kernel", kernel, seen), stride, padding, dilation, seen)
    g = Pool2dGeometry(
        N=x[0], C=x[1], H=x[2], W=x[3], ceil_mode=ceil_mode, count_include_pad=count_include_pad, **options
    )
    if strict:
        g.require_whole()
    return g
