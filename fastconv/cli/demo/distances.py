"""`fastconv demo distances`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments import DataRoot
from .image import Index, Picture, TestData, find_image

SIDE = 64


def distances(
    picture: Picture = None,
    data: TestData = None,
    index: Index = 0,
    data_root: DataRoot = None,
    distance: Annotated[
        float | None, typer.Option(help="How far from the original; as far as suits it unless given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("distances.png"),
) -> None:
    """An image shifted, darkened, occluded and noisy: they look different, at the same L2 distance."""
    from ...plots import equal_distances

    equal_distances(find_image(picture, SIDE, data, data_root, index), out, distance=distance)
    typer.echo(f"wrote {out}")
