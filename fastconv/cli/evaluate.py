"""`fastconv evaluate`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import Backend, Data, DataRoot, load_fitting, load_network

if TYPE_CHECKING:
    from rich.table import Table

    from ..training import Evaluation


def evaluate(
    files: Annotated[
        list[Path],
        typer.Argument(help="A network that `fastconv train` wrote; several answer together, as an ensemble."),
    ],
    data: Data = "digits",
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    batch_size: Annotated[int, typer.Option(help="Images in a step.", min=1)] = 500,
    backend: Backend = "cpu",
) -> None:
    """Measure a network on a data set: accuracy, loss, and which classes it takes for which.

    Several networks answer with the mean of their class probabilities.
    """
    from .. import data as sets
    from ..backends import select
    from ..errors import ArgumentError
    from ..models import Ensemble
    from ..tables import show
    from ..training import evaluate as measure

    select.use(backend)
    networks = [load_network(file) for file in files]
    shapes = {tuple(network.config["input_dim"]) for network in networks}
    if len(shapes) > 1:
        raise ArgumentError(f"evaluate: the networks take images of different shapes: {sorted(shapes)} C,H,W")
    x, t = load_fitting(data, data_root, split, shapes.pop())
    result = measure(networks[0] if len(networks) == 1 else Ensemble(networks), x, t, batch_size)
    show(_table(result, sets.classes(data)))
    typer.echo(f"loss: {result.loss:.4f}")
    typer.echo(f"{split} accuracy: {100 * result.accuracy:.2f} %")


def _table(result: Evaluation, classes: tuple[str, ...]) -> Table:
    """Rows are the true classes, columns what the network says; columns of long names go by their numbers.

    A network may know more classes than the data set has.
    """
    from rich import box
    from rich.table import Table

    table = Table(title="true class by row, the network's answer by column", box=box.SIMPLE_HEAD)
    table.add_column("")
    numbered = [f"{i} {name}" if len(name) > 1 else name for i, name in enumerate(classes)]
    for name in [*numbered, *map(str, range(len(numbered), len(result.confusion)))]:
        table.add_column(name.split()[0], justify="right")
    table.add_column("right", justify="right")
    for i, (name, row) in enumerate(zip(numbered, result.confusion, strict=False)):
        cells = [f"[bold]{n}[/]" if i == j else str(n) if n else "." for j, n in enumerate(row)]
        table.add_row(name, *cells, f"{100 * row[i] / max(row.sum(), 1):.1f} %")
    return table
