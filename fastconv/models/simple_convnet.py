"""The lectures' first convolutional network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

from ..errors import ArgumentError
from ..geometry import Conv2dGeometry, Pool2dGeometry
from ..nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, init
from .lecture_interface import LectureNetwork, start, whole_numbers

CONV_PARAM = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}


class SimpleConvNet(LectureNetwork):
    """conv - relu - pool 2x2/2 - affine - relu - affine; softmax belongs to the loss.

    input_dim: (C, H, W). conv_param: any of filter_num, filter_size, pad, stride. weight_init_std: the standard
    deviation of all first weights, or 'relu' / 'he' or 'sigmoid' / 'xavier' for one that depends on the layer.
    With the defaults 433,890 parameters: W1 (30, 1, 5, 5), W2 (4320, 100), W3 (100, 10) and b1, b2, b3.
    """

    name = "simple_convnet"

    def __init__(
        self, input_dim: tuple[int, int, int] = (1, 28, 28), conv_param: Mapping[str, int] | None = None,
        hidden_size: int = 100, output_size: int = 10, weight_init_std: float | str = 0.01,
    ) -> None:  # fmt: skip
        super().__init__()
        C, H, W = whole_numbers("SimpleConvNet", "input_dim", input_dim, "C, H, W")
        if not isinstance(conv_param, Mapping | None):
            raise ArgumentError(f"SimpleConvNet: conv_param must be a dict of {[*CONV_PARAM]}, got {conv_param!r:.40}")
        unknown = set(conv_param or {}) - set(CONV_PARAM)
        if unknown:
            raise ArgumentError(
                f"SimpleConvNet: conv_param has unknown keys {sorted(unknown)}; known: {list(CONV_PARAM)}"
            )
        conv = CONV_PARAM | dict(conv_param or {})
        self.config = {
            "input_dim": list(input_dim), "conv_param": conv, "hidden_size": hidden_size,
            "output_size": output_size, "weight_init_std": weight_init_std,
        }  # fmt: skip
        FN, F = conv["filter_num"], conv["filter_size"]
        maps = Conv2dGeometry.from_shapes((1, C, H, W), (FN, C, F, F), stride=conv["stride"], padding=conv["pad"])
        pooled = Pool2dGeometry.from_shape(maps.y_shape, 2).y_shape
        self.conv1 = Conv2d(C, FN, F, conv["stride"], conv["pad"])
        self.relu1 = ReLU()
        self.pool1 = MaxPool2d(2, 2)
        self.flatten = Flatten()
        self.affine1 = Linear(prod(pooled), hidden_size)
        self.relu2 = ReLU()
        self.affine2 = Linear(hidden_size, output_size)
        for layer in (self.conv1, self.affine1, self.affine2):
            _initialize(layer, weight_init_std)

    @property
    def layers(self) -> dict[str, Module]:
        return {
            "Conv1": self.conv1, "Relu1": self.relu1, "Pool1": self.pool1, "Flatten": self.flatten,
            "Affine1": self.affine1, "Relu2": self.relu2, "Affine2": self.affine2,
        }  # fmt: skip


def _initialize(layer: Any, std: float | str) -> None:
    if not isinstance(std, str):
        if not 0 <= std < float("inf"):
            raise ArgumentError(f"weight_init_std must be at least 0, got {std!r}")
        start(layer, partial(init.normal, std=std))
        return
    by_name = {"relu": init.he, "he": init.he, "sigmoid": init.xavier, "xavier": init.xavier}
    if std.lower() not in by_name:
        raise ArgumentError(f"weight_init_std must be a number or one of {', '.join(by_name)}, got {std!r}")
    start(layer, by_name[std.lower()])
