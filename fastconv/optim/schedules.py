"""Learning-rate schedules under PyTorch's names and arguments, with PyTorch's values.

A schedule sets `optimizer.lr` when it is made and at each `step()`: once an epoch, or once a batch where `per_batch`
says so. Rates are computed from the number of steps, not from the rate before, so that rounding does not add up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import cos, isnan, pi
from typing import Any, ClassVar

from ..errors import ArgumentError
from .optimizer import Optimizer


class Schedule:
    """What every schedule is: an optimizer, its first rate, and the number of steps so far.

    A subclass gives `rate`. `per_batch`: `step()` is meant after each batch, not after each epoch.
    """

    per_batch: ClassVar[bool] = False

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.steps = 0
        self.apply()

    def __repr__(self) -> str:
        rates = f"first lr {self.base_lr:g}, now {self.optimizer.lr:g}"
        return f"{type(self).__name__}({rates} after {self.steps} steps)"

    def rate(self) -> float:
        """The learning rate after `self.steps` steps."""
        raise NotImplementedError

    def apply(self) -> None:
        """Hand the present rate to the optimizer."""
        self.optimizer.lr = self.rate()

    def step(self) -> None:
        """Go on by one epoch (or batch)."""
        self.steps += 1
        self.apply()

    def get_last_lr(self) -> list[float]:
        """The present rate, in a list as PyTorch has it."""
        return [self.optimizer.lr]

    def state_dict(self) -> dict[str, Any]:
        """What changes from step to step, as numbers that JSON can hold."""
        return {"base_lr": self.base_lr, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of the same kind of schedule."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise ArgumentError(
                f"{type(self).__name__}: the saved state belongs to another schedule; "
                f"it holds {sorted(state)}, expected are {sorted(own)}"
            )
        for name, value in state.items():
            if value is not None and not isinstance(value, int | float):
                raise ArgumentError(f"{type(self).__name__}: saved {name} must be a number, got {value!r}")
            setattr(self, name, value)
        self.apply()


class MultiStepLR(Schedule):
    """lr * gamma^(number of milestones reached), milestones in epochs.

    With milestones [75, 150], gamma 0.5 and a step after each epoch, epochs 1 to 75 have the first rate, 76 to 150 half
    of it and 151 on a quarter: PyTorch's rule. (The lecture's table of this recipe starts each rate one epoch early.)
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        if not isinstance(milestones, Iterable):
            raise ArgumentError(f"MultiStepLR: milestones must be a list of epochs, [75, 150] say, got {milestones!r}")
        self.milestones = sorted(milestones)
        self.gamma = _positive(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self) -> float:
        return self.base_lr * self.gamma ** bisect_right(self.milestones, self.steps)


class StepLR(Schedule):
    """lr * gamma every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = _count(self, "step_size", step_size)
        self.gamma = _positive(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self) -> float:
        return self.base_lr * self.gamma ** (self.steps // self.step_size)


class ExponentialLR(Schedule):
    """lr * gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = _positive(self, "gamma", gamma)
        super().__init__(optimizer)

    def rate(self) -> float:
        return self.base_lr * self.gamma**self.steps


