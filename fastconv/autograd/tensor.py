"""An array that can take part in a backward pass."""

from __future__ import annotations

import heapq
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import select
from ..backends.base import Array, Backend
from ..errors import ArgumentError, DTypeError, FastconvError, ShapeError
from .comparisons import Comparisons

if TYPE_CHECKING:
    from .function import Function


class Tensor(Comparisons):
    """An array on a backend, with its gradient and the step that made it.

    Shapes are logical: [N, C, H, W] for images, whatever the memory layout (channels-last) is. Make one with
    `fc.tensor`. `data` is the backend's own array; change it in place only where no backward pass needs it any more.
    """

    __array_priority__ = 100  # numpy_array + tensor is ours to answer

    def __init__(
        self, data: Array, backend: Backend, *, requires_grad: bool = False, source: Function | None = None
    ) -> None:
        if requires_grad and data.dtype.kind != "f":
            raise DTypeError(f"only floating tensors can require a gradient, this one is {data.dtype}")
        self.data = data
        self.backend = backend
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.source = source

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The logical shape, [N, C, H, W] for images."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def dtype(self) -> Any:
        """The element type, a NumPy dtype."""
        return self.data.dtype

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __repr__(self) -> str:
        more = (
            f", made by {self.source.name}" if self.source else (", requires_grad=True" if self.requires_grad else "")
        )
        return f"tensor({self.numpy()!r}, backend={self.backend.name!r}{more})"

    # Leaving the engine -----------------------------------------------------------------------------------------------

    def numpy(self) -> Any:
        """The values as a NumPy array, in main memory (shared with the tensor on the CPU)."""
        return self.backend.to_numpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        a = self.numpy()
        if copy is False and dtype is not None and a.dtype != dtype:
            raise ValueError(f"a {a.dtype} tensor cannot become {dtype} without a copy")
        return a.astype(dtype or a.dtype, copy=bool(copy))

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()

    def item(self) -> float:
        """The value of a tensor with one element."""
        if self.size != 1:
            raise ShapeError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        return self.numpy().item()

    def tolist(self) -> Any:
        """The values as Python numbers in nested lists."""
        return self.numpy().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ArgumentError(f"a tensor of shape {self.shape} is neither true nor false: compare t.numpy()")
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    # Copies with a change ---------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        twin = memo[id(self)] = object.__new__(type(self))
        for name, value in vars(self).items():  # CuPy's own deep copies forget the layout
            setattr(twin, name, self.data.copy(order="K") if name == "data" else deepcopy(value, memo))
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.data = self.backend.asarray(self.data)  # pickles forget the layout

    def detach(self) -> Tensor:
        """The same values, cut off from how they were made."""
        return Tensor(self.data, self.backend)

    def astype(self, dtype: Any) -> Tensor:
        """A copy of another type, cut off from how it was made."""
        return Tensor(self.backend.asarray(self.data, dtype), self.backend)

    def to(self, backend: str) -> Tensor:
        """The same values on another backend, cut off from how they were made; itself where it is there already."""
        target = select.get(backend)
        if target is self.backend:
            return self
        return Tensor(target.asarray(self.numpy()), target, requires_grad=self.requires_grad and self.source is None)

    def derived(self, data: Array, source: Function | None) -> Tensor:
        """What the step `source` made on this tensor's backend."""
        return Tensor(data, self.backend, requires_grad=source is not None, source=source)

    def constant(self, value: Any, dtype: Any = None) -> Tensor:
        """A number or an array as a tensor on this one's backend, of its type unless given, without a gradient."""
        return Tensor(self.backend.asarray(value, dtype or self.dtype), self.backend)

    # Backward ---------------------------------------------------------------------------------------------------------

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add d self / d leaf to `leaf.grad` of every tensor made with requires_grad=True that led here.

        gradient: d result / d self, of this tensor's shape; 1 for a tensor with one element.
        retain_graph: keep what was saved, so that backward can run through the same steps again.
        """
        if not self.requires_grad:
            raise ArgumentError("backward: this tensor requires no gradient; make its inputs with requires_grad=True")
        gradients: dict[int, Array] = {id(self): self._first_gradient(gradient)}
        pending = [_Pending(self)] if self.source else []
        if not pending:
            self.accumulate(gradients[id(self)].copy(order="K"))
        queued = {id(self)}
        while pending:
            tensor = heapq.heappop(pending).tensor
            step = tensor.source
            assert step is not None  # only made tensors are queued
            if step.released:
                raise FastconvError(
                    "backward ran through these steps before; use backward(retain_graph=True) the first time"
                )
            dy = gradients.pop(id(tensor))
            for source, dx in zip(step.inputs, step.backward(step.backend, dy), strict=True):
                if source is None or dx is None or not source.requires_grad:
                    continue
                if source.source is None:
                    # A leaf's gradient is its own: somebody may scale it in place.
                    source.accumulate(dx.copy(order="K") if _owner(dx) is _owner(dy) else dx)
                    continue
                gradients[id(source)] = gradients[id(source)] + dx if id(source) in gradients else dx
                if id(source) not in queued:
                    queued.add(id(source))
                    heapq.heappush(pending, _Pending(source))
            if not retain_graph:
                step.release()

    def accumulate(self, dx: Array) -> None:
        """Add `dx` to this leaf's gradient."""
        self.grad = Tensor(dx if self.grad is None else self.grad.data + dx, self.backend)

    def _first_gradient(self, gradient: Any) -> Array:
        if gradient is None:
            if self.size != 1:
                raise ShapeError(f"backward: a tensor of shape {self.shape} needs a gradient of that shape")
            gradient = self.backend.zeros(self.shape, self.dtype) + 1
        data = gradient.data if isinstance(gradient, Tensor) else gradient
        array = self.backend.asarray(data, self.dtype)
        if tuple(array.shape) != self.shape:
            raise ShapeError(f"backward: the gradient has shape {tuple(array.shape)}, the tensor {self.shape}")
        return array


