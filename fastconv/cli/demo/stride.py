"""`fastconv demo stride`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .matrix import matrix


def stride(
    stride: Annotated[int, typer.Option(help="How far the filter moves.", min=1)] = 1,
    padding: Annotated[int, typer.Option(help="Rows and columns of zeros around the input.", min=0)] = 0,
    dilation: Annotated[int, typer.Option(help="The distance between the filter's taps.", min=1)] = 1,
    input: Annotated[
        str | None, typer.Option(help='Its rows, "1 2 3 / 4 5 6", channels after ";"; the lectures\' 7x7 unless given.')
    ] = None,
    filter: Annotated[str | None, typer.Option(help="Its rows; the lectures' 3x3 filter unless given.")] = None,
    milliseconds: Annotated[int, typer.Option(help="How long each picture stays.", min=20)] = 900,
    out: Annotated[Path, typer.Option(help="The animated GIF.")] = Path("stride.gif"),
) -> None:
    """A filter's walk over a small input, step by step, as an animated GIF."""
    from ...plots import sliding_window
    from ...plots.sliding import LECTURES_W, LECTURES_X

    count = sliding_window(
        out, LECTURES_X if input is None else matrix("--input", input),
        LECTURES_W if filter is None else matrix("--filter", filter),
        stride=stride, padding=padding, dilation=dilation, milliseconds=milliseconds,
    )  # fmt: skip
    typer.echo(f"wrote {count} positions to {out}")
