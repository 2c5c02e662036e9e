"""Optimizers and learning-rate schedules."""

from . import schedules as lr_scheduler
from .adaptive import Adadelta, AdaGrad, Adam, AdamW, RMSprop
from .optimizer import Optimizer
from .schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
)
from .sgd import SGD

__all__ = [
    "Optimizer", "SGD", "AdaGrad", "RMSprop", "Adadelta", "Adam", "AdamW",
    "Schedule", "MultiStepLR", "StepLR", "ExponentialLR", "CosineAnnealingLR", "OneCycleLR", "ReduceLROnPlateau",
    "lr_scheduler",
]  # fmt: skip
