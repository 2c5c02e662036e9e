"""Networks: the lectures' own, and those that they tell of."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError
from .alexnet import AlexNet
from .alphago import AlphaGoPolicy
from .cifar_resnet import CifarResNet, ResNet20, ResNet32, ResNet44, ResNet56, ResNet110
from .convnetjs import ConvNetJS
from .ensemble import Ensemble
from .googlenet import GoogLeNet, Inception
from .keras_mnist import KerasMnist
from .lecture_interface import LectureNetwork
from .lenet5 import LeNet5
from .lenet5_original import LeNet5Original
from .linear import LinearClassifier
from .resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from .simple_convnet import SimpleConvNet
from .vgg import VGG, VGG11, VGG13, VGG16, VGG19
from .zfnet import ZFNet

__all__ = [
    "SimpleConvNet", "LeNet5", "LeNet5Original", "KerasMnist", "ConvNetJS", "AlexNet", "ZFNet",
    "VGG", "VGG11", "VGG13", "VGG16", "VGG19", "GoogLeNet", "Inception",
    "ResNet", "ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152", "BasicBlock", "Bottleneck",
    "CifarResNet", "ResNet20", "ResNet32", "ResNet44", "ResNet56", "ResNet110",
    "AlphaGoPolicy", "LinearClassifier", "Ensemble", "MODELS", "build",
]  # fmt: skip

MODELS: dict[str, type[LectureNetwork]] = {
    network.name: network
    for network in (
        SimpleConvNet, LeNet5, LeNet5Original, KerasMnist, ConvNetJS,
        AlexNet, ZFNet, VGG11, VGG13, VGG16, VGG19, GoogLeNet,
        ResNet18, ResNet34, ResNet50, ResNet101, ResNet152, ResNet20, ResNet32, ResNet44, ResNet56, ResNet110,
        AlphaGoPolicy, LinearClassifier,
    )
}  # fmt: skip


def build(name: str, config: Mapping[str, Any] | None = None) -> LectureNetwork:
    """The network called `name` with these constructor options, as the command line and saved files name it.

    Raises:
        ArgumentError: the name or an option is unknown.
    """
    if name not in MODELS:
        raise ArgumentError(f"there is no network {name!r}; choose one of {', '.join(MODELS)}")
    options = dict(config or {})
    known = inspect.signature(MODELS[name]).parameters
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise ArgumentError(f"{name} has no option {', '.join(unknown)}; its options are {', '.join(known)}")
    try:
        return MODELS[name](**options)
    except TypeError as error:
        raise ArgumentError(f"{name}: {error}") from error