class CosineAnnealingLR(Schedule):
    """Half a cosine wave from lr down to eta_min in T_max epochs, then up again, and so on.

    eta_min + (lr - eta_min) (1 + cos(pi epoch / T_max)) / 2  (Loshchilov & Hutter, arXiv 1608.03983).
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _count(self, "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer)

    def rate(self) -> float:
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + cos(pi * self.steps / self.T_max)) / 2


class OneCycleLR(Schedule):
    """Up from max_lr / div_factor to max_lr, then down to a tiny rate, over all batches (Smith, arXiv 1708.07120).

    total_steps, or epochs and steps_per_epoch: the number of batches. pct_start: the share of them on the way up.
    anneal_strategy: 'cos' or 'linear'. three_phase: down to the first rate in as many steps as up, then to the last.
    The last rate is the first one / final_div_factor. cycle_momentum moves the momentum (SGD's, or Adam's first beta)
    against the rate, between max_momentum and base_momentum.
    """

    per_batch = True

    def __init__(
        self, optimizer: Optimizer, max_lr: float, total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
        cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False,
    ) -> None:  # fmt: skip
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ArgumentError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must be from 0 to 1, got {pct_start}")
        if cycle_momentum and not _has_momentum(optimizer):
            raise ArgumentError(
                f"OneCycleLR: {type(optimizer).__name__} has no momentum to cycle; pass cycle_momentum=False"
            )
        self.total_steps = _count(self, "total_steps", total_steps or (epochs or 0) * (steps_per_epoch or 0))
        self.strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        first = _positive(self, "max_lr", max_lr) / _positive(self, "div_factor", div_factor)
        last = first / _positive(self, "final_div_factor", final_div_factor)
        up = pct_start * self.total_steps - 1
        # Where each phase ends, and the rate and the momentum at its two ends.
        self.ends = [0, up, 2 * up, self.total_steps - 1] if three_phase else [0, up, self.total_steps - 1]
        self.rates = [first, max_lr, first, last] if three_phase else [first, max_lr, last]
        self.momenta = [max_momentum, base_momentum, max_momentum, max_momentum]
        super().__init__(optimizer)

    def rate(self) -> float:
        return self._along(self.rates)

    def apply(self) -> None:
        super().apply()
        if self.cycle_momentum:
            _set_momentum(self.optimizer, self._along(self.momenta))

    def step(self) -> None:
        if self.steps == self.total_steps:
            raise ArgumentError(f"OneCycleLR: all {self.total_steps} steps are done; total_steps was too small")
        super().step()

    def _along(self, values: list[float]) -> float:
        """The value at the present step on the curve through `values`, which lie at the ends of the phases."""
        step = min(self.steps, self.total_steps - 1)
        phase = next(i for i, end in enumerate(self.ends[1:]) if step <= end)
        (begin, end), (start, stop) = self.ends[phase : phase + 2], values[phase : phase + 2]
        done = (step - begin) / (end - begin) if end != begin else 1.0
        if self.strategy == "linear":
            return start + (stop - start) * done
        return stop + (start - stop) * (1 + cos(pi * done)) / 2


class ReduceLROnPlateau(Schedule):
    """lr * factor where the metric has not improved for more than `patience` epochs; call `step(metric)`.

    mode: 'min' for a loss, 'max' for an accuracy. threshold: what counts as better, as a share of the best so far
    (threshold_mode 'rel') or as a difference ('abs'). cooldown: epochs after a cut that do not count. min_lr: where
    cutting stops; eps: cuts smaller than this are left out. With patience 0 and factor 0.1 it is the ResNet recipe
    "divide by 10 when the validation error stops falling".
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0, min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: mode must be 'min' or 'max' and threshold_mode 'rel' or 'abs', "
                f"got {mode!r} and {threshold_mode!r}"
            )
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be above 0 and below 1, got {factor}")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best: float | None = None
        self.bad_epochs = self.cooldown_left = 0
        self.lr = optimizer.lr
        super().__init__(optimizer)

    def rate(self) -> float:
        return self.lr

    # PyTorch's signature: this schedule alone needs a metric.
    def step(self, metric: float | None = None) -> None:
        """Go on by one epoch that ended with `metric`."""
        if metric is None:
            raise ArgumentError("ReduceLROnPlateau: call step(metric), with the validation loss for example")
        metric = float(metric)
        if self._is_better(metric):
            self.best, self.bad_epochs = metric, 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left:
            self.cooldown_left -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            self._cut()
        super().step()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "lr": self.lr, "best": self.best, "bad_epochs": self.bad_epochs, "cooldown_left": self.cooldown_left
        }  # fmt: skip

    def _is_better(self, metric: float) -> bool:
        if self.best is None:
            return not isnan(metric)
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * metric > sign * self.best * (1 + sign * self.threshold)
        return sign * metric > sign * self.best + self.threshold

    def _cut(self) -> None:
        lower = max(self.lr * self.factor, self.min_lr)
        if self.lr - lower > self.eps:
            self.lr = lower
        self.bad_epochs, self.cooldown_left = 0, self.cooldown


def _has_momentum(optimizer: Optimizer) -> bool:
    return hasattr(optimizer, "betas") or bool(getattr(optimizer, "momentum", 0))


def _set_momentum(optimizer: Any, momentum: float) -> None:
    if hasattr(optimizer, "betas"):
        optimizer.betas = (momentum, optimizer.betas[1])
    else:
        optimizer.momentum = momentum


def _positive(owner: Schedule, name: str, value: float) -> float:
    if not value > 0:
        raise ArgumentError(f"{type(owner).__name__}: {name} must be above 0, got {value}")
    return float(value)


def _count(owner: Schedule, name: str, value: int) -> int:
    if int(value) != value or value < 1:
        raise ArgumentError(f"{type(owner).__name__}: {name} must be a whole number from 1, got {value}")
    return int(value)
