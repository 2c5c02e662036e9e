"""`fastconv activations`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import Backend, DataRoot, File, load_fitting, load_network


def activations(
    file: File,
    image: Annotated[
        Path | None, typer.Argument(help="A PNG or JPEG picture or .npy array; else one of --data.")
    ] = None,
    data: Annotated[str, typer.Option(help="The data set to take a test image from.")] = "digits",
    index: Annotated[int, typer.Option(help="Which of its test images.", min=0)] = 0,
    data_root: DataRoot = None,
    invert: Annotated[bool, typer.Option("--invert", help="The picture is dark on bright, as ink on paper.")] = False,
    layer: Annotated[
        str | None, typer.Option(help="A convolution by its name in `fastconv summary`; the first unless given.")
    ] = None,
    columns: Annotated[int, typer.Option(help="Filters in a row.", min=1)] = 8,
    out: Annotated[Path | None, typer.Option(help="The picture; activations.png beside FILE unless given.")] = None,
    backend: Backend = "cpu",
) -> None:
    """Draw the filters of a convolution and where each one fires on an image."""
    from ..backends import select
    from ..plots import activation_maps

    select.use(backend)
    network = load_network(file)
    path = out or file.with_name("activations.png")
    shown = _image(network.config["input_dim"], image, data, data_root, index, invert)
    activation_maps(network, shown, path, layer=layer, nx=columns)
    typer.echo(f"wrote {path}")


def _image(shape: Any, path: Path | None, data: str, root: Path | None, index: int, invert: bool) -> Any:
    """The user's picture, or one of the data set."""
    from ..errors import ArgumentError
    from .images import read_image

    if path is not None:
        return read_image(path, shape, invert=invert)
    x, _ = load_fitting(data, root, "test", shape)
    if index >= len(x):
        raise ArgumentError(f"--index must be below {len(x)}, the number of test images of {data}, got {index}")
    return x[index]
