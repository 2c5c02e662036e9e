"""The training loop."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from .. import random
from ..autograd.tensor import Tensor, host_array, tensor
from ..checkpoint import require_same
from ..compiler.compile import compile as compiled
from ..data.batches import Transform, batches, count_batches
from ..errors import ArgumentError, DataError, DivergenceError, FastconvError, UnsupportedError
from ..geometry import whole_number
from ..nn import CrossEntropyLoss
from ..nn.module import Module
from ..ops.loss import class_indices
from ..optim import Optimizer, ReduceLROnPlateau, Schedule
from ..tensor_files import Path_
from .checkpoints import Checkpoints, RunState
from .evaluation import Evaluation, evaluate, on_device_of
from .history import Epoch, History
from .interrupt import Request, TrainingInterrupted, deferred
from .progress import Progress, choose
from .tally import Tally

LOSS_CHECK_BATCHES = 20


class Trainer:
    """Trains a network on labelled images.

        trainer = fc.Trainer(model, fc.optim.Adam(model.parameters()), checkpoint="runs/first")
        history = trainer.fit((x, t), (x_test, t_test), epochs=10)

    loss: called as loss(scores, labels), gives one number; cross-entropy where None.
    schedule: stepped after each epoch, or batch where it says so; a plateau schedule sees the validation (else the
    training) loss, in mode 'max' the accuracy.
    seed: the order of the images depends on it and the epoch alone. Dropout draws from `fc.manual_seed`'s stream.
    checkpoint: a folder for the last two checkpoints, written after each epoch, after every `checkpoint_every` batches
    where given, and on Ctrl-C.
    transform: called as transform(x_batch, rng) on each training batch, see `fc.data.Compose`.
    compile: run each step as a plan (`fc.compile`), which gives the same numbers faster; False runs it eagerly. A model
    that cannot be compiled is trained eagerly after a warning that says why.
    progress: False shows nothing, True what suits the terminal; or an own `Progress`.
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, *, loss: Any = None, schedule: Schedule | None = None, seed: int = 0,
        checkpoint: Path_ | None = None, checkpoint_every: int | None = None, transform: Transform | None = None,
        compile: bool = True, progress: bool | Progress = True,
    ) -> None:  # fmt: skip
        if not isinstance(model, Module) or not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"Trainer: takes a model and an optimizer, got {model!r:.40} and {optimizer!r:.40}")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ArgumentError("Trainer: the schedule belongs to another optimizer")
        if checkpoint_every is not None and (checkpoint is None or checkpoint_every < 1):
            raise ArgumentError("Trainer: checkpoint_every must be at least 1, and checkpoint= name a folder")
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.loss = CrossEntropyLoss() if loss is None else loss
        self.seed, self.transform = seed, transform
        self._compiled = compiled(model, self.loss, optimizer) if compile else None
        self.checkpoints = None if checkpoint is None else Checkpoints(checkpoint)
        self.checkpoint_every = checkpoint_every
        self.progress = progress
        self.history = History()
        self._backend = optimizer.params[0].backend
        self._epoch = self._batch = 0  # how many are finished, of this epoch's batches
        self._tally = Tally(self._backend)
        self._recipe: dict[str, Any] = {}

    def __repr__(self) -> str:
        steps = "eager" if self._compiled is None else "compiled"
        return (
            f"Trainer({type(self.model).__name__}, {self.optimizer!r}, {steps} steps, {len(self.history)} epochs done)"
        )

    def fit(
        self, train: tuple[Any, Any], validation: tuple[Any, Any] | None = None, *, epochs: int, batch_size: int = 100,
        resume: bool = False,
    ) -> History:  # fmt: skip
        """Train for `epochs` passes over train = (x, t): x (N, C, H, W), t (N,) whole numbers or one-hot rows.

        validation: images and labels that are only looked at, after each epoch.
        resume: go on from the newest checkpoint, to the same weights and history, bit for bit, as without the stop.
        Without it training starts at epoch 1, with the weights as they are.

        Raises:
            DivergenceError: the loss is no longer a finite number.
            TrainingInterrupted: Ctrl-C was pressed; the batch in hand was finished and a checkpoint written.
            DataError, ArgumentError: nothing to resume, or a checkpoint of another network or recipe.
            ArgumentError: train or validation is no pair, or epochs no whole number.
        """
        (x, labels), epochs = _images_and_labels("train", train), whole_number("fit", "epochs", epochs, 0)
        validation = None if validation is None else _images_and_labels("validation", validation)
        per_epoch = count_batches(len(x), batch_size)
        self._recipe = {
            "seed": self.seed, "batch_size": batch_size, "images": len(x),
            "optimizer": type(self.optimizer).__name__, "schedule": type(self.schedule).__name__,
        }  # fmt: skip
        self._begin(resume)
        progress = choose(self.progress)
        with on_device_of(self.model), deferred() as ctrl_c:
            progress.start(epochs, per_epoch, self._epoch * per_epoch + self._batch)
            try:
                while self._epoch < epochs:
                    self._train_epoch(x, labels, batch_size, progress, ctrl_c)
                    self._finish_epoch(validation, epochs, progress)
            finally:
                progress.stop()
        return self.history

    # One epoch ------------------------------------------------------------------------------------------------------

    def _train_epoch(self, x: Any, labels: Any, batch_size: int, progress: Progress, ctrl_c: Request) -> None:
        self.model.train()
        for x_batch, t_batch in batches(
            x, labels, batch_size, seed=self.seed, epoch=self._epoch, skip=self._batch, transform=self.transform
        ):
            if ctrl_c.pending:
                self._stop()
            self._step(x_batch, t_batch)
            self._batch += 1
            if self._batch % LOSS_CHECK_BATCHES == 0:
                self._require_finite()
            progress.batch(self._tally)
            if self.checkpoint_every and self._batch % self.checkpoint_every == 0:
                self._save()
        self._require_finite()
        if ctrl_c.pending:
            self._stop()

    def _step(self, x_batch: Any, t_batch: Any) -> None:
        """Forward, backward and update of one batch."""
        x, labels = tensor(x_batch), tensor(t_batch)
        loss, scores = self._compiled_step(x, labels) or self._eager_step(x, labels)
        self._tally.add(loss, scores, labels, self.optimizer.lr)
        if self.schedule is not None and self.schedule.per_batch:
            self.schedule.step()

    def _compiled_step(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        if self._compiled is None:
            return None
        try:
            return self._compiled(x, labels), self._compiled.scores
        except UnsupportedError as reason:
            warnings.warn(f"training runs eagerly: {reason}", stacklevel=2)
            self._compiled = None
            return None

    def _eager_step(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad()
        scores = self.model(x)
        loss = self.loss(scores, labels)
        loss.backward()
        self.optimizer.step()
        return loss, scores

    def _finish_epoch(self, validation: tuple[Any, Any] | None, epochs: int, progress: Progress) -> None:
        tally, seconds = self._tally, self._tally.seconds
        plans = self._compiled is not None
        seen = None if validation is None else evaluate(self.model, *validation, loss=self.loss, compile=plans)
        epoch = Epoch(
            self._epoch + 1, tally.loss, tally.accuracy, None if seen is None else seen.loss,
            None if seen is None else seen.accuracy, tally.lr, seconds, tally.images / max(seconds, 1e-9),
        )  # fmt: skip
        self.history.append(epoch)
        self._step_schedule(epoch, seen)
        self._epoch, self._batch = self._epoch + 1, 0
        self._tally = Tally(self._backend)
        self._save()
        progress.epoch(epoch, epochs)

    def _step_schedule(self, epoch: Epoch, seen: Evaluation | None) -> None:
        if isinstance(self.schedule, ReduceLROnPlateau):
            if self.schedule.mode == "min":
                self.schedule.step(epoch.train_loss if seen is None else seen.loss)
            else:
                self.schedule.step(epoch.train_accuracy if seen is None else seen.accuracy)
        elif self.schedule is not None and not self.schedule.per_batch:
            self.schedule.step()

    # Stopping -------------------------------------------------------------------------------------------------------

    def _require_finite(self) -> None:
        if not self._tally.is_finite:
            raise DivergenceError(
                f"training: the loss is no longer a finite number by batch {self._batch} of epoch {self._epoch + 1}, "
                f"at learning rate {self._tally.lr:g}; try a lower rate, and check the images for NaN or huge values"
            )

    def _stop(self) -> None:
        """End the run between two batches."""
        path = self._save()
        within = f"batch {self._batch} of epoch {self._epoch + 1}" if self._batch else f"epoch {self._epoch}"
        raise TrainingInterrupted(f"after {within}", path)

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def _begin(self, resume: bool) -> None:
        if resume:
            if self.checkpoints is None:
                raise ArgumentError("fit: resume=True needs Trainer(checkpoint=...), the folder to go on from")
            self._restore(self.checkpoints.newest(), self.checkpoints.folder)
            return
        self.history = History()
        self._epoch = self._batch = 0
        self._tally = Tally(self._backend)

    def _save(self) -> Path | None:
        if self.checkpoints is None:
            return None
        self._require_finite()
        optimizer = self.optimizer.state_dict()
        facts = {
            "epoch": self._epoch, "batch": self._batch, "recipe": self._recipe, "history": self.history.rows(),
            "tally": self._tally.state_dict(), "stream": random.get_state(),
            "optimizer": {name: value for name, value in optimizer.items() if not hasattr(value, "shape")},
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }  # fmt: skip
        arrays = {name: value for name, value in optimizer.items() if hasattr(value, "shape")}
        return self.checkpoints.save(RunState(self.model.state_dict(), arrays, facts))

    def _restore(self, state: RunState, folder: Path) -> None:
        """Take over a checkpoint, after all that can be checked was checked."""
        facts = state.facts
        differing = {
            name: (facts["recipe"].get(name), value)
            for name, value in self._recipe.items()
            if facts["recipe"].get(name) != value
        }
        if differing:
            listed = ", ".join(f"{name} was {then}, is {now}" for name, (then, now) in differing.items())
            raise ArgumentError(f"fit: the checkpoint in {folder} belongs to another recipe: {listed}")
        require_same(folder, self.model.state_dict(), state.model)
        try:
            history, tally = History.from_rows(facts["history"]), Tally(self._backend, facts["tally"])
            self.optimizer.load_state_dict({**facts["optimizer"], **state.optimizer})
            if self.schedule is not None:
                self.schedule.load_state_dict(facts["schedule"])
            random.set_state(facts["stream"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{folder}: the checkpoint does not fit: {error}") from error
        self.model.load_state_dict(state.model)
        self.history, self._tally = history, tally
        self._epoch, self._batch = facts["epoch"], facts["batch"]


def _images_and_labels(name: str, data: Any) -> tuple[Any, Any]:
    """Both as NumPy arrays, the labels as whole numbers."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ArgumentError(f"fit: {name} must be a pair (images, labels), got {type(data).__name__}")
    try:
        return host_array(data[0]), class_indices(data[1]).numpy()
    except ValueError as error:
        if isinstance(error, FastconvError):
            raise
        raise ArgumentError(f"fit: {name} must be one array of images and one of labels: {error}") from error
