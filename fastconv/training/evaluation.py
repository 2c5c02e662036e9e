"""How well a network does on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autograd.mode import no_grad
from ..autograd.tensor import Tensor, host_array, tensor
from ..backends import select
from ..compiler.compile import compile as compiled
from ..data.batches import batches
from ..errors import UnsupportedError
from ..nn.mode import evaluation_mode
from ..nn.module import Module
from ..ops.loss import class_indices, cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """loss: the mean over images; accuracy: the share of right answers; confusion[t, y]: class t taken for y."""

    loss: float
    accuracy: float
    confusion: npt.NDArray[np.int64]


def evaluate(
    model: Module, x: Any, t: Any, batch_size: int = 500, *, loss: Any = None, compile: bool = True
) -> Evaluation:
    """Run `model` over images x (N, ...) in evaluation mode and compare with labels t (N,) or one-hot rows.

    loss: what is averaged, called as loss(scores, labels); cross-entropy where None. The model's mode is as it was.
    compile: run the model as a plan (`fc.compile`) where it can be one; False runs it eagerly.
    """
    loss = cross_entropy if loss is None else loss
    images, labels = host_array(x), class_indices(t).numpy()
    total, guesses = 0.0, []
    with evaluation_mode(model), no_grad(), on_device_of(model):
        predict = _as_plan(model, images[:batch_size]) if compile else model
        for x_batch, t_batch in batches(images, labels, batch_size, shuffle=False):
            scores = predict(tensor(x_batch))
            total += loss(scores, tensor(t_batch)).item() * len(t_batch)
            guesses.append(scores.numpy().argmax(1))
    classes = scores.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, np.concatenate(guesses)), 1)
    return Evaluation(total / len(labels), float(np.trace(confusion)) / len(labels), confusion)


def _as_plan(model: Module, images: Any) -> Callable[[Tensor], Tensor]:
    """The model compiled for such images, or as it is where it has no parameters or looks at values."""
    if len(images) and model.parameters():
        predict = compiled(model, frozen=True)
        with suppress(UnsupportedError):
            predict.prepare(images)
            return predict
    return model


def on_device_of(model: Module) -> Any:
    """Inside this block new tensors lie where the model's parameters lie."""
    first = next(iter(model.parameters()), None)
    return select.use(select.current().name if first is None else first.backend.name)
