"""`fastconv demo pooling`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .matrix import matrix


def pooling(
    kernel: Annotated[int, typer.Option(help="Rows and columns of the window.", min=1)] = 2,
    stride: Annotated[
        int | None, typer.Option(help="How far it moves; as many as it has rows unless given.", min=1)
    ] = None,
    padding: Annotated[int, typer.Option(help="Rows and columns around the input, which never win.", min=0)] = 0,
    input: Annotated[
        str | None, typer.Option(help='Its rows, "1 2 3 / 4 5 6" say; the lectures\' 4x4 example unless given.')
    ] = None,
    milliseconds: Annotated[int, typer.Option(help="How long each picture stays.", min=20)] = 1500,
    out: Annotated[Path, typer.Option(help="The animated GIF.")] = Path("pooling.gif"),
) -> None:
    """A max pooling's walk over a small input, step by step, as an animated GIF."""
    from ...plots import pooling_window
    from ...plots.sliding import LECTURES_POOL_X

    x = LECTURES_POOL_X if input is None else matrix("--input", input)
    count = pooling_window(out, x, kernel, stride=stride, padding=padding, milliseconds=milliseconds)
    typer.echo(f"wrote {count} positions to {out}")
