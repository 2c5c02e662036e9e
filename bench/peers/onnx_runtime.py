"""ONNX Runtime on the CPU: inference of whole networks, from a graph that is built of the same weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from ..inputs import Arrays
from ..networks import NETWORKS, Activation, Conv, Dropout, Flatten, Linear, Network, Pool, Step
from ..networks import steps as network_steps
from .contestant import Contestant, Variant
from .process import THREADS

OPSET, IR = 17, 8  # of 2022: every runtime since 1.12 reads them
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "max": "MaxPool", "avg": "AveragePool"}


class OnnxRuntime(Contestant):
    """All optimizations of the graph, which the runtime makes when it loads it; it has no single layers to time."""

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": ort.__version__}

    def inference(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        session = _session(graph(NETWORKS[sizes["network"]], a["params"], sizes["N"]))
        runs = {"run": _run(session, a["x"]), "bound": _bound(session, a["x"])}
        return {name: Variant(run, lambda run=run: [np.array(run())]) for name, run in runs.items()}


def graph(network: Network, params: list[np.ndarray], N: int) -> onnx.ModelProto:
    """The network for N images as ONNX: `x` (N, C, H, W) to `y` (N, 10), dropout left out as inference does."""
    left, nodes, weights, name = iter(params), [], [], "x"
    parts = [step for step in network_steps(network, N) if not isinstance(step.part, Dropout)]
    for i, step in enumerate(parts):
        out = "y" if i == len(parts) - 1 else f"v{i}"
        operator, options = _operator(step)
        values = [numpy_helper.from_array(v, f"{out}.{k}") for k, v in enumerate(_own(step, left))]
        nodes.append(helper.make_node(operator, [name, *(v.name for v in values)], [out], **options))
        weights += values
        name = out
    x, y = (
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape)
        for n, shape in (("x", (N, *network.input)), ("y", parts[-1].y_shape))
    )
    model = helper.make_model(
        helper.make_graph(nodes, network.name, [x], [y], weights),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR,
    )  # fmt: skip
    onnx.checker.check_model(model)
    return model


def _own(step: Step, left: Iterator[np.ndarray]) -> list[np.ndarray]:
    """Weight and bias of this part, if it has some."""
    return [next(left), next(left)] if step.w_shape else []


def _operator(step: Step) -> tuple[str, dict[str, Any]]:
    """ONNX's operator and its attributes."""
    match step.part:
        case Conv(_, _, kernel, padding):
            return "Conv", {"kernel_shape": [kernel] * 2, "pads": [padding] * 4}
        case Pool(_, kind, kernel):
            return OPERATORS[kind], {"kernel_shape": [kernel] * 2, "strides": [kernel] * 2}
        case Activation(kind):
            return OPERATORS[kind], {}
        case Flatten():
            return "Flatten", {}
        case Linear():
            return "Gemm", {"transB": 1}
    raise TypeError(step.part)


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = int(os.environ.get(THREADS[0], "0"))  # 0: as many as there are cores
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, x: np.ndarray) -> Callable[[], np.ndarray]:
    """As most people call it: arrays in, new arrays out."""
    feed = {"x": x}
    return lambda: session.run(None, feed)[0]


def _bound(session: ort.InferenceSession, x: np.ndarray) -> Callable[[], np.ndarray]:
    """Input and output bound once."""
    binding, y = session.io_binding(), np.empty(session.get_outputs()[0].shape, np.float32)
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        return y

    return run


def contestant() -> Contestant:
    return OnnxRuntime()
