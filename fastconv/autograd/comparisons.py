"""Tensors compared with tensors, arrays and numbers: True or False for each element, as in NumPy and PyTorch."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backends.base import Array, Backend
from .function import Function
from .operators import Operators, require_broadcast

if TYPE_CHECKING:
    from .tensor import Tensor


class Comparisons(Operators):
    """==, !=, <, <=, > and >=; shapes broadcast, no gradient goes through. A tensor's hash is still its identity's."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._compared(other, operator.eq)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._compared(other, operator.ne)

    def __lt__(self, other: Any) -> Tensor:
        return self._compared(other, operator.lt)

    def __le__(self, other: Any) -> Tensor:
        return self._compared(other, operator.le)

    def __gt__(self, other: Any) -> Tensor:
        return self._compared(other, operator.gt)

    def __ge__(self, other: Any) -> Tensor:
        return self._compared(other, operator.ge)

    def _compared(self, other: Any, relation: Callable[[Any, Any], Any]) -> Tensor:
        if not (isinstance(other, Operators | int | float | list | tuple) or hasattr(other, "dtype")):
            return NotImplemented  # None, a string: Python's own answer
        a, b = self._operands(other)
        return Compare.apply(a.detach(), b.detach(), relation=relation)


class Compare(Function):
    """relation(a, b), element by element."""

    name = "compare"

    def forward(self, be: Backend, a: Array, b: Array, *, relation: Callable[[Any, Any], Any]) -> Array:
        require_broadcast(self.name, a, b)
        return be.asarray(relation(a, b))
