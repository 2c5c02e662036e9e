"""Sums over the batches of an epoch, kept on the device and read only when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from time import perf_counter
from typing import Any

from ..autograd.tensor import Tensor
from ..backends.base import Backend


class Tally:
    """Loss, right answers, images and time of an epoch so far. Reading loss or accuracy may wait for the device."""

    def __init__(self, backend: Backend, state: Mapping[str, Any] | None = None) -> None:
        state = state or {"loss": 0.0, "right": 0, "images": 0, "seconds": 0.0, "lr": 0.0}
        self._backend = backend
        self._loss = backend.asarray(state["loss"], "float64")
        self._right = backend.asarray(state["right"], "int64")
        self._last = self._loss
        self.images = int(state["images"])
        self.lr = float(state["lr"])
        self._seconds_before = float(state["seconds"])
        self._started = perf_counter()

    def add(self, loss: Tensor, scores: Tensor, labels: Tensor, lr: float) -> None:
        """Count one batch: its mean loss, scores (N, classes) and labels (N,)."""
        self._last = loss.data.astype("float64")
        self._loss = self._loss + self._last * len(labels)
        self._right = self._right + (scores.data.argmax(1) == labels.data).sum()
        self.images += len(labels)
        self.lr = lr

    @property
    def last_loss(self) -> float:
        """The last batch's mean loss."""
        return float(self._backend.to_numpy(self._last))

    @property
    def loss(self) -> float:
        """The mean over all images."""
        return float(self._backend.to_numpy(self._loss)) / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return int(self._backend.to_numpy(self._right)) / max(self.images, 1)

    @property
    def is_finite(self) -> bool:
        """Whether every loss so far was a finite number."""
        return isfinite(self.loss)

    @property
    def seconds(self) -> float:
        """The time since the epoch began, time between two runs not counted."""
        return self._seconds_before + perf_counter() - self._started

    @property
    def images_per_second(self) -> float:
        """Over the epoch so far."""
        return self.images / max(self.seconds, 1e-9)

    def state_dict(self) -> dict[str, Any]:
        """The sums as numbers that JSON holds exactly."""
        return {
            "loss": float(self._backend.to_numpy(self._loss)),
            "right": int(self._backend.to_numpy(self._right)),
            "images": self.images,
            "seconds": self.seconds,
            "lr": self.lr,
        }
