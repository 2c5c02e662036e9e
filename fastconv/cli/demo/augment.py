"""`fastconv demo augment`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments import DataRoot
from .image import Index, Picture, TestData, find_image

SIDE = 128


def augment(
    picture: Picture = None,
    data: TestData = None,
    index: Index = 0,
    data_root: DataRoot = None,
    seed: Annotated[int, typer.Option(help="Of the random changes.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("augmented.png"),
) -> None:
    """An image as training sees it: flipped, shifted, cropped, with more or less contrast and light."""
    from ...plots import augmented

    augmented(find_image(picture, SIDE, data, data_root, index), path=out, seed=seed)
    typer.echo(f"wrote {out}")
