"""`fastconv warmup`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .arguments import Backend

if TYPE_CHECKING:
    from .recipes import Recipe


def warmup(backend: Backend = "cpu") -> None:
    """Compile the kernels that the main networks need, so that later runs start at once."""
    from time import perf_counter

    from ..backends import select
    from .recipes import RECIPES

    select.use(backend)
    begin = perf_counter()
    for (model, data), recipe in RECIPES.items():
        start = perf_counter()
        _one_step(model, data, recipe)
        typer.echo(f"{model} on {data}: {perf_counter() - start:.1f} s")
    typer.echo(f"ready after {perf_counter() - begin:.1f} s")


def _one_step(model: str, data: str, recipe: Recipe) -> None:
    """One step of training and one evaluation on a batch of noise."""
    import numpy as np

    from ..training import Trainer
    from .recipes import make_loss, make_optimizer, network_of

    network = network_of(model, data)
    x = np.random.default_rng(0).random((recipe.batch_size, *network.config["input_dim"]), np.float32)
    t = np.arange(recipe.batch_size) % 10
    optimizer = make_optimizer(recipe.optimizer, network.parameters(), recipe.lr)
    trainer = Trainer(network, optimizer, loss=make_loss(recipe.loss), progress=False)
    trainer.fit((x, t), (x, t), epochs=1, batch_size=recipe.batch_size)
