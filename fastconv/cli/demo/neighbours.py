"""`fastconv demo neighbours`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments import Backend, Data, DataRoot

KS = (1, 3, 5, 7)


def neighbours(
    data: Data = "digits",
    data_root: DataRoot = None,
    rows: Annotated[int, typer.Option(help="Test images to show.", min=1)] = 8,
    k: Annotated[int, typer.Option(help="Neighbours of each.", min=1)] = 7,
    limit: Annotated[int, typer.Option(help="Test images that the accuracy is measured on, at most.", min=1)] = 1000,
    backend: Backend = "cpu",
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("neighbours.png"),
) -> None:
    """Test images beside the training images nearest to them, and how often those are right."""
    from ... import data as sets
    from ... import neighbours as nearest
    from ...backends import select
    from ...plots import nearest_neighbours

    select.use(backend)
    images, labels = sets.load(data, root=data_root, split="train")
    x, t = (part[:limit] for part in sets.load(data, root=data_root, split="test"))
    nearest_neighbours(x[:rows], t[:rows], images, labels, out, k=k, classes=sets.classes(data))
    shares = nearest.accuracy(x, t, images, labels, KS)
    typer.echo(f"{data}: the k nearest of {len(images):,} training images, asked about {len(x):,} test images")
    typer.echo("right: " + ", ".join(f"k={k} {100 * share:.1f} %" for k, share in zip(KS, shares, strict=True)))
    typer.echo(f"wrote {out}")
