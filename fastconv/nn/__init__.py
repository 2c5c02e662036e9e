"""Layers under PyTorch's names and arguments."""

from . import init
from .activation import LeakyReLU, ReLU, ScaledTanh, Sigmoid, Softmax, Tanh
from .batch_norm import BatchNorm1d, BatchNorm2d
from .containers import Sequential
from .conv import Conv2d
from .linear import Linear
from .local_response import LocalResponseNorm
from .loss import CrossEntropyLoss, MAPLoss
from .module import Buffer, Module, Parameter
from .pool import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, KMaxPool, MaxPool2d
from .rbf import RBF
from .regularize import Dropout
from .shape import Flatten, Identity
from .sparse_conv import SparseConv2d
from .subsampling import Subsampling2d

__all__ = [
    "Module", "Parameter", "Buffer", "Sequential", "Conv2d", "SparseConv2d", "Linear", "RBF",
    "BatchNorm1d", "BatchNorm2d", "LocalResponseNorm", "MaxPool2d", "AvgPool2d", "GlobalMaxPool2d", "GlobalAvgPool2d",
    "KMaxPool", "Subsampling2d", "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "ScaledTanh", "Softmax", "Dropout",
    "Flatten", "Identity", "CrossEntropyLoss", "MAPLoss", "init",
]  # fmt: skip
