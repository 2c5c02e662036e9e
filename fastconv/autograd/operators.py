"""Python's operators on tensors, each with its derivative; shapes broadcast as in NumPy."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.base import Array, Backend
from ..errors import ArgumentError, DTypeError, ShapeError
from .function import Function

if TYPE_CHECKING:
    from .tensor import Tensor

Axes = int | tuple[int, ...] | None


class Operators:
    """The arithmetic of Tensor. A plain number or array on the other side is taken as a constant."""

    def __add__(self, other: Any) -> Tensor:
        return Add.apply(*self._operands(other))

    def __sub__(self, other: Any) -> Tensor:
        return Subtract.apply(*self._operands(other))

    def __mul__(self, other: Any) -> Tensor:
        return Multiply.apply(*self._operands(other))

    def __truediv__(self, other: Any) -> Tensor:
        return Divide.apply(*self._operands(other, fractions=True))

    def __radd__(self, other: Any) -> Tensor:
        return Add.apply(*reversed(self._operands(other)))

    def __rsub__(self, other: Any) -> Tensor:
        return Subtract.apply(*reversed(self._operands(other)))

    def __rmul__(self, other: Any) -> Tensor:
        return Multiply.apply(*reversed(self._operands(other)))

    def __rtruediv__(self, other: Any) -> Tensor:
        return Divide.apply(*reversed(self._operands(other, fractions=True)))

    def __neg__(self) -> Tensor:
        return self * -1

    def __pow__(self, exponent: float) -> Tensor:
        return Power.apply(self, exponent=exponent)

    def __matmul__(self, other: Any) -> Tensor:
        return MatMul.apply(*self._operands(other))

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The sum over `axis`, or over all elements."""
        return Sum.apply(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The mean over `axis`, or over all elements."""
        if not self.size:  # type: ignore[attr-defined]
            raise ShapeError(f"mean: there is nothing in shape {self.shape}")  # type: ignore[attr-defined]
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)  # type: ignore[attr-defined]

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements, in the order of the logical indices, under another shape; one size may be -1."""
        return Reshape.apply(self, shape=shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def transpose(self, *axes: int) -> Tensor:
        """Axes in another order; all reversed where none are given."""
        return Transpose.apply(self, axes=axes or tuple(reversed(range(self.ndim))))  # type: ignore[attr-defined]

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return self.transpose()

    def argmax(self, axis: int | None = None) -> Tensor:
        """The place of the largest element along `axis`, or among all; no gradient goes through it."""
        t: Any = self
        return t.constant(t.data.argmax(axis), dtype="int64")

    def __getitem__(self, key: Any) -> Tensor:
        return Pick.apply(self, key=key)

    def _operands(self, other: Any, fractions: bool = False) -> tuple[Tensor, Tensor]:
        """Both sides as tensors; whole numbers beside fractions take their type, and to be divided become float32."""
        a: Any = self
        if other is None or isinstance(other, str):
            raise DTypeError(f"arithmetic takes tensors, arrays and numbers, got {other!r:.40} beside shape {a.shape}")
        b: Any = other if isinstance(other, Operators) else a.constant(other, _constant_type(a.dtype, other))
        floats = [t.dtype for t in (a, b) if t.dtype.kind == "f"]
        if floats or fractions:
            a, b = (t if t.dtype.kind == "f" else t.astype((floats or ["float32"])[0]) for t in (a, b))
        return a, b


class Add(Function):
    """a + b"""

    name = "add"

    def forward(self, be: Backend, a: Array, b: Array) -> Array:
        require_broadcast(self.name, a, b)
        self.save(a.shape, b.shape)
        return be.asarray(a + b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a_shape, b_shape = self.saved
        return unbroadcast(be, dy, a_shape), unbroadcast(be, dy, b_shape)


class Subtract(Function):
    """a - b"""

    name = "subtract"

    def forward(self, be: Backend, a: Array, b: Array) -> Array:
        require_broadcast(self.name, a, b)
        self.save(a.shape, b.shape)
        return be.asarray(a - b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a_shape, b_shape = self.saved
        return unbroadcast(be, dy, a_shape), unbroadcast(be, -dy, b_shape)


class Multiply(Function):
    """a * b"""

    name = "multiply"

    def forward(self, be: Backend, a: Array, b: Array) -> Array:
        require_broadcast(self.name, a, b)
        self.save(a, b)
        return be.asarray(a * b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        da = unbroadcast(be, dy * b, a.shape) if self.needs_grad[0] else None
        return da, (unbroadcast(be, dy * a, b.shape) if self.needs_grad[1] else None)


class Divide(Function):
    """a / b"""

    name = "divide"

    def forward(self, be: Backend, a: Array, b: Array) -> Array:
        require_broadcast(self.name, a, b)
        self.save(a, b)
        return be.asarray(a / b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        da = unbroadcast(be, dy / b, a.shape) if self.needs_grad[0] else None
        return da, (unbroadcast(be, -dy * a / (b * b), b.shape) if self.needs_grad[1] else None)


class Power(Function):
    """a ** exponent, the exponent a number."""

    name = "power"

    def forward(self, be: Backend, a: Array, *, exponent: float) -> Array:
        if not isinstance(exponent, Real | np.ndarray) or np.ndim(exponent):
            raise ArgumentError(f"power: the exponent must be a number, got {type(exponent).__name__}")
        exponent = np.asarray(exponent).item()  # NumPy's own numbers would decide on the result's type
        if a.dtype.kind != "f" and (isinstance(exponent, float) or exponent < 0):
            a = be.asarray(a, "float32")
        self.save(a, exponent)
        return be.asarray(a**exponent)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a, exponent = self.saved
        return (be.asarray(dy * exponent * a ** (exponent - 1)),)


class MatMul(Function):
    """a (M, K) @ b (K, N)"""

    name = "matmul"

    def forward(self, be: Backend, a: Array, b: Array) -> Array:
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise ShapeError(f"matmul: a (M, K) and b (K, N) were expected, got {tuple(a.shape)} and {tuple(b.shape)}")
        self.save(a, b)
        return be.matmul(a, b)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        da = be.matmul(dy, b, trans_b=True) if self.needs_grad[0] else None
        return da, (be.matmul(a, dy, trans_a=True) if self.needs_grad[1] else None)


class Sum(Function):
    """The sum over some axes."""

    name = "sum"

    def forward(self, be: Backend, a: Array, *, axis: Axes, keepdims: bool) -> Array:
        y = a.sum(axis=axis, keepdims=True)
        self.save(a.shape, y.shape)
        return y if keepdims else be.asarray(a.sum(axis=axis), y.dtype)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        shape, kept_shape = self.saved
        return (be.asarray(be.zeros(shape, dy.dtype) + dy.reshape(kept_shape)),)


class Pick(Function):
    """Elements by numbers and slices, as NumPy's basic indexing."""

    name = "pick"

    def forward(self, be: Backend, a: Array, *, key: Any) -> Array:
        for part in key if isinstance(key, tuple) else (key,):
            if not (part is None or part is ... or isinstance(part, int | np.integer | slice)):
                raise ArgumentError(f"pick: t[...] takes whole numbers and slices, got {part!r:.40}; see t.numpy()")
        self.save(a.shape, key)
        return be.asarray(a[key])

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        shape, key = self.saved
        dx = be.zeros(shape, dy.dtype)
        dx[key] = dy
        return (dx,)


class Reshape(Function):
    """The same elements under another shape."""

    name = "reshape"

    def forward(self, be: Backend, a: Array, *, shape: tuple[int, ...]) -> Array:
        self.save(a.shape)
        return be.reshape(a, shape)

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        return (be.reshape(dy, self.saved[0]),)


class Transpose(Function):
    """Axes in another order."""

    name = "transpose"

    def forward(self, be: Backend, a: Array, *, axes: tuple[int, ...]) -> Array:
        if sorted(axes) != list(range(a.ndim)):
            raise ShapeError(f"transpose: axes {axes} do not order the {a.ndim} axes of shape {tuple(a.shape)}")
        self.save(axes)
        return be.asarray(a.transpose(axes))

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        (axes,) = self.saved
        return (be.asarray(dy.transpose([axes.index(i) for i in range(len(axes))])),)


def _constant_type(dtype: Any, value: Any) -> Any:
    """The type of `value` as a constant beside elements of `dtype`."""
    if dtype.kind == "f":
        return dtype
    if hasattr(value, "dtype"):
        return value.dtype
    values = np.asarray(value)
    if values.dtype.kind == "f":
        return "float32"
    if dtype.kind == "b":
        return "int64"
    if values.dtype.kind not in "iu" or not values.size:
        return dtype
    limits = np.iinfo(dtype)
    return dtype if limits.min <= values.min() and values.max() <= limits.max else "int64"


def require_broadcast(op: str, a: Array, b: Array) -> None:
    """Raise ShapeError unless the shapes broadcast, as in NumPy."""
    for m, n in zip(reversed(a.shape), reversed(b.shape), strict=False):
        if m != n and 1 not in (m, n):
            raise ShapeError(f"{op}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit together")


def unbroadcast(be: Backend, dy: Array, shape: tuple[int, ...]) -> Array:
    """dy summed over the axes along which an operand of `shape` was repeated."""
    dy = be.asarray(dy)  # arithmetic of CuPy leaves the layout of its operands
    if tuple(dy.shape) == tuple(shape):
        return dy
    added = dy.ndim - len(shape)
    axes = tuple(range(added)) + tuple(added + i for i, n in enumerate(shape) if n == 1 and dy.shape[added + i] != 1)
    return dy.sum(axis=axes, keepdims=True).reshape(shape)
