"""`fastconv summary`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import Option, constructor_options, input_shape, load_network


def summary(
    model: Annotated[str, typer.Argument(help="A network's name (simple_convnet, lenet5) or file.")],
    input: Annotated[str | None, typer.Option(help="The shape of one image, 1,28,28 say.")] = None,
    option: Option = None,
) -> None:
    """Print every layer's output shape, parameters and multiplications."""
    from rich.console import Console

    from ..backends import select
    from ..models import MODELS, build
    from ..summary import summary as summarize

    select.use("reference")
    if model not in MODELS and Path(model).is_file():
        network = load_network(Path(model))
    else:
        shape = {} if input is None else {"input_dim": list(input_shape(input))}
        network = build(model, shape | constructor_options(option))
    Console().print(summarize(network, network.config["input_dim"] if input is None else input_shape(input)))
