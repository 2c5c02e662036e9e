"""Curves over the epochs of a training."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError
from ..tensor_files import Path_
from ..training.history import History
from . import canvas


def accuracy_curve(history: History, path: Path_ | None = None) -> None:
    """Training and validation accuracy by epoch: markers 'o' and 's' at every second epoch, y from 0 to 1."""
    if not history:
        raise ArgumentError("accuracy_curve: the history has no epochs yet")
    figure = canvas.empty_figure((6.4, 4.8), path)
    axes = figure.add_subplot()
    x = np.array(history.column("number"))
    axes.plot(x, history.column("train_accuracy"), marker="o", label="train", markevery=2)
    validated = history.column("validation_accuracy")
    if validated[-1] is not None:
        axes.plot(x, validated, marker="s", label="test", markevery=2)
    axes.set(xlabel="epochs", ylabel="accuracy", ylim=(0, 1.0))
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="lower right")
    canvas.finish(figure, path)
