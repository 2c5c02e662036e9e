"""One step of the tape: an operation with its forward and its backward side by side."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from ..backends.base import Array, Backend
from ..errors import ArgumentError, BackendError, DTypeError
from .mode import is_recording

if TYPE_CHECKING:
    from .tensor import Tensor

_order = count()


class Function:
    """A differentiable operation. A subclass gives `forward` and `backward` on the backend's arrays.

        class Scale(Function):
            def forward(self, be, x, *, factor):
                self.save(factor)
                return x * factor

            def backward(self, be, dy):
                (factor,) = self.saved
                return dy * factor,

    `forward` saves what `backward` needs; `backward` returns one gradient per input, None where `needs_grad` of that
    input is False or no gradient exists. Gradients are fresh arrays, or `dy` or views of it.
    """

    name: ClassVar[str] = "function"

    def __init__(self, backend: Backend, inputs: tuple[Tensor | None, ...]) -> None:
        self.backend = backend
        self.inputs = inputs
        self.needs_grad = tuple(t is not None and t.requires_grad for t in inputs)
        self.order = next(_order)
        self.saved: tuple[Any, ...] = ()
        self.released = False

    def save(self, *values: Any) -> None:
        """Keep arrays, geometry or numbers for `backward`."""
        self.saved = values

    def release(self) -> None:
        """Let go of what was saved; a second backward through here is an error."""
        self.saved = ()
        self.released = True

    def forward(self, be: Backend, *arrays: Any, **options: Any) -> Array:
        raise NotImplementedError

    def backward(self, be: Backend, dy: Array) -> tuple[Array | None, ...]:
        raise NotImplementedError

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Tensor:
        """Run `forward` on the arrays of `inputs` (tensors, None for an optional one) and record the step.

        Raises:
            ArgumentError: something else than tensors is among the inputs.
            BackendError: the tensors live on different backends.
            DTypeError: their floating types differ.
        """
        present = [t for t in inputs if t is not None]
        backend = cls._one_backend(present)
        step = cls(backend, inputs)
        data = step.forward(backend, *(None if t is None else t.data for t in inputs), **options)
        if not data.ndim:
            data = backend.asarray(data)  # NumPy's own operators return a scalar where no axis is left
        recorded = is_recording() and any(step.needs_grad)
        if recorded and data.dtype.kind != "f":
            raise DTypeError(
                f"{cls.name}: the result would be {data.dtype}, got {', '.join(str(t.dtype) for t in present)}; "
                f"convert the whole numbers with .astype('float32')"
            )
        return present[0].derived(data, step if recorded else None)

    @classmethod
    def _one_backend(cls, tensors: list[Tensor]) -> Backend:
        for value in tensors:
            if not hasattr(value, "backend"):
                raise ArgumentError(f"{cls.name}: {type(value).__name__} is no tensor; make one with fc.tensor(...)")
        first = tensors[0]
        for t in tensors[1:]:
            if t.backend is not first.backend:
                raise BackendError(
                    f"{cls.name}: one tensor lives on the {first.backend.name} backend and another on the "
                    f"{t.backend.name} backend; move one of them with .to({first.backend.name!r})"
                )
            if t.data.dtype != first.data.dtype and t.data.dtype.kind == first.data.dtype.kind == "f":
                raise DTypeError(
                    f"{cls.name}: tensors of {first.data.dtype} and {t.data.dtype} cannot be mixed; "
                    f"convert what is not float32 with .astype('float32')  "
                    f"(shapes {', '.join(str(tuple(s.shape)) for s in tensors)})"
                )
        return first.backend
