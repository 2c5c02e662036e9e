"""`fastconv filters`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def filters(
    file: Annotated[Path, typer.Argument(help="A network's file, or a params.pkl of the lectures.")],
    out: Annotated[Path | None, typer.Option(help="The picture; filters.png beside FILE unless given.")] = None,
    columns: Annotated[int, typer.Option(help="Filters in a row.", min=1)] = 8,
) -> None:
    """Draw the first convolution's filters."""
    from ..plots import filter_show

    first = _first_filters(file)
    path = out or file.with_name("filters.png")
    filter_show(first, nx=columns, path=path)
    typer.echo(f"wrote {len(first)} filters to {path}")


def _first_filters(file: Path) -> Any:
    """The first array of four axes in the order of the layers: filters (FN, C, FH, FW)."""
    from ..errors import DataError
    from ..lecture_files import read_params

    arrays = read_params(file)
    # W1 comes before W2, conv1.weight before conv2.weight.
    found = [arrays[name] for name in sorted(arrays) if arrays[name].ndim == 4]
    if not found:
        raise DataError(f"{file}: there are no filters in it, only {', '.join(sorted(arrays))}")
    return found[0]
