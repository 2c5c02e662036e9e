"""Everything a script of the lectures imports, in one place: change the import lines and it runs.

from fastconv.lectures import SimpleConvNet, Trainer, load_mnist
"""

from .data import load_mnist
from .models import LeNet5, SimpleConvNet
from .nn.lecture_layers import Affine, Convolution, Pooling, Relu, Sigmoid, SoftmaxWithLoss
from .ops.conv2d import col2im, im2col
from .plots import filter_show
from .training import LectureTrainer as Trainer

__all__ = [
    "SimpleConvNet", "LeNet5", "Trainer", "load_mnist", "filter_show", "im2col", "col2im",
    "Convolution", "Pooling", "Affine", "Relu", "Sigmoid", "SoftmaxWithLoss",
]  # fmt: skip
