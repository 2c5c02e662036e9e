"""Noticing that a model is no longer the one a plan was made from, at every run and at next to no cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..autograd.tensor import Tensor
from ..backends.base import Backend
from ..errors import FastconvError
from ..nn.module import Module
from .capture import Symbol


class Watch:
    """The modules of a model and its loss, their options, and the arrays of parameters and buffers, as they are now.

    modes: which modules were in training mode when `changed` was asked last.

    LeNet-5, AMD Zen 5: 15.5 us a look when modules were walked and options picked out every time, 1.9 us in one
    comparison of all their dictionaries, which stops at what is identical.
    """

    def __init__(self, roots: Sequence[Module], tensors: Iterable[Tensor]) -> None:
        self._roots = roots
        modules = self._inside()
        self._attributes = [vars(module) for module in modules]
        self._look()
        self._modules = [(module, _options(module)) for module in modules]
        self._arrays = [(t, t.data, t.requires_grad) for t in tensors]

    @property
    def backend(self) -> Backend:
        """Where the parameters are."""
        return self._arrays[0][0].backend

    def changed(self) -> bool:
        """Whether layers, options, whole arrays or `requires_grad` differ; values inside arrays may."""
        for p, data, trained in self._arrays:
            if p.data is not data or p.requires_grad is not trained:
                return True
        try:
            if self._attributes == self._seen:
                return False
        except (FastconvError, TypeError, ValueError):  # another array or tensor: their == has no one answer, or none
            pass
        if self._differs():
            return True
        self._look()  # with other modes
        return False

    def _inside(self) -> list[Module]:
        return [module for root in self._roots for _, module in root.named_modules()]

    def _look(self) -> None:
        self._seen = [_copied(attributes, quick=True) for attributes in self._attributes]
        self.modes = tuple([attributes.get("training", True) for attributes in self._attributes])

    def _differs(self) -> bool:
        modules = self._inside()
        return len(modules) != len(self._modules) or not all(
            module is seen and _options(module) == options
            for module, (seen, options) in zip(modules, self._modules, strict=True)
        )


class _Identity:
    """Stands for a tensor or an array where equality shall mean the same object, and not equal values."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return other is self.values or (isinstance(other, _Identity) and other.values is self.values)

    __hash__ = object.__hash__


def _copied(value: Any, *, quick: bool) -> Any:
    """An attribute, of lists and dicts a copy: layers may be added to them later. Tensors and arrays become
    _Identity.

    quick: those of several elements stay, because comparing two different ones raises an error all the same.
    """
    if isinstance(value, Symbol):
        return value
    if isinstance(value, Tensor) or hasattr(value, "__array_function__"):  # an array of NumPy, of CuPy
        return value if quick and value.size > 1 else _Identity(value)
    if type(value) in (list, tuple):
        return type(value)(_copied(item, quick=quick) for item in value)
    if type(value) is dict:
        return {name: _copied(item, quick=quick) for name, item in value.items()}
    return value.copy() if isinstance(value, list | dict) else value


def _options(module: Module) -> dict[str, Any]:
    return {
        name: _copied(value, quick=False)
        for name, value in vars(module).items()
        if name != "training" and not _is_recorded(value)
    }


def _is_recorded(value: Any) -> bool:
    """Whether a forward stored this value of its own while a plan was made."""
    return isinstance(value.data if isinstance(value, Tensor) else value, Symbol)
