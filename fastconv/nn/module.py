"""What every layer and network is: parameters by name, training mode, saving and loading of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from ..autograd.tensor import Tensor, as_array
from ..backends import select
from ..errors import ArgumentError, FastconvError, ShapeError, UnsupportedError
from . import init

M = TypeVar("M")
Observer = Callable[["Module", tuple[Any, ...], Any], None]
_observers: ContextVar[tuple[Observer, ...]] = ContextVar("fastconv_observers", default=())


class _Kept(Tensor):
    """A tensor that belongs to a module, which finds it by its type, in the order in which attributes were set."""

    def __init__(self, data: Any, requires_grad: bool) -> None:
        backend = select.current()
        given = data if init.is_unset() and hasattr(data, "dtype") else as_array(backend, data)
        own = backend.empty(given.shape, given.dtype)  # where vectors of kernels do not lie across cache lines
        if not init.is_unset():
            own[...] = given
        super().__init__(own, backend, requires_grad=requires_grad)


class Parameter(_Kept):
    """A tensor that an optimizer trains."""

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)


class Buffer(_Kept):
    """A tensor that is saved, loaded and moved like a parameter, but that no optimizer trains: a running mean, say.

    Layers change its array in place: a compiled step keeps working on the same one.
    """

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=False)


class Module:
    """A layer or a network. A subclass sets parameters and modules as attributes and gives `forward`.

    class Net(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = fc.nn.Conv2d(1, 6, 5)

        def forward(self, x):
            return fc.functional.relu(self.conv(x))

    Attributes may also be lists, tuples and dicts of parameters, buffers and modules.
    """

    training = True  # of the class too, so that a subclass that forgets super().__init__() works all the same

    def __init__(self) -> None:
        self.training = True

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *inputs: Any) -> Any:
        try:
            y = self.forward(*inputs)
        except FastconvError as error:
            _note_layer(error, self)
            raise
        if y is None:
            raise ArgumentError(f"{type(self).__name__}.forward returned nothing: end it with `return`")
        for observer in _observers.get():
            observer(self, inputs, y)
        return y

    # What it consists of ----------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, in the order they were set; one in a list by the list's name and its place."""
        yield from _members(vars(self), Module)

    def own_parameters(self) -> list[tuple[str, Parameter]]:
        """The parameters directly inside, in the order they were set, not those of modules inside."""
        return list(_members(vars(self), Parameter))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside it, by dotted name."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters by dotted name, in the order they were set; a shared one comes once."""
        yield from self._named(Parameter)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers by dotted name, in the order they were set; a shared one comes once."""
        yield from self._named(Buffer)

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and buffers: what is saved, loaded and moved."""
        yield from self._named(_Kept)

    def parameters(self) -> list[Parameter]:
        """All parameters, in the order of `named_parameters`."""
        return [p for _, p in self.named_parameters()]

    def buffers(self) -> list[Buffer]:
        """All buffers, in the order of `named_buffers`."""
        return [b for _, b in self.named_buffers()]

    def _named(self, kind: type[M]) -> Iterator[tuple[str, M]]:
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in _members(vars(module), kind):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Multiplications of this layer's own forward pass, modules inside not counted."""
        return 0

    # Mode and gradients -----------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all inside it: dropout drops, batches are normalised by themselves."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: dropout lets everything through, batch normalisation takes its running statistics."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def to(self, backend: str) -> Self:
        """Move all parameters and buffers to another backend, in place.

        Make the optimizer afterwards: its arrays lie beside the parameters.

        Raises:
            BackendError: there is no such backend, or it cannot be used here.
        """
        target = select.get(backend)
        for _, p in self.named_tensors():
            p.data, p.backend, p.grad = target.asarray(p.numpy()), target, None
        return self

    # Values -----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The values of all parameters and buffers as NumPy arrays by name, copied."""
        return {name: p.numpy().copy() for name, p in self.named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters and buffers, in place, after every name and shape was checked: all of them or none.

        Raises:
            ArgumentError: names are missing or unknown.
            ShapeError: a shape differs.
        """
        own = dict(self.named_tensors())
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            raise ArgumentError(
                f"load_state_dict: these are missing: {sorted(missing) or 'none'}; "
                f"these are not known to {type(self).__name__}: {sorted(unknown) or 'none'}"
            )
        for name, p in own.items():
            if tuple(state[name].shape) != p.shape:
                raise ShapeError(f"load_state_dict: {name} has shape {p.shape}, the state {tuple(state[name].shape)}")
        for name, p in own.items():
            p.data[...] = p.backend.asarray(state[name], p.dtype)

    def __repr__(self) -> str:
        inside = "".join(f"\n({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children())
        return f"{type(self).__name__}({self.options()}{inside + chr(10) if inside else ''})"

    def options(self) -> str:
        """The options that `repr` shows."""
        return ""


def refuse_device(layer: str, device: object) -> None:
    """Raise UnsupportedError where PyTorch's argument `device` was given."""
    if device is not None:
        raise UnsupportedError(
            f"{layer}: device={device!r} is not taken; choose one by fc.use(...), or {layer}.to(...)"
        )


def _members(attributes: Mapping[str, Any], kind: type[M]) -> Iterator[tuple[str, M]]:
    """What is of this kind among the attributes, and in the lists, tuples and dicts among them."""
    for name, value in attributes.items():
        if isinstance(value, kind):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from _members({f"{name}.{i}": item for i, item in enumerate(value)}, kind)
        elif isinstance(value, dict):
            yield from _members({f"{name}.{key}": item for key, item in value.items()}, kind)


def _note_layer(error: FastconvError, module: Module) -> None:
    """Note beside the error which layer of `module` raised it; a module further out notes the longer name."""
    error.layer = error.layer or module
    name = next((name for name, inside in module.named_modules() if inside is error.layer), "")
    if name:
        layer = error.layer
        kind = f"{type(layer).__name__}({layer.options()})" if isinstance(layer, Module) else repr(layer)
        error.__notes__ = [f"in layer {name} of {type(module).__name__}: {kind}"]


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Inside this block `observer(module, inputs, output)` is called after every module's forward."""
    token = _observers.set((*_observers.get(), observer))
    try:
        yield
    finally:
        _observers.reset(token)
