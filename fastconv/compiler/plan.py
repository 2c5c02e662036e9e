"""What a compiled step is made of: values, the calls that make them, and the plan that lists both.

A plan is data. `print(plan)` shows every call with its shapes, parameters, multiplications and bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

Role = Literal["input", "parameter", "buffer", "constant", "computed"]


@dataclass(eq=False)
class Value:
    """An array of the plan: what it looks like and, for everything that is not computed, where it is.

    alias: the value whose memory this one shares, seen under another shape.
    """

    shape: tuple[int, ...]
    dtype: Any
    role: Role
    name: str = ""
    array: Any = None
    alias: Value | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.size * self.dtype.itemsize

    @property
    def owner(self) -> Value:
        """The value whose memory this is."""
        return self if self.alias is None else self.alias.owner


@dataclass(eq=False)
class Call:
    """One function of the backend contract (or of NumPy) on values.

    inputs: values, None for an optional one, numbers. live: evaluates the options that change from step to step
    (a dropout seed, a learning rate); a call that has it cannot be bound once and for all.
    """

    op: str
    inputs: tuple[Any, ...]
    outputs: tuple[Value | None, ...]
    options: dict[str, Any] = field(default_factory=dict)
    phase: str = "forward"
    algorithm: str = ""
    live: Callable[[], dict[str, Any]] | None = None

    def values(self) -> Iterator[Value]:
        """The values it reads."""
        for value in _flat(self.inputs):
            if isinstance(value, Value):
                yield value

    def relies_on(self, fixed: Set[Value]) -> bool:
        """Whether these are all that it reads beside its first value, the data."""
        return all(value.owner in fixed for value in list(self.values())[1:])

    @property
    def changes_state(self) -> bool:
        """Whether it changes what outlives the step, besides making its results."""
        return self.phase == "update" or (self.op == "batch_norm_statistics" and self.inputs[1:] != (None, None))

    @property
    def geometry(self) -> Any:
        """The convolution's or pooling's geometry, or None."""
        return next((v for v in self.inputs if hasattr(v, "y_shape")), None)

    @property
    def multiplications(self) -> int:
        """Multiplications of the matrix work in this call; pointwise work is not counted."""
        if self.op == "conv2d_pool_backward":
            return self.geometry.multiplications * (1 + self.options["needs_dx"])
        if self.op.startswith("conv2d"):
            return self.geometry.multiplications
        if self.op == "matmul":
            out, a = self.outputs[0], self.inputs[0]
            assert out is not None
            return out.size * (a.shape[0] if self.options.get("trans_a") else a.shape[1])
        if self.op == "linear_forward":
            x, w = self.inputs[:2]
            return x.shape[0] * w.size
        if self.op == "linear_backward":
            _, x, w = self.inputs[:3]
            return x.shape[0] * w.size * (1 + (self.outputs[0] is not None))
        return 0

    @property
    def bytes(self) -> int:
        """Bytes read and written, every array once."""
        return sum(v.nbytes for v in self.values()) + sum(v.nbytes for v in self.outputs if v is not None)

    @property
    def parameters(self) -> int:
        """Elements of the parameters it reads."""
        return sum(v.size for v in self.values() if v.role == "parameter")

    def describe(self) -> str:
        """What it does, in a few words."""
        g = self.geometry
        activation = self.options.get("activation")
        kind = next((v for v in self.inputs if isinstance(v, str)), "")
        return " ".join(
            part
            for part in (self.op, kind, f"+ {activation}" if activation else "", g.name if g is not None else "")
            if part
        )


@dataclass(eq=False)
class Plan:
    """The calls of a step in order. inputs, results: values that enter and that the caller gets back."""

    calls: list[Call]
    inputs: tuple[Value, ...]
    results: tuple[Value, ...]
    arena_bytes: int = 0
    unshared_bytes: int = 0

    def uses(self) -> dict[Value, list[Call]]:
        """For every value that owns memory, the calls that read it."""
        readers: dict[Value, list[Call]] = {}
        for call in self.calls:
            for value in call.values():
                readers.setdefault(value.owner, []).append(call)
        return readers

    def fixed(self) -> set[Value]:
        """What parameters, constants and buffers that no call changes decide: they, and what is computed from them."""
        changed = {value.owner for call in self.calls if call.changes_state for value in call.values()}
        fixed: set[Value] = set()
        for call in self.calls:
            owners = [value.owner for value in call.values()]
            fixed.update(v for v in owners if v.role in ("parameter", "constant", "buffer") and v not in changed)
            if call.live is None and not call.changes_state and all(v in fixed for v in owners):
                fixed.update(v for v in call.outputs if v is not None)
        return fixed

    @property
    def multiplications(self) -> int:
        """Multiplications of the whole step."""
        return sum(call.multiplications for call in self.calls)

    @property
    def parameters(self) -> int:
        """Elements of all parameters, each counted once."""
        read = {v.owner for call in self.calls for v in call.values() if v.owner.role == "parameter"}
        return sum(v.size for v in read)

    def __str__(self) -> str:
        from ..tables import as_text
        from .table import plan_table

        return as_text(plan_table(self))

    def __rich__(self) -> Any:
        from .table import plan_table

        return plan_table(self)


def _flat(items: Any) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list | tuple):
            yield from _flat(item)
        else:
            yield item
