"""The data of a row: the same for every contestant, made from the row's own seed.

Normal numbers at the scale that trained networks see; filters are divided by the root of the fan in, so that no
layer meets denormals or infinities.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import networks
from .work import geometry_of

Request = dict[str, Any]
Arrays = dict[str, Any]


def make(request: Request) -> Arrays:
    """Arrays by name in logical order ([N, C, H, W], [OC, C/G, KH, KW]), contiguous."""
    return _MAKERS[request["operation"]](np.random.default_rng(request["seed"]), request)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    values = rng.standard_normal(shape, np.float32)
    return values if scale == 1 else values * np.float32(scale)


def _convolution(rng: np.random.Generator, request: Request) -> Arrays:
    g = geometry_of(request["sizes"])
    operation, spread = request["operation"], prod(g.w_shape[1:]) ** -0.5
    if operation == "conv2d_forward":
        return {"x": _normal(rng, g.x_shape), "w": _normal(rng, g.w_shape, spread), "b": _normal(rng, (g.OC,))}
    other = ("w", g.w_shape, spread) if operation == "conv2d_backward_data" else ("x", g.x_shape, 1.0)
    return {"dy": _normal(rng, g.y_shape), other[0]: _normal(rng, *other[1:])}


def _pooling(rng: np.random.Generator, request: Request) -> Arrays:
    g = geometry_of(request["sizes"])
    return {"x": _normal(rng, g.x_shape), "dy": _normal(rng, g.y_shape)}


def _activation(rng: np.random.Generator, request: Request) -> Arrays:
    x = _normal(rng, tuple(request["sizes"]["shape"]))
    y = {"relu": lambda: np.maximum(x, 0), "tanh": lambda: np.tanh(x), "sigmoid": lambda: 1 / (1 + np.exp(-x))}
    return {"x": x, "y": y[request["sizes"]["kind"]](), "dy": _normal(rng, x.shape)}


def _normalisation(rng: np.random.Generator, request: Request) -> Arrays:
    shape = tuple(request["sizes"]["shape"])
    channels = {name: _normal(rng, shape[1:2]) for name in ("weight", "bias")}
    return {"x": _normal(rng, shape), "dy": _normal(rng, shape), **channels}


def _loss(rng: np.random.Generator, request: Request) -> Arrays:
    N, classes = request["sizes"]["shape"]
    return {"logits": _normal(rng, (N, classes)), "labels": rng.integers(0, classes, N)}


def _update(rng: np.random.Generator, request: Request) -> Arrays:
    shapes = [tuple(s) for s in request["sizes"]["shapes"]]
    return {"params": [_normal(rng, s, 0.1) for s in shapes], "grads": [_normal(rng, s, 0.01) for s in shapes]}


def _product(rng: np.random.Generator, request: Request) -> Arrays:
    s = request["sizes"]
    a, b = (s["M"], s["K"]), (s["K"], s["N"])
    return {
        "a": _normal(rng, a[::-1] if s["trans_a"] else a),
        "b": _normal(rng, b[::-1] if s["trans_b"] else b, s["K"] ** -0.5),
    }


def _network(rng: np.random.Generator, request: Request) -> Arrays:
    network, N = networks.NETWORKS[request["sizes"]["network"]], request["sizes"]["N"]
    return {
        "params": networks.parameters(network, request["seed"]),
        "x": rng.random((N, *network.input), np.float32),
        "labels": rng.integers(0, 10, N),
    }


_MAKERS = {
    **dict.fromkeys(("conv2d_forward", "conv2d_backward_data", "conv2d_backward_weight"), _convolution),
    **dict.fromkeys([f"{p}_pool2d_{d}" for p in ("max", "avg") for d in ("forward", "backward")], _pooling),
    **dict.fromkeys(("activation_forward", "activation_backward"), _activation),
    **dict.fromkeys(("batch_norm_forward", "batch_norm_backward"), _normalisation),
    **dict.fromkeys(("local_response_norm_forward", "local_response_norm_backward"), _normalisation),
    "softmax_cross_entropy": _loss,
    "adam_step": _update,
    "matmul": _product,
    **dict.fromkeys(("training_step", "inference"), _network),
}
