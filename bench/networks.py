"""The small networks whose whole steps are timed, described once so that every contestant builds the same one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from fastconv.geometry import Conv2dGeometry, Pool2dGeometry


@dataclass(frozen=True)
class Conv:
    name: str
    channels: int
    kernel: int
    padding: int = 0


@dataclass(frozen=True)
class Pool:
    """Windows side by side: the stride is the kernel's size. kind: 'max' or 'avg'."""

    name: str
    kind: str
    kernel: int = 2


@dataclass(frozen=True)
class Activation:
    kind: str


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Linear:
    name: str
    features: int


@dataclass(frozen=True)
class Dropout:
    p: float


Part = Conv | Pool | Activation | Flatten | Linear | Dropout


@dataclass(frozen=True)
class Network:
    """input: (C, H, W); the last part gives the 10 scores that softmax and cross-entropy take."""

    name: str
    title: str
    input: tuple[int, int, int]
    parts: tuple[Part, ...]


RELU, TANH = Activation("relu"), Activation("tanh")

SIMPLE_CONVNET = Network(
    "simple_convnet", "SimpleConvNet", (1, 28, 28),
    (Conv("conv1", 30, 5), RELU, Pool("pool1", "max"), Flatten(), Linear("affine1", 100), RELU, Linear("affine2", 10)),
)  # fmt: skip


def _lenet5(
    name: str, title: str, image: tuple[int, int, int], first: int, second: int, act: str, pool: str
) -> Network:
    a = Activation(act)
    return Network(
        name, title, image,
        (Conv("c1", first, 5, 2 if image[1] == 28 else 0), a, Pool("s2", pool), Conv("c3", second, 5), a,
         Pool("s4", pool), Flatten(), Linear("c5", 120), a, Linear("f6", 84), a, Linear("output", 10)),
    )  # fmt: skip


LENET5 = _lenet5("lenet5", "LeNet-5", (1, 28, 28), 6, 16, "tanh", "avg")
LENET5_RELU = _lenet5("lenet5_relu", "LeNet-5 with ReLU and max pooling", (1, 28, 28), 6, 16, "relu", "max")
# The lectures' improved network: max pooling, 32 and 64 maps.
LENET5_CIFAR = _lenet5("lenet5_cifar", "LeNet-5 on CIFAR-10", (3, 32, 32), 32, 64, "relu", "max")

KERAS_MNIST = Network(
    "keras_mnist", "Keras MNIST net", (1, 28, 28),
    (Conv("conv1", 64, 7, 3), RELU, Pool("pool1", "max"),
     Conv("conv2", 128, 3, 1), RELU, Conv("conv3", 128, 3, 1), RELU, Pool("pool2", "max"),
     Conv("conv4", 256, 3, 1), RELU, Conv("conv5", 256, 3, 1), RELU, Pool("pool3", "max"), Flatten(),
     Linear("dense1", 128), RELU, Dropout(0.5), Linear("dense2", 64), RELU, Dropout(0.5), Linear("dense3", 10)),
)  # fmt: skip

NETWORKS = {n.name: n for n in (SIMPLE_CONVNET, LENET5, LENET5_CIFAR, KERAS_MNIST)}


@dataclass(frozen=True)
class Step:
    """One part at work: x_shape to y_shape; geometry for convolution and pooling."""

    part: Part
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    geometry: Conv2dGeometry | Pool2dGeometry | None = None

    @property
    def w_shape(self) -> tuple[int, ...] | None:
        """(OC, C, KH, KW) or (OUT, IN); None without parameters."""
        if isinstance(self.geometry, Conv2dGeometry):
            return self.geometry.w_shape
        return (self.y_shape[1], self.x_shape[1]) if isinstance(self.part, Linear) else None

    @property
    def flops(self) -> int:
        """Of one pass: forward, backward-data and backward-weight cost the same."""
        if isinstance(self.geometry, Conv2dGeometry):
            return self.geometry.flops
        return 2 * prod(self.x_shape) * self.y_shape[1] if isinstance(self.part, Linear) else 0


def steps(network: Network, N: int) -> Iterator[Step]:
    """Every part with its shapes for a batch of N images."""
    shape: tuple[int, ...] = (N, *network.input)
    for part in network.parts:
        step = _step(part, shape)
        yield step
        shape = step.y_shape


def _step(part: Part, x: tuple[int, ...]) -> Step:
    match part:
        case Conv():
            conv = Conv2dGeometry.from_shapes(x, (part.channels, x[1], part.kernel, part.kernel), padding=part.padding)
            return Step(part, x, conv.y_shape, conv)
        case Pool():
            pool = Pool2dGeometry.from_shape(x, part.kernel)
            return Step(part, x, pool.y_shape, pool)
        case Flatten():
            return Step(part, x, (x[0], prod(x[1:])))
        case Linear():
            return Step(part, x, (x[0], part.features))
    return Step(part, x, x)


def training_flops(network: Network, N: int) -> int:
    """Of forward and backward; nobody needs the gradient of the first layer's input."""
    costs = [step.flops for step in steps(network, N)]
    return 3 * sum(costs) - costs[0]


def inference_flops(network: Network, N: int) -> int:
    """Of one forward pass."""
    return sum(step.flops for step in steps(network, N))


def parameters(network: Network, seed: int) -> list[np.ndarray]:
    """First values, weight and bias of each layer in turn: normal, scaled by the root of 2 / fan in; zeros."""
    rng, values = np.random.default_rng(seed), []
    for step in steps(network, 1):
        if step.w_shape:
            spread = np.float32(np.sqrt(2 / prod(step.w_shape[1:])))
            values.append(rng.standard_normal(step.w_shape, np.float32) * spread)
            values.append(np.zeros(step.w_shape[0], np.float32))
    return values
