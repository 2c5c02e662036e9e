"""`fastconv summary`"""

from __future__ import annotations

from typing import Annotated

import typer

from .arguments import Option, find_network, input_shape


def summary(
    model: Annotated[str, typer.Argument(help="A network's name (simple_convnet, lenet5, ...) or file.")],
    input: Annotated[str | None, typer.Option(help="The shape of one image, 1,28,28 say.")] = None,
    option: Option = None,
    receptive_fields: Annotated[
        bool, typer.Option("--receptive-fields", help="And how much of the image one unit of each layer sees.")
    ] = False,
) -> None:
    """Print every layer's output shape, parameters and multiplications."""
    from ..backends import select
    from ..nn import init
    from ..summary import summary as summarize
    from ..tables import show

    select.use("reference")
    with init.unset():
        network = find_network(model, input, option)
    shape = network.config["input_dim"] if input is None else input_shape(input)
    show(summarize(network, shape, receptive_fields=receptive_fields))
