"""The image that a demo is about: a user's picture, a test image, or a photograph that is always there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Picture = Annotated[
    Path | None,
    typer.Argument(help="A PNG or JPEG picture or .npy array; a photograph of scikit-learn's unless given."),
]
TestData = Annotated[str | None, typer.Option("--data", help="Take a test image of digits, mnist or cifar10 instead.")]
Index = Annotated[int, typer.Option(help="Which test image.", min=0)]


def find_image(picture: Path | None, side: int, data: str | None, root: Path | None, index: int) -> Any:
    """The test image of that number, or the picture with at most `side` pixels a side; (C, H, W) from 0 to 1.

    Raises:
        ArgumentError: there is no such test image, or a picture is given as well.
    """
    from ...data import load
    from ...errors import ArgumentError
    from ..images import read_photo

    if data is None:
        return read_photo(picture, side)
    if picture is not None:
        raise ArgumentError(f"give a picture or --data, not both: {picture} and {data}")
    x, _ = load(data, root=root, split="test")
    if index >= len(x):
        raise ArgumentError(f"--index must be below {len(x)}, the number of test images of {data}, got {index}")
    return x[index]
