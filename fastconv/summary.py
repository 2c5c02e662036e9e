"""What a network consists of: every layer's output shape, parameters and multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .autograd.mode import no_grad
from .autograd.tensor import Tensor
from .backends import select
from .backends.base import Backend
from .compiler.capture import Symbol, recorder
from .compiler.compile import recorded_tensors
from .compiler.plan import Value
from .errors import ArgumentError, ShapeError, UnsupportedError
from .nn.mode import evaluation_mode
from .nn.module import Module, observe
from .receptive_field import View, view_of, views
from .tables import as_text

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One call of a layer: its dotted name, its kind, its output's shape, its own parameters, their bytes, and the
    multiplications for one image.

    receptive_field: (height, width) of the part of the image that one unit of the output sees, what lies outside the
    image counted; None where it sees all of it, or that cannot be followed.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    bytes: int
    multiplications: int
    receptive_field: tuple[int, int] | None = None


@dataclass(frozen=True)
class Summary:
    """Rows in the order in which the layers run. Printing it gives a table, `rich.print` a coloured one.

    receptive_fields: whether the table has a column of them.
    """

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    rows: tuple[Row, ...]
    receptive_fields: bool = False

    @property
    def parameters(self) -> int:
        """All numbers that training changes; a layer that runs twice counts once."""
        return sum(row.parameters for row in self.rows)

    @property
    def bytes(self) -> int:
        """Their memory."""
        return sum(row.bytes for row in self.rows)

    @property
    def multiplications(self) -> int:
        """Of one image's forward pass."""
        return sum(row.multiplications for row in self.rows)

    def __str__(self) -> str:
        return as_text(self.__rich__())

    def __rich__(self) -> Table:
        from rich import box
        from rich.table import Table

        sizes = " and ".join(map(_sizes, self.input_shapes))
        title = f"{self.model}, input{'s' if len(self.input_shapes) > 1 else ''} {sizes}"
        table = Table(title=title, box=box.SIMPLE_HEAD, show_footer=True, title_justify="left")
        table.add_column("layer", footer="total")
        table.add_column("kind")
        table.add_column("output shape", justify="right")
        if self.receptive_fields:
            table.add_column("receptive\nfield", justify="right")
        table.add_column("parameters", justify="right", footer=f"{self.parameters:,}")
        table.add_column("bytes", justify="right", footer=f"{self.bytes:,}")
        table.add_column("multiplications\nof one image", justify="right", footer=f"{self.multiplications:,}")
        for row in self.rows:
            shape = [_sizes(row.shape) or "1"]
            if self.receptive_fields:
                shape.append(_sizes(row.receptive_field or ()) or "-")
            counts = (f"{n:,}" if n else "-" for n in (row.parameters, row.bytes, row.multiplications))
            table.add_row(row.name, row.kind, *shape, *counts)
        return table


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def summary(model: Module, *input_shapes: Sequence[int], receptive_fields: bool = False) -> Summary:
    """Follow one image, shape (C, H, W) or what else one item of a batch is, and write down every layer.

    One shape for each input of the model's forward. Nothing is computed, so large networks take no time either; only
    where the model looks at values an image of zeros is run. receptive_fields: give the printed table a column of them.

    A layer is a module without modules inside, or one with parameters of its own. The model is as it was afterwards.

    Raises:
        ShapeError: the input does not fit the model; the text is that of the layer that cannot take it.
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"summary: takes a model and the shape of one image, got {model!r:.60}")
    shapes = tuple(tuple(map(int, shape)) if isinstance(shape, Sequence) else () for shape in input_shapes)
    if not shapes or min(min(shape, default=0) for shape in shapes) < 1:
        raise ShapeError(f"summary: input_shape must be that of one image, (C, H, W), got {input_shapes}")
    with evaluation_mode(model), no_grad():
        try:
            rows = _recorded(model, shapes)
        except (UnsupportedError, TypeError):
            rows = [row for row, _ in _written_down(model, [_zeros(model, shape) for shape in shapes])]
    return Summary(type(model).__name__, shapes, tuple(rows), receptive_fields)


def _recorded(model: Module, shapes: Sequence[tuple[int, ...]]) -> list[Row]:
    """The rows of a run on symbols, which have shapes and no values."""
    backend, dtype = _place(model)
    tape = recorder(backend)
    images = [Tensor(Symbol(tape, Value((1, *shape), np.dtype(dtype), "input")), tape) for shape in shapes]
    with recorded_tensors([t for _, t in model.named_tensors()], model, tape):
        rows = _written_down(model, images)
    seen = views([image.data.value for image in images], tape.calls)
    return [replace(row, receptive_field=_field(view_of(y.data.value, seen))) for row, y in rows]


def _field(view: View | None) -> tuple[int, int] | None:
    return None if view is None else view.size


def _written_down(model: Module, images: Sequence[Tensor]) -> list[tuple[Row, Tensor]]:
    """The rows of a run on these inputs, each with the layer's output."""
    names = {id(module): name for name, module in model.named_modules()}
    rows: list[tuple[Row, Tensor]] = []
    counted: set[int] = set()

    def write_down(module: Module, inputs: tuple[Any, ...], y: Any) -> None:
        own = [p for _, p in module.own_parameters()]
        if not own and any(True for _ in module.named_children()):
            return
        fresh = [p for p in own if id(p) not in counted]
        counted.update(id(p) for p in fresh)
        parameters, size = sum(p.size for p in fresh), sum(p.size * p.dtype.itemsize for p in fresh)
        multiplications = module.multiplications(tuple(inputs[0].shape), y.shape)
        name = names.get(id(module)) or "(itself)"
        rows.append((Row(name, type(module).__name__, y.shape[1:], parameters, size, multiplications), y))

    with observe(write_down):
        model(*images)
    return rows


def _zeros(model: Module, shape: tuple[int, ...]) -> Tensor:
    """One image of zeros where the model's parameters lie, of their type."""
    backend, dtype = _place(model)
    return Tensor(backend.zeros((1, *shape), dtype), backend)


def _place(model: Module) -> tuple[Backend, Any]:
    """Where the model's parameters lie, and their type."""
    first = next(iter(model.parameters()), None)
    return (select.current(), "float32") if first is None else (first.backend, first.dtype)
