"""A training run of PyTorch, eager: batches gathered by index, no loader and no sums kept beside the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..recipes import Recipe
from .pytorch import build

TEST_BATCH = 500  # as fastconv's Trainer evaluates


def train(
    recipe: Recipe, values: list[np.ndarray], seed: int, data: Any, test: Any, after_epoch: Callable[[Any], None]
) -> None:
    """Train from first weights `values` on data = (x, labels); None goes to `after_epoch` where test is None."""
    torch.manual_seed(seed)
    model = build(recipe.network, values, dropout=True)
    x, labels = map(torch.from_numpy, data)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, steps_per_epoch=-(-len(x) // recipe.batch_size),
        pct_start=recipe.rise, cycle_momentum=False,
    )  # fmt: skip
    for _ in range(recipe.epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(recipe.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
        after_epoch(None if test is None else _accuracy(model, *map(torch.from_numpy, test)))


@torch.inference_mode()
def _accuracy(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()
    right = sum(
        (model(images).argmax(1) == wanted).sum().item()
        for images, wanted in zip(x.split(TEST_BATCH), labels.split(TEST_BATCH), strict=True)
    )
    return right / len(x)
