"""The lectures' Trainer: their arguments, lists and printed lines around the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import random
from ..errors import ArgumentError
from ..nn.module import Module
from ..optim import SGD, AdaGrad, Adam, Optimizer, RMSprop
from .evaluation import evaluate
from .history import Epoch
from .progress import Progress
from .tally import Tally
from .trainer import Trainer

LECTURE_MOMENTUM = 0.9


def _sgd(params: Any, lr: float = 0.01) -> Optimizer:
    return SGD(params, lr)


def _momentum(params: Any, lr: float = 0.01, momentum: float = LECTURE_MOMENTUM) -> Optimizer:
    return SGD(params, lr, momentum=momentum)


def _nesterov(params: Any, lr: float = 0.01, momentum: float = LECTURE_MOMENTUM) -> Optimizer:
    return SGD(params, lr, momentum=momentum, nesterov=True)


def _adagrad(params: Any, lr: float = 0.01) -> Optimizer:
    return AdaGrad(params, lr)


def _rmsprop(params: Any, lr: float = 0.01, decay_rate: float = 0.99) -> Optimizer:
    return RMSprop(params, lr, alpha=decay_rate)


def _adam(params: Any, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> Optimizer:
    return Adam(params, lr, betas=(beta1, beta2))


# The lectures' names and arguments; their code spells one of them "rmsprpo".
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": _sgd, "momentum": _momentum, "nesterov": _nesterov, "adagrad": _adagrad, "rmsprop": _rmsprop,
    "rmsprpo": _rmsprop, "adam": _adam,
}  # fmt: skip


class LectureTrainer:
    """Trains `network` on (x_train, t_train) and measures it on (x_test, t_test) after each epoch.

    evaluate_sample_num_per_epoch: how many images of each set are measured; all where None.
    After `train()`: train_loss_list has the loss of every batch, train_acc_list and test_acc_list one accuracy for each
    epoch, current_epoch the number of epochs. The order of the images follows `fc.manual_seed`.
    """

    def __init__(
        self, network: Module, x_train: Any, t_train: Any, x_test: Any, t_test: Any, epochs: int = 20,
        mini_batch_size: int = 100, optimizer: str = "SGD", optimizer_param: Mapping[str, float] | None = None,
        evaluate_sample_num_per_epoch: int | None = None, verbose: bool = True,
    ) -> None:  # fmt: skip
        if optimizer.lower() not in OPTIMIZERS:
            raise ArgumentError(f"Trainer: optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}")
        options = {"lr": 0.01} if optimizer_param is None else dict(optimizer_param)
        try:
            made = OPTIMIZERS[optimizer.lower()](network.parameters(), **options)
        except TypeError as error:
            raise ArgumentError(f"Trainer: {optimizer} does not take optimizer_param {options}: {error}") from error
        sample = slice(evaluate_sample_num_per_epoch)
        self.network, self.optimizer, self.verbose = network, made, verbose
        self.epochs, self.batch_size = epochs, mini_batch_size
        self.train_data, self.test_data = (x_train, t_train), (x_test, t_test)
        self.train_sample, self.test_sample = (x_train[sample], t_train[sample]), (x_test[sample], t_test[sample])
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []
        self.current_epoch = 0

    def train(self) -> None:
        """Train for all epochs."""
        trainer = Trainer(self.network, self.optimizer, seed=random.next_seed(), progress=_Record(self))
        trainer.fit(self.train_data, epochs=self.epochs, batch_size=self.batch_size)
        if self.verbose:
            print("=============== Final Test Accuracy ===============")
            print(f"test acc:{self._accuracy(self.test_data)}")

    def note_epoch(self) -> None:
        """Measure after an epoch."""
        self.current_epoch += 1
        self.train_acc_list.append(self._accuracy(self.train_sample))
        self.test_acc_list.append(self._accuracy(self.test_sample))
        if self.verbose:
            print(
                f"=== epoch:{self.current_epoch}, train acc:{self.train_acc_list[-1]}, "
                f"test acc:{self.test_acc_list[-1]} ==="
            )

    def note_batch(self, loss: float) -> None:
        """Write down a batch's loss."""
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss:{loss}")

    def _accuracy(self, data: tuple[Any, Any]) -> float:
        return evaluate(self.network, *data).accuracy


class _Record(Progress):
    """Hands what happens to the lists."""

    def __init__(self, trainer: LectureTrainer) -> None:
        self._trainer = trainer

    def batch(self, tally: Tally) -> None:
        self._trainer.note_batch(tally.last_loss)

    def epoch(self, epoch: Epoch, epochs: int) -> None:
        self._trainer.note_epoch()
