"""PyTorch: eager, with memory as NCHW and as channels_last; whole steps also compiled, or replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..inputs import Arrays
from ..networks import NETWORKS, Activation, Conv, Dropout, Flatten, Linear, Network, Pool
from ..networks import steps as network_steps
from ..work import geometry_of
from .contestant import CHECK_RATE, CHECK_STEPS, TIMED_RATE, Contestant, Declined, Variant
from .pytorch_device import Place, as_graph, elapsed, place
from .pytorch_norm import Normalisation

FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
Run = Callable[[], list[torch.Tensor]]


class PyTorch(Normalisation, Contestant):
    """fused: Adam as one kernel. compiled: whole steps through torch.compile. graphed: whole steps as a CUDA graph.
    The last three time whole steps and nothing else."""

    def __init__(self, place: Place, fused: bool = False, compiled: bool = False, graphed: bool = False) -> None:
        self.place, self.fused, self.compiled, self.graphed = place, fused, compiled, graphed

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        return super().seconds(run, calls) if self.place.device == "cpu" else elapsed(run, calls)

    # Layers -----------------------------------------------------------------------------------------------------------

    def conv2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g = geometry_of(sizes)
        options = {"stride": (g.SH, g.SW), "padding": _padding(g), "dilation": (g.DH, g.DW), "groups": g.G}
        return self._both(a, ("x", "w", "b"), lambda x, w, b: [F.conv2d(x, w, b, **options)])

    def conv2d_backward_data(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g = geometry_of(sizes)
        backward = _convolution_backward(g, [True, False, False])
        x = np.empty(g.x_shape, np.float32)  # its shape and layout count, not its values
        return self._both({**a, "x": x}, ("dy", "x", "w"), lambda dy, x, w: [backward(dy, x, w)[0]])

    def conv2d_backward_weight(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        g = geometry_of(sizes)
        backward = _convolution_backward(g, [False, True, True])
        w = np.empty(g.w_shape, np.float32)
        return self._both({**a, "w": w}, ("dy", "x", "w"), lambda dy, x, w: list(backward(dy, x, w)[1:]))

    def max_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        options = _max_window(sizes)
        return self._both(a, ("x",), lambda x: [torch.ops.aten.max_pool2d_with_indices(x, *options)[0]])

    def max_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        options = _max_window(sizes)

        def prepare(x: torch.Tensor, dy: torch.Tensor) -> Run:
            _, indices = torch.ops.aten.max_pool2d_with_indices(x, *options)
            return lambda: [torch.ops.aten.max_pool2d_with_indices_backward(dy, x, *options, indices)]

        return self._in_both_formats(a, ("x", "dy"), prepare)

    def avg_pool2d_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        options = _average_window(sizes)
        return self._both(a, ("x",), lambda x: [torch.ops.aten.avg_pool2d(x, *options)])

    def avg_pool2d_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        options = _average_window(sizes)
        return self._both(a, ("dy", "x"), lambda dy, x: [torch.ops.aten.avg_pool2d_backward(dy, x, *options)])

    def activation_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        functions = {
            "relu": partial(torch.clamp_min, min=0),
            "tanh": torch.tanh,
            "sigmoid": torch.sigmoid,
        }
        function, x = functions[sizes["kind"]], self.place.tensor(a["x"])
        out = torch.empty_like(x)
        return _only(lambda: [function(x, out=out)])

    def activation_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        ops, dy, y = torch.ops.aten, self.place.tensor(a["dy"]), self.place.tensor(a["y"])
        out = torch.empty_like(y)
        functions = {
            "relu": lambda: ops.threshold_backward.grad_input(dy, y, 0, grad_input=out),
            "tanh": lambda: ops.tanh_backward.grad_input(dy, y, grad_input=out),
            "sigmoid": lambda: ops.sigmoid_backward.grad_input(dy, y, grad_input=out),
        }
        function = functions[sizes["kind"]]
        return _only(lambda: [function()])

    def softmax_cross_entropy(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        logits, labels = self.place.tensor(a["logits"]).requires_grad_(), self.place.tensor(a["labels"])

        def run() -> list[torch.Tensor]:
            loss = F.cross_entropy(logits, labels)
            return [loss.detach(), *torch.autograd.grad(loss, logits)]

        return {"": Variant(run, lambda: [_numpy(t) for t in run()])}

    def matmul(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        left, right = self.place.tensor(a["a"]), self.place.tensor(a["b"])
        left, right = left.T if sizes["trans_a"] else left, right.T if sizes["trans_b"] else right
        out = left.new_empty(sizes["M"], sizes["N"])
        return _only(lambda: [torch.matmul(left, right, out=out)])

    def adam_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {name: _adam(a, self.place, fused) for name, fused in (("default", False), ("fused", True))}

    # Whole steps ------------------------------------------------------------------------------------------------------

    def prepare(self, request: dict[str, Any]) -> dict[str, Variant]:
        if (self.fused or self.compiled or self.graphed) and request["operation"] not in ("training_step", "inference"):
            raise Declined("times whole steps only")
        return super().prepare(request)

    def training_step(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return {name: self._training(NETWORKS[sizes["network"]], a, memory) for name, memory in FORMATS.items()}

    def inference(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        if self.fused:
            raise Declined("inference updates nothing")
        return {name: self._inference(NETWORKS[sizes["network"]], a, memory) for name, memory in FORMATS.items()}

    def _training(self, network: Network, a: Arrays, memory: torch.memory_format) -> Variant:
        def losses() -> list[np.ndarray]:
            step = self._step(network, a, memory, CHECK_RATE, dropout=False)
            return [np.array([step().item() for _ in range(CHECK_STEPS)])]

        return Variant(self._step(network, a, memory, TIMED_RATE, dropout=True), losses)

    def _step(
        self, network: Network, a: Arrays, memory: torch.memory_format, lr: float, dropout: bool
    ) -> Callable[[], torch.Tensor]:
        model = build(network, a["params"], dropout).to(self.place.device, memory_format=memory)
        x, labels = self._float32.tensor(a["x"], memory), self.place.tensor(a["labels"])
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=self.fused or None, capturable=self.graphed)

        def forward() -> torch.Tensor:
            with self._autocast():
                return F.cross_entropy(model(x), labels)

        run = torch.compile(forward) if self.compiled else forward

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            loss = run()
            loss.backward()
            optimizer.step()
            return loss

        return as_graph(step) if self.graphed else step

    def _inference(self, network: Network, a: Arrays, memory: torch.memory_format) -> Variant:
        model = build(network, a["params"], dropout=True).eval().to(self.place.device, memory_format=memory)
        run, x = torch.compile(model) if self.compiled else model, self._float32.tensor(a["x"], memory)

        def predict() -> torch.Tensor:
            with torch.inference_mode(), self._autocast():
                return run(x)

        timed = as_graph(predict) if self.graphed else predict
        return Variant(timed, lambda: [_numpy(predict())])

    @property
    def _float32(self) -> Place:
        """Whole steps keep float32 weights and inputs; autocast chooses what is computed in halves."""
        return Place(self.place.device, torch.float32)

    def _autocast(self) -> Any:
        half = self.place.dtype != torch.float32
        return torch.autocast(self.place.device, self.place.dtype if half else None, enabled=half)

    def _in_both_formats(self, a: Arrays, names: tuple[str, ...], prepare: Callable[..., Run]) -> dict[str, Variant]:
        variants = {}
        for name, memory in FORMATS.items():
            run = prepare(*(self.place.tensor(a[n], memory) for n in names))
            variants[name] = _without_graph(run)
        return variants

    def _both(
        self, a: Arrays, names: tuple[str, ...], function: Callable[..., list[torch.Tensor]]
    ) -> dict[str, Variant]:
        return self._in_both_formats(a, names, lambda *tensors: lambda: function(*tensors))


def _numpy(t: torch.Tensor) -> np.ndarray:
    return t.float().cpu().numpy()


def _only(run: Run) -> dict[str, Variant]:
    return {"": _without_graph(run)}


def _without_graph(run: Run) -> Variant:
    @torch.inference_mode()
    def forward_only() -> list[torch.Tensor]:
        return run()

    return Variant(forward_only, lambda: [_numpy(t) for t in forward_only()])


def _padding(g: Any) -> tuple[int, int]:
    if (g.PH, g.PW) != (g.PB, g.PR):
        raise Declined("pads both sides alike only")
    return g.PH, g.PW


def _convolution_backward(g: Any, wanted: list[bool]) -> Callable[..., Any]:
    options = ([g.OC], [g.SH, g.SW], list(_padding(g)), [g.DH, g.DW], False, [0, 0], g.G, wanted)
    return lambda dy, x, w: torch.ops.aten.convolution_backward(dy, x, w, *options)


def _max_window(sizes: Arrays) -> tuple[Any, ...]:
    g = geometry_of(sizes)
    return [g.KH, g.KW], [g.SH, g.SW], list(_padding(g)), [g.DH, g.DW], g.ceil_mode


def _average_window(sizes: Arrays) -> tuple[Any, ...]:
    g = geometry_of(sizes)
    return [g.KH, g.KW], [g.SH, g.SW], list(_padding(g)), g.ceil_mode, g.count_include_pad, None


def _adam(a: Arrays, place: Place, fused: bool) -> Variant:
    where = Place(place.device, torch.float32)
    params = [where.tensor(p.copy()).requires_grad_() for p in a["params"]]
    for p, grad in zip(params, a["grads"], strict=True):
        p.grad = where.tensor(grad)
    optimizer = torch.optim.Adam(params, lr=CHECK_RATE, fused=fused or None)

    def result() -> list[np.ndarray]:
        optimizer.step()
        return [_numpy(p.detach()).copy() for p in params]

    return Variant(optimizer.step, result)


def build(network: Network, values: list[np.ndarray], dropout: bool) -> nn.Sequential:
    """The network with these first weights and biases."""
    layers: list[nn.Module] = []
    for step in network_steps(network, 1):
        C = step.x_shape[1]
        match step.part:
            case Conv(_, channels, kernel, padding):
                layers.append(nn.Conv2d(C, channels, kernel, padding=padding))
            case Pool(_, kind, kernel):
                layers.append((nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(kernel))
            case Activation(kind):
                layers.append(nn.ReLU() if kind == "relu" else nn.Tanh())
            case Flatten():
                layers.append(nn.Flatten())
            case Linear(_, features):
                layers.append(nn.Linear(C, features))
            case Dropout(p):
                layers.append(nn.Dropout(p if dropout else 0.0))
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for p, value in zip(model.parameters(), values, strict=True):
            p.copy_(torch.from_numpy(value))
    return model


def contestant(device: str = "cpu", precision: str = "float32", **forms: bool) -> Contestant:
    return PyTorch(place(device, precision), **forms)
