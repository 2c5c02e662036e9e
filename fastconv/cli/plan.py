"""`fastconv plan`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import Backend, Option, find_network, input_shape


def plan(
    model: Annotated[str, typer.Argument(help="A network's name (simple_convnet, lenet5, ...) or file.")],
    input: Annotated[str | None, typer.Option(help="The shape of one image, 1,28,28 say.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images in a step.", min=1)] = 100,
    inference: Annotated[bool, typer.Option("--inference", help="The plan of a prediction, not of a step.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Run it too, and time every call.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write the times as a Chrome trace to this file.")] = None,
    option: Option = None,
    backend: Backend = "cpu",
) -> None:
    """Print a compiled step: every call's shapes, parameters, multiplications, bytes and algorithm, and the memory."""
    import numpy as np

    from .. import random
    from ..backends import select
    from ..compiler.compile import compile as compiled
    from ..nn import CrossEntropyLoss
    from ..optim import Adam
    from ..tables import show

    select.use(backend)
    random.manual_seed(0)
    network = find_network(model, input, option)
    shape = network.config["input_dim"] if input is None else input_shape(input)
    x = np.random.default_rng(0).random((batch_size, *shape), "float32")
    labels = [] if inference else [np.zeros(batch_size, "int64")]
    step = compiled(network.eval()) if inference else compiled(network, CrossEntropyLoss(), Adam(network.parameters()))
    show(step.prepare(x, *labels))
    if profile or trace is not None:
        measured = step.profile(x, *labels)
        show(measured)
        if trace is not None:
            measured.save_trace(trace)
            typer.echo(f"wrote {trace}; open it at ui.perfetto.dev")