def _owner(a: Array) -> Array:
    """The array whose memory `a` shows."""
    return a if a.base is None else a.base


class _Pending:
    """A tensor whose step waits for its turn: the step recorded last runs first, so all its gradients are in."""

    def __init__(self, tensor: Tensor) -> None:
        assert tensor.source is not None
        self.tensor = tensor
        self.order = tensor.source.order

    def __lt__(self, other: _Pending) -> bool:
        return self.order > other.order


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor with these values on the current backend (`fc.use`).

    Python floats and whole numbers become float32 and int64, float64 arrays stay float64. The memory of `data` is
    shared where it already lies as the backend needs it.

    Raises:
        DTypeError: the elements are no real numbers.
    """
    if isinstance(data, Tensor):
        data = data.data if data.backend is select.current() else data.numpy()
    backend = select.current()
    return Tensor(_real(as_array(backend, data, dtype)), backend, requires_grad=requires_grad)


def as_tensor(value: Any) -> Tensor:
    """`value` itself if it is a tensor, else a tensor made of it on the current backend."""
    return value if isinstance(value, Tensor) else tensor(value)


def as_tensors(*values: Any) -> tuple[Any, ...]:
    """Tensors stay, None stays, arrays become tensors on the backend of the first tensor (else the current one)."""
    backend = next((v.backend for v in values if isinstance(v, Tensor)), None) or select.current()
    return tuple(v if v is None or isinstance(v, Tensor) else Tensor(as_array(backend, v), backend) for v in values)


def as_array(backend: Backend, data: Any, dtype: Any = None) -> Array:
    """On `backend`; Python numbers become float32 or int64, arrays keep their type."""
    array = backend.asarray(data, dtype)
    if dtype is None and not hasattr(data, "dtype"):
        return backend.asarray(_real(array), "float32" if array.dtype.kind == "f" else "int64")
    return array


def host_array(data: Any) -> Any:
    """In main memory, in whatever order it lies there; Python numbers become float32 or int64 as in `tensor`."""
    if hasattr(data, "dtype"):
        return np.asarray(data)
    return tensor(data).numpy()


def _real(array: Array) -> Array:
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"tensors hold real numbers, got {array.dtype}")
    return array
