"""The arguments that several commands share, and what they become."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..models.lecture_interface import LectureNetwork

Model = Annotated[str, typer.Argument(help="A network that `fastconv info` lists: simple_convnet, lenet5, ...")]
File = Annotated[Path, typer.Argument(help="A network that `fastconv train` or fc.save wrote.")]
Data = Annotated[str, typer.Option("--data", help="digits, mnist or cifar10.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="The folder with the data's files; else cache folder or network.")
]
Backend = Annotated[str, typer.Option("--backend", help="cpu, gpu or reference.")]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the network's constructor, NAME=VALUE; may be given several times."),
]


def constructor_options(given: Sequence[str] | None) -> dict[str, Any]:
    """Every NAME=VALUE, the value read as JSON or as Python writes it (False, {'pad': 1}), else as text.

    Raises:
        ArgumentError: there is no = in one.
    """
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ArgumentError(f"--option takes NAME=VALUE, got {text!r}")
        found[name.replace("-", "_")] = _value(value)
    return found


def _value(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    return text


def input_shape(text: str) -> tuple[int, ...]:
    """The sizes in "1,28,28".

    Raises:
        ArgumentError: they are not whole numbers with commas between.
    """
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ArgumentError(f"--input takes sizes with commas between, 1,28,28 say, got {text!r}") from None


def find_network(text: str, input: str | None, option: Sequence[str] | None) -> LectureNetwork:
    """The network of that name, built for --input with --option, or the one in the file of that name.

    Raises:
        ArgumentError: there is neither, or options for a network that a file describes.
    """
    from ..models import MODELS, build

    if text in MODELS:
        shape = {} if input is None else {"input_dim": list(input_shape(input))}
        return build(text, shape | constructor_options(option))
    if not Path(text).is_file():
        raise ArgumentError(f"there is no network or file {text!r}; the networks are {', '.join(MODELS)}")
    if option:
        raise ArgumentError(f"--option is for a network by name; {text} says itself how it was built")
    return load_network(Path(text))


def load_network(path: Path) -> LectureNetwork:
    """The network in a file, built as the file says."""
    from ..checkpoint import load
    from ..models.lecture_interface import LectureNetwork

    model = load(path)
    assert isinstance(model, LectureNetwork)  # load builds no others
    return model


def load_fitting(data: str, root: Path | None, split: str, shape: Sequence[int]) -> tuple[Any, Any]:
    """Images and labels of a data set, enlarged by a whole factor where a network of input `shape` needs it.

    Raises:
        ArgumentError: the images do not fit the network.
    """
    from .. import data as sets

    x, t = sets.load(data, root=root, split=split)
    scale = max(shape[1] // x.shape[2], 1)
    if (x.shape[1], scale * x.shape[2], scale * x.shape[3]) != tuple(shape):
        raise ArgumentError(f"{data} has images of {x.shape[1:]} C,H,W, the network takes {tuple(shape)}")
    return (x, t) if scale == 1 else sets.load(data, root=root, split=split, scale=scale)
