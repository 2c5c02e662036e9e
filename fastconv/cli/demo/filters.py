"""`fastconv demo filters`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments import DataRoot
from .image import Index, Picture, TestData, find_image

SIDE = 640


def filters(
    picture: Picture = None,
    filter: Annotated[
        list[str] | None, typer.Option(help="red, edge, right-sobel, vertical, ...; may be given several times.")
    ] = None,
    data: TestData = None,
    index: Index = 0,
    data_root: DataRoot = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("filtered.png"),
) -> None:
    """A photograph beside its red channel, its edges and its right-sobel, by convolution."""
    from ...plots import filtered

    filtered(find_image(picture, SIDE, data, data_root, index), filter, out)
    typer.echo(f"wrote {out}")
