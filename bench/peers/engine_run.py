"""A training run of fastconv itself, through its Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv as fc
from fastconv.training.history import Epoch
from fastconv.training.progress import Progress

from ..recipes import Recipe
from .engine import build


class AfterEpoch(Progress):
    """Hands each epoch's test accuracy on."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self.tell = tell

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        self.tell(epoch.validation_accuracy)


def train(
    recipe: Recipe, values: list[np.ndarray], seed: int, data: Any, test: Any, after_epoch: Callable[[Any], None]
) -> None:
    """Train from first weights `values` on data = (x, labels); None goes to `after_epoch` where test is None."""
    fc.use("cpu")
    model = build(recipe.network, values, dropout=True)
    optimizer = fc.optim.Adam(model.parameters(), lr=recipe.lr)
    schedule = fc.optim.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, pct_start=recipe.rise, cycle_momentum=False,
        steps_per_epoch=fc.data.count_batches(len(data[0]), recipe.batch_size),
    )  # fmt: skip
    trainer = fc.Trainer(model, optimizer, schedule=schedule, seed=seed, progress=AfterEpoch(after_epoch))
    trainer.fit(data, test, epochs=recipe.epochs, batch_size=recipe.batch_size)
