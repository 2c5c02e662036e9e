"""The lectures' layers: `forward(x)` and `backward(dout)` on arrays, gradients left in `dW` and `db`.

For following a network by hand, one array at a time, as in the book behind the lectures (Saito, Deep Learning from
Scratch). They compute with the current backend's kernels; mixed float32 and float64 promote as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import select
from ..backends.base import Array
from ..errors import ShapeError
from ..geometry import Conv2dGeometry, Pool2dGeometry
from ..ops.loss import class_indices


class Convolution:
    """x (N, C, H, W) to (N, FN, OH, OW) with filters W (FN, C, FH, FW) and biases b (FN,).

    After `forward` the layer holds x, and on demand col and col_W: out = col . col_W + b, reshaped. After `backward`
    it holds dW and db.
    """

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = _array(W), _array(b), stride, pad
        self.x: Array | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Any) -> Array:
        """The output maps."""
        be = select.current()
        self.x, W, b = _alike(x, self.W, self.b)
        return be.conv2d_forward(self.x, W, b, self._geometry())

    def backward(self, dout: Any) -> Array:
        """dx; sets dW and db."""
        be = select.current()
        dout, x, W = _alike(dout, _forwarded(self, self.x), self.W)
        self.dW, self.db = be.conv2d_backward_weight(dout, x, self._geometry())
        return be.conv2d_backward_data(dout, W, self._geometry())

    @property
    def col(self) -> Array:
        """The windows of x as rows, (N*OH*OW, C*FH*FW)."""
        return select.current().im2col(_forwarded(self, self.x), self._geometry())

    @property
    def col_W(self) -> Array:
        """The filters as columns, (C*FH*FW, FN)."""
        return self.W.reshape(self.W.shape[0], -1).T

    def _geometry(self) -> Conv2dGeometry:
        x = _forwarded(self, self.x)
        return Conv2dGeometry.from_shapes(x.shape, self.W.shape, self.b.shape, stride=self.stride, padding=self.pad)


class Pooling:
    """The maximum of each pool_h x pool_w window; padding counts as minus infinity and never wins."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad
        self.x: Array | None = None
        self._argmax: Array | None = None

    def forward(self, x: Any) -> Array:
        """The pooled maps (N, C, OH, OW)."""
        (self.x,) = _alike(x)
        y, self._argmax = select.current().max_pool2d_forward(self.x, self._geometry())
        return y

    def backward(self, dout: Any) -> Array:
        """dx: each gradient where its maximum stood."""
        (dout,) = _alike(dout)
        return select.current().max_pool2d_backward(dout, _forwarded(self, self._argmax), self._geometry())

    @property
    def arg_max(self) -> Array:
        """The place of each maximum inside its window, flat in the order n, oh, ow, c."""
        return _forwarded(self, self._argmax).transpose(0, 2, 3, 1).reshape(-1)

    def _geometry(self) -> Pool2dGeometry:
        window = (self.pool_h, self.pool_w)
        return Pool2dGeometry.from_shape(_forwarded(self, self.x).shape, window, stride=self.stride, padding=self.pad)


class Affine:
    """x . W + b with W (IN, OUT) and b (OUT,); x with more than two axes is flattened and its gradient shaped back."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = _array(W), _array(b)
        self.x: Array | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Any) -> Array:
        """(N, OUT)"""
        x = _array(x)
        self.original_x_shape = tuple(x.shape)
        self.x, W, b = _alike(x.reshape(x.shape[0], -1), self.W, self.b)
        if self.x.shape[1] != W.shape[0]:
            raise ShapeError(f"Affine: W {tuple(W.shape)} expects {W.shape[0]} inputs, x has {self.x.shape[1]}")
        return select.current().linear_forward(self.x, W.T, b)

    def backward(self, dout: Any) -> Array:
        """dx in the shape of x; sets dW and db."""
        dout, x, W = _alike(dout, _forwarded(self, self.x), self.W)
        dx, dw, self.db = select.current().linear_backward(dout, x, W.T)
        self.dW = dw.T
        return dx.reshape(self.original_x_shape)  # type: ignore[union-attr]


class Relu:
    """0 for x < 0, x for x >= 0."""

    kind = "relu"

    def __init__(self) -> None:
        self.out: Array | None = None

    def forward(self, x: Any) -> Array:
        """The activation of every element."""
        (x,) = _alike(x)
        self.out = select.current().activation_forward(self.kind, x)
        return self.out

    def backward(self, dout: Any) -> Array:
        """dx"""
        (dout,) = _alike(dout)
        return select.current().activation_backward(self.kind, dout, _forwarded(self, self.out))


class Sigmoid(Relu):
    """1 / (1 + exp(-x))"""

    kind = "sigmoid"


class SoftmaxWithLoss:
    """Softmax and the mean cross-entropy against t: class numbers (N,) or one-hot rows (N, classes)."""

    def __init__(self) -> None:
        self.loss: float | None = None
        self.y: Array | None = None
        self.t: Array | None = None

    def forward(self, x: Any, t: Any) -> float:
        """The loss; keeps the probabilities y and the labels t."""
        (x,) = _alike(x)
        self.t = class_indices(t).data
        loss, self.y = select.current().softmax_cross_entropy_forward(x, self.t)
        self.loss = float(loss)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """(y - one_hot(t)) / N, times dout."""
        return select.current().softmax_cross_entropy_backward(_forwarded(self, self.y), self.t) * dout


def _alike(*arrays: Any) -> tuple[Array, ...]:
    """Arrays on the current backend, all of the widest floating type among them."""
    be = select.current()
    arrays = tuple(map(_array, arrays))
    dtype = np.result_type(np.float32, *(a.dtype for a in arrays))
    return tuple(be.asarray(a, dtype) for a in arrays)


def _array(value: Any) -> Any:
    """Lists of numbers as a NumPy array, arrays of any library as they are."""
    return value if hasattr(value, "dtype") else np.asarray(value)


def _forwarded(layer: object, value: Any) -> Array:
    if value is None:
        raise ShapeError(f"{type(layer).__name__}: call forward before backward, there is no input yet")
    return value
