"""Networks."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError
from .convnetjs import ConvNetJS
from .keras_mnist import KerasMnist
from .lecture_interface import LectureNetwork
from .lenet5 import LeNet5
from .simple_convnet import SimpleConvNet

__all__ = ["SimpleConvNet", "LeNet5", "KerasMnist", "ConvNetJS", "MODELS", "build"]

MODELS: dict[str, type[LectureNetwork]] = {cls.name: cls for cls in (SimpleConvNet, LeNet5, KerasMnist, ConvNetJS)}


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
