"""fastconv itself: backend functions for layers, modules and optimizers for steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

import fastconv as fc
from fastconv.geometry import LocalResponse

from ..inputs import Arrays
from ..networks import NETWORKS, Activation, Conv, Dropout, Flatten, Linear, Network, Pool
from ..networks import steps as network_steps
from ..work import geometry_of
from .contestant import CHECK_RATE, CHECK_STEPS, TIMED_RATE, Contestant, Variant

Step = Callable[..., fc.Tensor]


class Engine(Contestant):
    """A backend of fastconv; results go to memory that is there already, as in a compiled step."""

    def __init__(self, device: str, precision: str) -> None:
        self.be = fc.use(device).backend
        if precision != "float32":
            fc.set_precision(precision)

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("fastconv", "numba", "llvmlite", "numpy")}

    # Layers -----------------------------------------------------------------------------------------------------------

    def conv2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (x, w, b) = geometry_of(sizes), self._arrays(a, "x", "w", "b")
        out = self.be.empty(g.y_shape)
        return self._only(lambda: [self.be.conv2d_forward(x, w, b, g, out=out)], self._algorithm(g, "forward"))

    def conv2d_backward_data(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (dy, w) = geometry_of(sizes), self._arrays(a, "dy", "w")
        out = self.be.empty(g.x_shape)
        return self._only(
            lambda: [self.be.conv2d_backward_data(dy, w, g, out=out)], self._algorithm(g, "backward_data")
        )

    def conv2d_backward_weight(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (dy, x) = geometry_of(sizes), self._arrays(a, "dy", "x")
        out = self.be.empty(g.w_shape), self.be.empty((g.OC,))
        note = self._algorithm(g, "backward_weight")
        return self._only(lambda: list(self.be.conv2d_backward_weight(dy, x, g, out=out)), note)

    def max_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (x,) = geometry_of(sizes), self._arrays(a, "x")
        out = self.be.empty(g.y_shape), self.be.empty(g.y_shape, g.argmax_dtype)
        return self._only(lambda: [self.be.max_pool2d_forward(x, g, out=out)[0]])

    def max_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (x, dy) = geometry_of(sizes), self._arrays(a, "x", "dy")
        _, argmax = self.be.max_pool2d_forward(x, g)
        out = self.be.empty(g.x_shape)
        return self._only(lambda: [self.be.max_pool2d_backward(dy, argmax, g, out=out)])

    def avg_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (x,) = geometry_of(sizes), self._arrays(a, "x")
        out = self.be.empty(g.y_shape)
        return self._only(lambda: [self.be.avg_pool2d_forward(x, g, out=out)])

    def avg_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g, (dy,) = geometry_of(sizes), self._arrays(a, "dy")
        out = self.be.empty(g.x_shape)
        return self._only(lambda: [self.be.avg_pool2d_backward(dy, g, out=out)])

    def activation_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        (x,) = self._arrays(a, "x")
        out = self.be.empty(x.shape)
        return self._only(lambda: [self.be.activation_forward(sizes["kind"], x, out=out)])

    def activation_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        dy, y = self._arrays(a, "dy", "y")
        out = self.be.empty(y.shape)
        return self._only(lambda: [self.be.activation_backward(sizes["kind"], dy, y, out=out)])

    def batch_norm_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        x, weight, bias = self._arrays(a, "x", "weight", "bias")
        running = self.be.zeros(bias.shape), self.be.zeros(bias.shape)
        found, out = (self.be.empty(bias.shape), self.be.empty(bias.shape)), self.be.empty(x.shape)

        def run() -> list[Any]:
            self.be.batch_norm_statistics(x, *running, momentum=0.1, out=found)
            return [self.be.batch_norm_forward(x, *found, weight, bias, eps=1e-5, out=out)]

        return self._only(run)

    def batch_norm_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        dy, x, weight = self._arrays(a, "dy", "x", "weight")
        found = self.be.batch_norm_statistics(x, None, None, momentum=0.1)
        out = self.be.empty(x.shape), self.be.empty(weight.shape), self.be.empty(weight.shape)
        options = {"eps": 1e-5, "batch_statistics": True, "out": out}
        return self._only(lambda: list(self.be.batch_norm_backward(dy, x, *found, weight, **options)))

    def local_response_norm_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        (x,), response = self._arrays(a, "x"), LocalResponse(sizes["size"])
        out = self.be.empty(x.shape)
        return self._only(lambda: [self.be.local_response_norm_forward(x, response, out=out)])

    def local_response_norm_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        (dy, x), response = self._arrays(a, "dy", "x"), LocalResponse(sizes["size"])
        out = self.be.empty(x.shape)
        return self._only(lambda: [self.be.local_response_norm_backward(dy, x, response, out=out)])

    def softmax_cross_entropy(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        logits, labels = self._arrays(a, "logits", "labels")

        def run() -> list[Any]:
            loss, prob = self.be.softmax_cross_entropy_forward(logits, labels)
            return [loss, self.be.softmax_cross_entropy_backward(prob, labels)]

        return self._only(run)

    def matmul(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        left, right = self._arrays(a, "a", "b")
        out = self.be.empty((sizes["M"], sizes["N"]))
        trans = {"trans_a": sizes["trans_a"], "trans_b": sizes["trans_b"]}
        return self._only(lambda: [self.be.matmul(left, right, **trans, out=out)])

    def adam_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        params = [fc.tensor(p, requires_grad=True) for p in a["params"]]
        for p, grad in zip(params, a["grads"], strict=True):
            p.grad = fc.tensor(grad)
        optimizer = fc.optim.Adam(params, lr=CHECK_RATE)

        def run() -> list[Any]:
            optimizer.step()
            return [p.data for p in params]

        return self._only(run)

    # Whole steps ------------------------------------------------------------------------------------------------------

    def training_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {form: _training(make, NETWORKS[sizes["network"]], a) for form, make in TRAINING.items()}

    def inference(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {form: _inference(make, NETWORKS[sizes["network"]], a) for form, make in INFERENCE.items()}

    def _only(self, run: Callable[[], list[Any]], note: str = "") -> dict[str, Variant]:
        return {"": Variant(run, lambda: [self.be.to_numpy(a) for a in run()], note)}

    def _arrays(self, a: Arrays, *names: str) -> list[Any]:
        return [self.be.asarray(a[name]) for name in names]

    def _algorithm(self, g: Any, direction: str) -> str:
        return next(c.name for c in self.be.explain(g, direction) if c.declined is None)


def build(network: Network, values: list[np.ndarray], dropout: bool) -> fc.nn.Sequential:
    """The network with these first weights and biases."""
    layers = []
    for step in network_steps(network, 1):
        C = step.x_shape[1]
        match step.part:
            case Conv(_, channels, kernel, padding):
                layers.append(fc.nn.Conv2d(C, channels, kernel, padding=padding))
            case Pool(_, kind, kernel):
                layers.append((fc.nn.MaxPool2d if kind == "max" else fc.nn.AvgPool2d)(kernel))
            case Activation(kind):
                layers.append(fc.nn.ReLU() if kind == "relu" else fc.nn.Tanh())
            case Flatten():
                layers.append(fc.nn.Flatten())
            case Linear(_, features):
                layers.append(fc.nn.Linear(C, features))
            case Dropout(p):
                layers.append(fc.nn.Dropout(p if dropout else 0.0))
    model = fc.nn.Sequential(*layers)
    for p, value in zip(model.parameters(), values, strict=True):
        p.data[...] = p.backend.asarray(value)
    return model


def _training(make: Callable[..., Step], network: Network, a: Arrays) -> Variant:
    x, labels = fc.tensor(a["x"]), fc.tensor(a["labels"])

    def step(lr: float, dropout: bool) -> Callable[[], fc.Tensor]:
        model = build(network, a["params"], dropout)
        run = make(model, fc.nn.CrossEntropyLoss(), fc.optim.Adam(model.parameters(), lr=lr))
        return lambda: run(x, labels)

    def losses() -> list[np.ndarray]:
        run = step(CHECK_RATE, dropout=False)
        return [np.array([run().item() for _ in range(CHECK_STEPS)])]

    return Variant(step(TIMED_RATE, dropout=True), losses)


def _inference(make: Callable[..., Step], network: Network, a: Arrays) -> Variant:
    model, x = build(network, a["params"], dropout=True).eval(), fc.tensor(a["x"])
    predict = make(model)
    return Variant(lambda: predict(x), lambda: [predict(x).numpy()])


def _eager_step(model: fc.nn.Module, loss: fc.nn.Module, optimizer: Any) -> Step:
    def step(x: fc.Tensor, labels: fc.Tensor) -> fc.Tensor:
        optimizer.zero_grad()
        value = loss(model(x), labels)
        value.backward()
        optimizer.step()
        return value

    return step


def _eager_inference(model: fc.nn.Module) -> Step:
    def predict(x: fc.Tensor) -> fc.Tensor:
        with fc.no_grad():
            return model(x)

    return predict


# The ways to run a whole step; the quickest is the row, all of them stand in its variants. frozen: weights are packed
# once, as ONNX Runtime has them.
TRAINING: dict[str, Callable[..., Step]] = {"compiled": fc.compile, "eager": _eager_step}
INFERENCE: dict[str, Callable[..., Step]] = {
    "frozen": partial(fc.compile, frozen=True),
    "compiled": fc.compile,
    "eager": _eager_inference,
}


class EngineOnGpu(Engine):
    """Timed by the GPU's own clock."""

    def versions(self) -> dict[str, str]:
        from fastconv.backends.gpu.measure import versions

        return {"fastconv": version("fastconv"), **versions()}

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        from fastconv.backends.gpu.measure import elapsed

        return elapsed(lambda: [run() for _ in range(calls)])


def contestant(device: str = "cpu", precision: str = "float32") -> Contestant:
    return EngineOnGpu(device, precision) if device == "gpu" else Engine(device, precision)
