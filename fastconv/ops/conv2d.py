"""Convolution (cross-correlation: the filter is not flipped)."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Tensor, as_tensors
from ..backends import select
from ..backends.base import Array, Backend
from ..geometry import Conv2dGeometry, Padding, Size2


class Conv2d(Function):
    """y = x * w + b; see Backend.conv2d_forward for the equation."""

    name = "conv2d"

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None, *, geometry: Conv2dGeometry) -> Array:
        self.save(x, w, geometry)
        return be.conv2d_forward(x, w, b, geometry)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        x, w, g = self.saved
        dx = be.conv2d_backward_data(dy, w, g) if self.needs_grad[0] else None
        dw = db = None
        if self.needs_grad[1] or self.needs_grad[2]:
            dw, db = be.conv2d_backward_weight(dy, x, g)
        return dx, dw, db


def conv2d(
    x: Any, w: Any, b: Any = None, stride: Size2 = 1, padding: Padding = 0, dilation: Size2 = 1, groups: int = 1,
    *, strict: bool = False,
) -> Tensor:  # fmt: skip
    """Slide the filters `w` over the images `x`.

    x (N, C, H, W); w (OC, C/groups, KH, KW); b (OC,) or None; returns (N, OC, OH, OW).
    padding: a number, (height, width), (top, bottom, left, right), 'same' (OH = ceil(H / stride)) or 'valid'.
    strict: refuse sizes at which the stride leaves rows or columns over.

    Raises:
        ShapeError, ArgumentError: the sizes or options cannot be; the text names them all.
    """
    x, w, b = as_tensors(x, w, b)
    g = Conv2dGeometry.from_shapes(
        x.shape, w.shape, None if b is None else b.shape,
        stride=stride, padding=padding, dilation=dilation, groups=groups, strict=strict,
    )  # fmt: skip
    return Conv2d.apply(x, w, b, geometry=g)


def im2col(x: Any, FH: int, FW: int, stride: int = 1, pad: int = 0) -> Any:
    """The windows of the images `x` (N, C, H, W) as rows: (N*OH*OW, C*FH*FW), the lectures' im2col.

    Takes and returns arrays; column c*FH*FW + i*FW + j of a row is channel c, row i, column j of its window.
    """
    be = select.current()
    x = be.asarray(x)
    return be.im2col(x, _window(x.shape, FH, FW, stride, pad))


def col2im(col: Any, x_shape: tuple[int, ...], FH: int, FW: int, stride: int = 1, pad: int = 0) -> Any:
    """The adjoint of im2col: every entry of `col` added to the pixel it came from; returns (N, C, H, W)."""
    be = select.current()
    return be.col2im(be.asarray(col), _window(x_shape, FH, FW, stride, pad))


def _window(x_shape: tuple[int, ...], FH: int, FW: int, stride: int, pad: int) -> Conv2dGeometry:
    channels = x_shape[1] if len(x_shape) > 1 else 1
    return Conv2dGeometry.from_shapes(x_shape, (1, channels, FH, FW), stride=stride, padding=pad)
