"""`fastconv filters`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..nn.module import Module


def filters(
    file: Annotated[Path, typer.Argument(help="A network's file, or a params.pkl of the lectures.")],
    layer: Annotated[
        str | None, typer.Option(help="A convolution by its name in `fastconv summary`; the first unless given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture; filters.png beside FILE unless given.")] = None,
    columns: Annotated[int, typer.Option(help="Filters in a row.", min=1)] = 8,
) -> None:
    """Draw the filters of a convolution, or the templates of a linear classifier."""
    from ..models import LinearClassifier
    from ..plots import filter_show, templates
    from ..plots.maps import convolution

    network = _network(file)
    if isinstance(network, LinearClassifier):
        path = out or file.with_name("filters.png")
        templates(network, path)
        typer.echo(f"wrote {len(network.scores.weight)} templates to {path}")
        return
    shown = _array(file, layer) if network is None else convolution("filters", network, layer)[1].filters().numpy()
    path = out or file.with_name("filters.png")
    filter_show(shown, nx=columns, path=path)
    typer.echo(f"wrote {len(shown)} filters to {path}")


def _network(file: Path) -> Module | None:
    """The network in the file, where the file says how it was built."""
    from ..backends import select
    from ..errors import DataError
    from .arguments import load_network

    select.use("reference")
    try:
        return load_network(file)
    except DataError:
        return None


def _array(file: Path, layer: str | None) -> Any:
    """The array `layer`, or the first of four axes in the order of the names: filters (FN, C, FH, FW)."""
    from ..errors import DataError
    from ..lecture_files import read_params

    arrays = read_params(file)
    # W1 comes before W2, conv1.weight before conv2.weight.
    found = {name: arrays[name] for name in sorted(arrays) if arrays[name].ndim == 4}
    if not found:
        raise DataError(f"{file}: there are no filters in it, only {', '.join(sorted(arrays))}")
    wanted = next(iter(found)) if layer is None else layer
    if wanted not in found:
        raise DataError(f"{file}: there are no filters {layer!r} in it; there are {', '.join(found)}")
    return found[wanted]
