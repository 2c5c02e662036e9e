"""The naive way of the lectures, in NumPy: see lecture_layers.py."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..inputs import Arrays
from ..networks import NETWORKS, Activation, Conv, Dropout, Flatten, Linear, Network, Pool, Step
from ..networks import steps as network_steps
from ..work import geometry_of
from .contestant import CHECK_RATE, CHECK_STEPS, TIMED_RATE, Contestant, Declined, Variant
from .lecture_layers import (
    Adam,
    Affine,
    AveragePooling,
    Convolution,
    MaxPooling,
    Pointwise,
    Reshape,
    im2col,
    softmax_cross_entropy,
)

PATIENCE = 1.5e9  # operations of a convolution, about 0.2 s
MOST_WINDOWS = 12e6  # elements of a pooling's windows, about 0.1 s


class Lectures(Contestant):
    """Convolution without groups, pooling, activations, loss, Adam, and the training step made of them."""

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def conv2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = Convolution(_affordable(sizes), a["w"], a["b"])
        return _only(lambda: [layer.forward(a["x"])])

    def conv2d_backward_data(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = Convolution(_affordable(sizes), a["w"], None)
        return _only(lambda: [layer.backward_data(a["dy"])])

    def conv2d_backward_weight(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = Convolution(_affordable(sizes), None, None)

        def run() -> list[np.ndarray]:
            layer.col = im2col(a["x"], layer.g)
            return layer.backward_weight(a["dy"])

        return _only(run)

    def max_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = MaxPooling(_affordable_pooling(sizes))
        return _only(lambda: [layer.forward(a["x"])])

    def max_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = MaxPooling(_affordable_pooling(sizes))
        layer.forward(a["x"])
        return _only(lambda: [layer.backward(a["dy"])])

    def avg_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = AveragePooling(_affordable_pooling(sizes))
        return _only(lambda: [layer.forward(a["x"])])

    def avg_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = AveragePooling(_affordable_pooling(sizes))
        return _only(lambda: [layer.backward(a["dy"])])

    def activation_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = Pointwise(sizes["kind"])
        return _only(lambda: [layer.forward(a["x"])])

    def activation_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layer = Pointwise(sizes["kind"])
        layer.y = a["y"]
        return _only(lambda: [layer.backward(a["dy"])])

    def softmax_cross_entropy(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return _only(lambda: list(softmax_cross_entropy(a["logits"], a["labels"])))

    def matmul(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        left, right = a["a"].T if sizes["trans_a"] else a["a"], a["b"].T if sizes["trans_b"] else a["b"]
        out = np.empty((sizes["M"], sizes["N"]), np.float32)
        return _only(lambda: [np.matmul(left, right, out=out)])

    def adam_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        params = [p.copy() for p in a["params"]]
        optimizer = Adam(params, CHECK_RATE)

        def run() -> list[np.ndarray]:
            optimizer.step(a["grads"])
            return params

        return _only(run)

    def training_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        network = NETWORKS[sizes["network"]]
        _require_no_dropout(network)

        def losses() -> list[np.ndarray]:
            step = _training(network, a, CHECK_RATE)
            return [np.array([step() for _ in range(CHECK_STEPS)])]

        return {"": Variant(_training(network, a, TIMED_RATE), losses)}

    def inference(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        layers, _ = _build(NETWORKS[sizes["network"]], sizes["N"], a["params"])
        return _only(lambda: [_forward(layers, a["x"])])


def _affordable(sizes: Arrays) -> Any:
    g = geometry_of(sizes)
    if g.G > 1 or (g.DH, g.DW) != (1, 1):
        raise Declined("neither groups nor dilation")
    if g.flops > PATIENCE:
        raise Declined("too slow to wait for")
    return g


def _affordable_pooling(sizes: Arrays) -> Any:
    g = geometry_of(sizes)
    if prod(g.y_shape) * g.taps > MOST_WINDOWS:
        raise Declined("too slow to wait for")
    return g


def _only(run: Callable[[], list[np.ndarray]]) -> dict[str, Variant]:
    return {"": Variant(run, run)}


def _require_no_dropout(network: Network) -> None:
    if any(isinstance(part, Dropout) for part in network.parts):
        raise Declined("no dropout")


def _build(network: Network, N: int, values: list[np.ndarray]) -> tuple[list[Any], list[np.ndarray]]:
    params = [v.copy() for v in values]
    left = iter(params)
    return [_layer(step, left) for step in network_steps(network, N) if not isinstance(step.part, Dropout)], params


def _layer(step: Step, left: Any) -> Any:
    match step.part:
        case Conv():
            return Convolution(step.geometry, next(left), next(left))
        case Pool(_, kind):
            return (MaxPooling if kind == "max" else AveragePooling)(step.geometry)
        case Activation(kind):
            return Pointwise(kind)
        case Flatten():
            return Reshape()
        case Linear():
            return Affine(next(left), next(left))


def _forward(layers: list[Any], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer.forward(x)
    return x


def _training(network: Network, a: Arrays, lr: float) -> Callable[[], float]:
    layers, params = _build(network, len(a["x"]), a["params"])
    optimizer = Adam(params, lr)

    def step() -> float:
        loss, dy = softmax_cross_entropy(_forward(layers, a["x"]), a["labels"])
        for layer in reversed(layers[1:]):
            dy = layer.backward(dy)
        layers[0].grads = layers[0].backward_weight(dy)
        optimizer.step([g for layer in layers if hasattr(layer, "grads") for g in layer.grads])
        return float(loss)

    return step


def contestant() -> Contestant:
    return Lectures()
