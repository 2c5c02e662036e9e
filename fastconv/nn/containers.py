"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, overload

from ..errors import ArgumentError
from .module import Module


class Sequential(Module):
    """Modules one after the other: `Sequential(Conv2d(1, 6, 5), ReLU())`; named "0", "1", ... or by keyword.

    Raises:
        ArgumentError: something else than a module is among them.
    """

    def __init__(self, *modules: Module, **named: Module) -> None:
        super().__init__()
        for name, module in {**{str(i): m for i, m in enumerate(modules)}, **named}.items():
            setattr(self, name, _required(module))

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def append(self, module: Module) -> Self:
        """Add a module at the end, named by its place."""
        setattr(self, str(len(self)), _required(module))
        return self

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, i: int) -> Module: ...

    @overload
    def __getitem__(self, i: slice) -> Sequential: ...

    def __getitem__(self, i: int | slice) -> Module:
        if isinstance(i, slice):
            return Sequential(**dict(list(self.named_children())[i]))
        return list(self)[i]


def _required(module: Any) -> Module:
    if isinstance(module, Module):
        return module
    advice = "write a Module whose forward calls it"
    if isinstance(module, type):
        advice = f"write {module.__name__}(), with parentheses"
    elif isinstance(module, list | tuple):
        advice = "put a * before it: Sequential(*layers)"
    raise ArgumentError(f"Sequential takes modules, got {module!r:.80}: {advice}")
