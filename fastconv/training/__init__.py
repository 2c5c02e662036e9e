"""Training: the loop, what it reports, checkpoints, evaluation, and the lectures' Trainer."""

from .evaluation import Evaluation, evaluate
from .history import Epoch, History
from .interrupt import TrainingInterrupted
from .lectures import LectureTrainer
from .progress import Progress
from .trainer import Trainer

__all__ = [
    "Trainer", "History", "Epoch", "Progress", "TrainingInterrupted", "Evaluation", "evaluate", "LectureTrainer",
]  # fmt: skip
