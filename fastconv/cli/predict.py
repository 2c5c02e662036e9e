"""`fastconv predict`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import Backend, File, load_network


def predict(
    file: File,
    images: Annotated[list[Path], typer.Argument(help="PNG or JPEG pictures, or .npy arrays.")],
    classes: Annotated[
        str | None, typer.Option(help="The data set whose class names to print: digits, mnist or cifar10.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="The pictures are dark on bright, as ink on paper.")] = False,
    center: Annotated[
        float | None,
        typer.Option(
            help="Cut to what is bright and center it, its longer side this share of the image: 0.7 as in mnist, 1 as "
            "in digits.",
            min=0.1,
            max=1,
        ),
    ] = None,
    backend: Backend = "cpu",
) -> None:
    """Say what a network sees on your own pictures, with the probability of every class, likeliest first."""
    import numpy as np

    from .. import data as sets
    from ..backends import select
    from ..ops.loss import softmax
    from .images import read_image

    select.use(backend)
    network = load_network(file)
    x = np.stack([read_image(path, network.config["input_dim"], invert=invert, center=center) for path in images])
    shares = softmax(network.predict(x)).numpy()
    names = [str(i) for i in range(shares.shape[1])] if classes is None else sets.classes(classes)
    for path, row in zip(images, shares, strict=True):
        listed = ", ".join(f"{names[i]} {100 * row[i]:.1f} %" for i in row.argsort()[::-1])
        typer.echo(f"{path.name}: {listed}")
