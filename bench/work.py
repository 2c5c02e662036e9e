"""What is timed: one item per row, the same for every contestant, small enough to be sent as JSON."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from math import prod
from typing import Any

from fastconv.geometry import Conv2dGeometry, Pool2dGeometry

from . import networks, recipes, shapes
from .networks import Network

# Groups in the order of the report, with what their rows are.
GROUPS = {
    "conv2d_forward": "Convolution, forward (with bias)",
    "conv2d_backward_data": "Convolution, gradient of the input",
    "conv2d_backward_weight": "Convolution, gradients of filters and bias",
    "pooling": "Pooling",
    "pointwise": "Activations and loss",
    "norm": "Normalisation while training",
    "update": "Optimizer update",
    "matmul": "Matrix product",
    "training_step": "Training step: forward, backward, Adam",
    "inference": "Inference",
    "threads": "All threads against one",
    "startup": "Start-up",
    "memory": "Peak memory of a training step beyond parameters and input",
    "runs": "Whole runs on MNIST",
}
LONG = ("runs",)  # left out of the short selection unless asked for by name
PASSES = ("forward", "backward_data", "backward_weight")
# Short names for --groups.
FAMILIES = {"conv": tuple(f"conv2d_{p}" for p in PASSES), "pool": ("pooling",), "steps": ("training_step", "inference")}


@dataclass(frozen=True, kw_only=True)
class Work:
    """One row.

    operation, sizes: what a contestant runs; sizes hold plain numbers, lists and names. kind: the class that
    geometric means are taken over. shape: the row's name in terms of its sizes. flops, bytes: what it has to compute
    and to move at least. reduction: the longest sum in it, which its rounding error grows with.
    """

    group: str
    operation: str
    network: str
    layer: str
    kind: str
    shape: str
    sizes: dict[str, Any] = field(hash=False)
    flops: int = 0
    bytes: int = 0
    reduction: int = 1
    unit: str = "s"

    @property
    def title(self) -> str:
        return f"{self.network}:{self.layer}" if self.network else self.layer

    @property
    def key(self) -> str:
        """Names the row across runs."""
        return f"{self.group}/{self.operation}/{self.title}/{self.shape}"

    def request(self) -> dict[str, Any]:
        """What a contestant needs to know; the same work always gets the same data."""
        return {"operation": self.operation, "sizes": self.sizes, "seed": zlib.crc32(self.key.encode())}

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def geometry_sizes(g: Conv2dGeometry | Pool2dGeometry) -> dict[str, Any]:
    """A geometry as plain numbers; `geometry_of` is the way back."""
    return {f.name: getattr(g, f.name) for f in fields(g) if f.init}


def geometry_of(sizes: dict[str, Any]) -> Conv2dGeometry | Pool2dGeometry:
    return Conv2dGeometry(**sizes) if "OC" in sizes else Pool2dGeometry(**sizes)


def select(groups: Iterable[str] = GROUPS, chosen: Iterable[str] = shapes.NETWORKS, quick: bool = True) -> list[Work]:
    """The rows of these groups for these networks, in the order of the report."""
    chosen = list(chosen)
    makers = {
        **{f"conv2d_{p}": lambda p=p: _convolutions(p, chosen, quick) for p in PASSES},
        "pooling": lambda: _poolings(chosen, quick),
        "pointwise": lambda: _pointwise(),
        "norm": lambda: _normalisations(),
        "update": lambda: _updates(chosen),
        "matmul": lambda: _products(chosen),
        "training_step": lambda: _steps("training_step", chosen, quick),
        "inference": lambda: _steps("inference", chosen, quick),
        "threads": lambda: _threads(chosen),
        "startup": lambda: _startup(chosen),
        "memory": lambda: _memory(chosen),
        "runs": lambda: _runs(chosen),
    }
    wanted = set(groups)
    return [work for group in GROUPS if group in wanted for work in makers[group]()]


def _convolutions(direction: str, chosen: list[str], quick: bool) -> Iterator[Work]:
    for layer in shapes.convolutions(chosen, quick):
        if not (layer.first and direction == "backward_data"):
            yield _convolution(layer, direction, f"conv2d_{direction}")


def _convolution(layer: shapes.Layer, direction: str, group: str) -> Work:
    g = layer.geometry
    reduction = {
        "forward": prod(g.w_shape[1:]),
        "backward_data": g.OC // g.G * g.KH * g.KW,
        "backward_weight": g.N * g.OH * g.OW,
    }[direction]
    return Work(
        group=group, operation=f"conv2d_{direction}", network=layer.network, layer=layer.name, kind=shapes.kind(g),
        shape=g.name, sizes=geometry_sizes(g), flops=g.flops, bytes=g.bytes(), reduction=reduction,
    )  # fmt: skip


def _poolings(chosen: list[str], quick: bool) -> Iterator[Work]:
    for layer in shapes.poolings(chosen, quick):
        g, what = layer.geometry, layer.pooling
        indices = prod(g.y_shape) if what == "max" else 0  # one byte each: all windows here are small
        for direction in ("forward", "backward"):
            yield Work(
                group="pooling", operation=f"{what}_pool2d_{direction}", network=layer.network,
                layer=f"{layer.name} {direction}",
                kind=f"{what} {direction}", shape=g.name, sizes=geometry_sizes(g), bytes=g.bytes() + indices,
                reduction=g.taps,
            )  # fmt: skip


def _pointwise() -> Iterator[Work]:
    for title, shape in (("SimpleConvNet's maps", (100, 30, 24, 24)), ("64 maps of 56 x 56", (16, 64, 56, 56))):
        n = prod(shape)
        for kind in ("relu", "tanh", "sigmoid"):
            for direction, arrays in (("forward", 2), ("backward", 3)):
                yield Work(
                    group="pointwise", operation=f"activation_{direction}", network="", kind=kind,
                    layer=f"{kind} {direction}, {title}", shape=_by_x(shape),
                    sizes={"kind": kind, "shape": list(shape)}, bytes=4 * n * arrays,
                )  # fmt: skip
    for shape in ((100, 10), (256, 1000)):
        yield Work(
            group="pointwise", operation="softmax_cross_entropy", network="", kind="loss",
            layer="softmax cross-entropy and gradient", shape=_by_x(shape),
            sizes={"shape": list(shape)}, bytes=8 * prod(shape), reduction=shape[1],
        )  # fmt: skip


def _normalisations() -> Iterator[Work]:
    titles = {
        "64 maps of 56 x 56": (16, 64, 56, 56), "256 maps of 14 x 14": (16, 256, 14, 14),
        "30 maps of 24 x 24": (100, 30, 24, 24), "120 features": (256, 120),
    }  # fmt: skip
    for title, shape in titles.items():
        # forward: x twice, y; backward: x and dy twice, dx
        for direction, arrays in (("forward", 3), ("backward", 5)):
            yield Work(
                group="norm", operation=f"batch_norm_{direction}", network="", kind=f"batch {direction}",
                layer=f"batch normalisation {direction}, {title}", shape=_by_x(shape), sizes={"shape": list(shape)},
                bytes=4 * prod(shape) * arrays, reduction=prod(shape) // shape[1],
            )  # fmt: skip
    for title, shape in (("AlexNet's C1", (16, 96, 55, 55)), ("GoogLeNet's conv2", (16, 192, 56, 56))):
        for direction, arrays in (("forward", 2), ("backward", 3)):
            yield Work(
                group="norm", operation=f"local_response_norm_{direction}", network="",
                kind=f"local response {direction}", layer=f"local response {direction}, {title}", shape=_by_x(shape),
                sizes={"shape": list(shape), "size": 5}, bytes=4 * prod(shape) * arrays, reduction=5,
            )  # fmt: skip


def _updates(chosen: list[str]) -> Iterator[Work]:
    for network in _small(chosen):
        sizes = [list(p.shape) for p in networks.parameters(network, 0)]
        n = sum(prod(s) for s in sizes)
        yield Work(
            group="update", operation="adam_step", network=network.name, layer="Adam", kind="Adam",
            shape=f"{n} parameters", sizes={"shapes": sizes}, bytes=4 * 7 * n,  # p, g, m, v read; p, m, v written
        )  # fmt: skip


def _products(chosen: list[str]) -> Iterator[Work]:
    yield _product("", "square", "square", 2048, 2048, 2048)
    for network in _small(chosen):
        for step in networks.steps(network, shapes.BATCH[network.name]):
            if isinstance(step.part, networks.Linear):
                (N, IN), OUT = step.x_shape, step.y_shape[1]
                yield _product(network.name, f"{step.part.name} forward", "linear", N, OUT, IN, trans_b=True)
                yield _product(network.name, f"{step.part.name} dx", "linear", N, IN, OUT)
                yield _product(network.name, f"{step.part.name} dw", "linear", OUT, IN, N, trans_a=True)


def _product(
    network: str, layer: str, kind: str, M: int, N: int, K: int, trans_a: bool = False, trans_b: bool = False
) -> Work:
    return Work(
        group="matmul", operation="matmul", network=network, layer=layer, kind=kind, shape=f"m{M}n{N}k{K}",
        sizes={"M": M, "N": N, "K": K, "trans_a": trans_a, "trans_b": trans_b},
        flops=2 * M * N * K, bytes=4 * (M * K + K * N + M * N), reduction=K,
    )  # fmt: skip


def _steps(operation: str, chosen: list[str], quick: bool) -> Iterator[Work]:
    for network in _small(chosen):
        for N in (1, 100) if quick else (1, 32, 100, 256):
            if quick and operation == "training_step" and N == 1:
                continue
            yield _step(operation, network, N, operation)


def _step(operation: str, network: Network, N: int, group: str) -> Work:
    count = networks.training_flops if operation == "training_step" else networks.inference_flops
    reduction = max(prod(step.x_shape) for step in networks.steps(network, N))
    return Work(
        group=group, operation=operation, network=network.name, layer=network.title, kind=f"batch {N}", shape=f"mb{N}",
        sizes={"network": network.name, "N": N}, flops=count(network, N), reduction=reduction,
    )  # fmt: skip


def _threads(chosen: list[str]) -> Iterator[Work]:
    samples = {"vgg16": "conv3_2", "resnet50": "layer1.0.conv3", "simple_convnet": "conv1"}
    for layer in shapes.convolutions([n for n in chosen if n in samples], quick=True):
        if layer.name == samples[layer.network]:
            for direction in PASSES:
                if not (layer.first and direction == "backward_data"):
                    yield _convolution(layer, direction, "threads")
    for network in _small(chosen):
        if network.name in ("simple_convnet", "lenet5"):
            yield _step("training_step", network, shapes.BATCH[network.name], "threads")


def _startup(chosen: list[str]) -> Iterator[Work]:
    rows = [
        ("import_bare", "import", ""),
        ("import_layers", "import with layers and optimizers", ""),
        ("help", "fastconv --help", ""),
    ]
    for operation, layer, network in rows:
        yield Work(
            group="startup", operation=operation, network=network, layer=layer, kind="process", shape="", sizes={}
        )
    for network in _small(chosen):
        if network.name == "lenet5":
            for operation, state in (("first_step_warm", "warm"), ("first_step_cold", "cold")):
                yield Work(
                    group="startup", operation=operation, network=network.name, kind="process",
                    layer=f"process start to first training step, {state} cache",
                    shape="mb100", sizes={"network": network.name, "N": 100},
                )  # fmt: skip


def _memory(chosen: list[str]) -> Iterator[Work]:
    for network in _small(chosen):
        yield Work(
            group="memory", operation="training_memory", network=network.name, layer=network.title, kind="memory",
            shape="mb100", sizes={"network": network.name, "N": 100}, unit="bytes",
        )  # fmt: skip


def _runs(chosen: list[str]) -> Iterator[Work]:
    for network in _small(chosen):
        if network.name in recipes.EPOCHS:
            recipe = recipes.EPOCHS[network.name]
            batches = recipes.IMAGES // recipe.batch_size
            yield _run(
                network, "training_epoch", "epoch", f"one epoch of {network.title}", network.name,
                batches * networks.training_flops(network, recipe.batch_size),
            )  # fmt: skip
    if networks.LENET5 in _small(chosen):
        for name in recipes.TARGETS:
            title = f"process start to {name} % of the test images, LeNet-5"
            yield _run(networks.LENET5, "training_run", "accuracy", title, name)


def _run(network: Network, operation: str, kind: str, layer: str, recipe: str, flops: int = 0) -> Work:
    return Work(
        group="runs", operation=operation, network=network.name, layer=layer, kind=kind,
        shape=recipes.find(recipe).text, sizes={"recipe": recipe}, flops=flops,
    )  # fmt: skip


def _small(chosen: Iterable[str]) -> list[Network]:
    return [networks.NETWORKS[name] for name in chosen if name in networks.NETWORKS]


def _by_x(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
