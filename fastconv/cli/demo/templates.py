"""`fastconv demo templates`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments import Backend, Data, DataRoot


def templates(
    data: Data = "digits",
    data_root: DataRoot = None,
    backend: Backend = "cpu",
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("templates.png"),
) -> None:
    """Train a linear classifier and draw its weights: one blurred image for each class."""
    from ... import data as sets
    from ... import plots
    from ...backends import select
    from ...models import LinearClassifier
    from ...training import Trainer, evaluate
    from ..recipes import make_optimizer, make_schedule, recipe

    select.use(backend)
    x, t = sets.load(data, root=data_root, split="train")
    chosen, classes = recipe("linear", data), sets.classes(data)
    network = LinearClassifier(x.shape[1:], len(classes))
    optimizer = make_optimizer(chosen.optimizer, network.parameters(), chosen.lr)
    schedule = make_schedule(chosen.schedule, optimizer, chosen.epochs, sets.count_batches(len(x), chosen.batch_size))
    Trainer(network, optimizer, schedule=schedule).fit((x, t), epochs=chosen.epochs, batch_size=chosen.batch_size)
    plots.templates(network, out, classes=classes)
    accuracy = evaluate(network, *sets.load(data, root=data_root, split="test")).accuracy
    typer.echo(f"test accuracy: {100 * accuracy:.2f} %")
    typer.echo(f"wrote {out}")
