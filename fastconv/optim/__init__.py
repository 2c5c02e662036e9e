"""Optimizers and learning-rate schedules."""

from .adaptive import Adadelta, AdaGrad, Adam, AdamW, RMSprop
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["Optimizer", "SGD", "AdaGrad", "RMSprop", "Adadelta", "Adam", "AdamW"]
