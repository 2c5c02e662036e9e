"""JAX on the CPU: every operation and every step compiled by jit, arrays as NCHW and as NHWC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..inputs import Arrays
from ..networks import NETWORKS, Activation, Conv, Flatten, Linear, Network, Pool
from ..networks import steps as network_steps
from ..work import geometry_of
from .contestant import CHECK_RATE, CHECK_STEPS, TIMED_RATE, Contestant, Declined, Variant

# Layouts: of images, of filters, and how to come there from NCHW and OIHW.
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
FILTERS = {"NCHW": "OIHW", "NHWC": "HWIO"}
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
Function = Callable[..., Any]


class Jax(Contestant):
    """Single layers other than pooling, and whole steps without dropout; the update is a plain Adam."""

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__}

    def conv2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {
            layout: _variant(_biased(_convolution(geometry_of(sizes), layout), layout), _arrays(a, layout), layout)
            for layout in LAYOUTS
        }

    def conv2d_backward_data(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g = geometry_of(sizes)
        return {layout: _gradient(_convolution(g, layout), 0, g.x_shape, a, "w", layout) for layout in LAYOUTS}

    def conv2d_backward_weight(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g = geometry_of(sizes)
        return {layout: _gradient(_convolution(g, layout), 1, g.w_shape, a, "x", layout) for layout in LAYOUTS}

    def activation_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {"": _variant(ACTIVATIONS[sizes["kind"]], [jnp.asarray(a["x"])], "NCHW")}

    def activation_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        dy, y = jnp.asarray(a["dy"]), jnp.asarray(a["y"])
        functions = {
            "relu": lambda dy, y: jnp.where(y > 0, dy, 0),
            "tanh": lambda dy, y: dy * (1 - y * y),
            "sigmoid": lambda dy, y: dy * y * (1 - y),
        }
        return {"": _variant(functions[sizes["kind"]], [dy, y], "NCHW")}

    def softmax_cross_entropy(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {"": _variant(jax.value_and_grad(_cross_entropy), [jnp.asarray(a[n]) for n in ("logits", "labels")], "")}

    def matmul(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        def product(left: Any, right: Any) -> Any:
            return (left.T if sizes["trans_a"] else left) @ (right.T if sizes["trans_b"] else right)

        return {"": _variant(product, [jnp.asarray(a[n]) for n in "ab"], "")}

    def training_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        network = NETWORKS[sizes["network"]]
        if network.name == "keras_mnist":
            raise Declined("no dropout")

        def losses(layout: str) -> list[np.ndarray]:
            step = _step(network, a, CHECK_RATE, layout)
            return [np.array([float(step()) for _ in range(CHECK_STEPS)])]

        return {
            layout: Variant(_step(network, a, TIMED_RATE, layout), lambda layout=layout: losses(layout))
            for layout in LAYOUTS
        }

    def inference(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        network, params = NETWORKS[sizes["network"]], [jnp.asarray(p) for p in a["params"]]
        return {layout: _variant(_forward(network, layout), [params, _there(a["x"], layout)], "") for layout in LAYOUTS}


def _there(a: np.ndarray, layout: str) -> jax.Array:
    return jnp.asarray(a.transpose(LAYOUTS[layout]) if a.ndim == 4 else a)


def _filter(w: np.ndarray, layout: str) -> jax.Array:
    return jnp.asarray(w if layout == "NCHW" else w.transpose(2, 3, 1, 0))


def _arrays(a: Arrays, layout: str) -> list[jax.Array]:
    return [_there(a["x"], layout), _filter(a["w"], layout), jnp.asarray(a["b"])]


def _convolution(g: Any, layout: str) -> Function:
    options = {
        "window_strides": (g.SH, g.SW),
        "padding": ((g.PH, g.PB), (g.PW, g.PR)),
        "rhs_dilation": (g.DH, g.DW),
        "dimension_numbers": (layout, FILTERS[layout], layout),
        "feature_group_count": g.G,
    }
    return lambda x, w: lax.conv_general_dilated(x, w, **options)


def _biased(convolution: Function, layout: str) -> Function:
    shape = (1, -1, 1, 1) if layout == "NCHW" else (1, 1, 1, -1)
    return lambda x, w, b: convolution(x, w) + b.reshape(shape)


def _variant(function: Function, arrays: list[Any], layout: str) -> Variant:
    compiled = jax.jit(function)

    def run() -> Any:
        return jax.block_until_ready(compiled(*arrays))

    return Variant(run, lambda: [_back(a, layout) for a in jax.tree.leaves(run())])


def _back(a: jax.Array, layout: str) -> np.ndarray:
    """In logical order."""
    values = np.asarray(a)
    return values.transpose(0, 3, 1, 2) if layout == "NHWC" and values.ndim == 4 else values


def _gradient(function: Function, position: int, shape: tuple[int, ...], a: Arrays, other: str, layout: str) -> Variant:
    """The gradient of x (position 0) or of the filters and the bias (1), linear in each, so taken at zero."""
    dy, zero = _there(a["dy"], layout), np.zeros(shape, np.float32)
    known = (_filter if position == 0 else _there)(a[other], layout)
    place = (_there if position == 0 else _filter)(zero, layout)
    channels = (0, 1, 2) if layout == "NHWC" else (0, 2, 3)

    def backward(dy: Any, known: Any) -> Any:
        one = (lambda v: function(v, known)) if position == 0 else (lambda v: function(known, v))
        (found,) = jax.vjp(one, place)[1](dy)
        return found if position == 0 else (found, dy.sum(channels))

    compiled = jax.jit(backward)

    def run() -> Any:
        return jax.block_until_ready(compiled(dy, known))

    def result() -> list[np.ndarray]:
        if position == 0:
            return [_back(run(), layout)]
        dw, db = (np.asarray(v) for v in run())
        return [dw if layout == "NCHW" else dw.transpose(3, 2, 0, 1), db]

    return Variant(run, result)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def _forward(network: Network, layout: str) -> Function:
    """(parameters, images in `layout`) to scores, dropout left out."""
    parts = list(network_steps(network, 1))

    def forward(params: list[Any], x: Any) -> Any:
        left = iter(params)
        for step in parts:
            x = _part(step, x, left, layout)
        return x

    return forward


def _part(step: Any, x: Any, left: Any, layout: str) -> Any:
    match step.part:
        case Conv():
            w, b = next(left), next(left)
            w = w if layout == "NCHW" else w.transpose(2, 3, 1, 0)
            return _biased(_convolution(step.geometry, layout), layout)(x, w, b)
        case Pool(_, kind, kernel):
            return _pool(x, kind, kernel, layout)
        case Activation(kind):
            return ACTIVATIONS[kind](x)
        case Flatten():
            return (x if layout == "NCHW" else x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
        case Linear():
            w, b = next(left), next(left)
            return x @ w.T + b
    return x


def _pool(x: Any, kind: str, kernel: int, layout: str) -> Any:
    window = (1, 1, kernel, kernel) if layout == "NCHW" else (1, kernel, kernel, 1)
    if kind == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
    return lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / kernel**2


def _step(network: Network, a: Arrays, lr: float, layout: str) -> Callable[[], Any]:
    forward, x, labels = _forward(network, layout), _there(a["x"], layout), jnp.asarray(a["labels"])

    def loss(params: list[Any]) -> Any:
        return _cross_entropy(forward(params, x), labels)

    @jax.jit
    def update(state: Any) -> Any:
        params, means, squares, count = state
        value, grads = jax.value_and_grad(loss)(params)
        count = count + 1
        means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
        squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, grads, strict=True)]
        rate, correction = lr / (1 - 0.9**count), 1 - 0.999**count
        changed = [
            p - rate * m / (jnp.sqrt(s / correction) + 1e-8) for p, m, s in zip(params, means, squares, strict=True)
        ]
        return (changed, means, squares, count), value

    params = [jnp.asarray(p) for p in a["params"]]
    state = params, [jnp.zeros_like(p) for p in params], [jnp.zeros_like(p) for p in params], jnp.float32(0)

    def step() -> Any:
        nonlocal state
        state, value = jax.block_until_ready(update(state))
        return value

    return step


def contestant() -> Contestant:
    return Jax()
