"""Layers under PyTorch's names and arguments."""

from . import init
from .activation import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from .batch_norm import BatchNorm1d, BatchNorm2d
from .containers import Sequential
from .conv import Conv2d
from .linear import Linear
from .loss import CrossEntropyLoss
from .module import Buffer, Module, Parameter
from .pool import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from .regularize import Dropout
from .shape import Flatten, Identity

__all__ = [
    "Module", "Parameter", "Buffer", "Sequential", "Conv2d", "Linear", "BatchNorm1d", "BatchNorm2d",
    "MaxPool2d", "AvgPool2d", "GlobalMaxPool2d", "GlobalAvgPool2d",
    "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Softmax", "Dropout", "Flatten", "Identity", "CrossEntropyLoss", "init",
]  # fmt: skip
