"""The layers that are timed, by network: geometries with the names that papers and model zoos give them.

Sources: LeNet-5 (LeCun et al. 1998), AlexNet (Krizhevsky et al. 2012, one column), VGG-16 (Simonyan & Zisserman,
arXiv 1409.1556, configuration D), GoogLeNet (Szegedy et al., arXiv 1409.4842, table 1), ResNet (He et al.,
arXiv 1512.03385; ResNet-50 with the stride in the 3x3 layer, as most libraries build it), ResNeXt-50 32x4d (Xie et al.,
arXiv 1611.05431, its layers in groups), MobileNet (Howard et al., arXiv 1704.04861, its depthwise layers). Equal shapes
of one network come once, under the first layer that has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastconv.geometry import Conv2dGeometry, Pool2dGeometry

from .networks import NETWORKS as SMALL
from .networks import steps

# What the report takes geometric means over, in its order.
KINDS = {
    "3x3": "3x3, stride 1, 16 channels or more",
    "1x1": "1x1, stride 1",
    "5x5": "larger filters, stride 1, 16 channels or more",
    "strided": "stride 2, 16 channels or more",
    "stem": "first layers with a stride: 7x7/2, 11x11/4",
    "few channels": "stride 1, fewer than 16 input channels",
    "grouped": "groups of several channels",
    "depthwise": "one filter a channel",
}
FEW = 16

# Batches that keep two cores busy for some milliseconds a layer and fit into memory many times over.
BATCH = {
    "lenet5": 100, "simple_convnet": 100, "lenet5_cifar": 100, "keras_mnist": 100,
    "alexnet": 16, "vgg16": 4, "googlenet": 16, "resnet18": 16, "resnet50": 16, "resnext50": 16,
    "mobilenet": 16,
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer. first: it takes the images, so that nobody asks for the gradient of its input.

    pooling: 'max' or 'avg', None for a convolution.
    """

    network: str
    name: str
    geometry: Conv2dGeometry | Pool2dGeometry
    first: bool = False
    pooling: str | None = None

    @property
    def title(self) -> str:
        return f"{self.network}:{self.name}"

    @property
    def quick(self) -> bool:
        """Whether the short selection has it."""
        return self.name in QUICK[self.network]


def kind(g: Conv2dGeometry) -> str:
    """The class of KINDS that a convolution belongs to."""
    if g.G == g.C > 1:
        return "depthwise"
    if g.G > 1:
        return "grouped"
    if g.C // g.G < FEW:
        return "few channels" if g.SH == 1 else "stem"
    if g.SH > 1:
        return "strided"
    return {1: "1x1", 3: "3x3"}.get(g.KH, "5x5")


def _conv(network: str, name: str, C: int, H: int, OC: int, K: int, S: int = 1, P: int = 0, G: int = 1) -> Layer:
    x = (BATCH[network], C, H, H)
    g = Conv2dGeometry.from_shapes(x, (OC, C // G, K, K), stride=S, padding=P, groups=G)
    return Layer(network, name, g, first=C == 3)


def _pool(
    network: str, name: str, C: int, H: int, K: int, S: int, P: int = 0, ceil: bool = False, pooling: str = "max"
) -> Layer:
    g = Pool2dGeometry.from_shape((BATCH[network], C, H, H), K, stride=S, padding=P, ceil_mode=ceil)
    return Layer(network, name, g, pooling=pooling)


def _small(network: str) -> Iterator[Layer]:
    for i, step in enumerate(steps(SMALL[network], BATCH[network])):
        if step.geometry:
            pooling = getattr(step.part, "kind", None)
            yield Layer(network, step.part.name, step.geometry, first=i == 0, pooling=pooling)


def _alexnet() -> Iterator[Layer]:
    net = "alexnet"
    yield _conv(net, "conv1", 3, 227, 96, 11, 4)
    yield _conv(net, "conv2", 96, 27, 256, 5, 1, 2)
    yield _conv(net, "conv3", 256, 13, 384, 3, 1, 1)
    yield _conv(net, "conv4", 384, 13, 384, 3, 1, 1)
    yield _conv(net, "conv5", 384, 13, 256, 3, 1, 1)
    yield _pool(net, "pool1", 96, 55, 3, 2)
    yield _pool(net, "pool2", 256, 27, 3, 2)
    yield _pool(net, "pool5", 256, 13, 3, 2)


def _vgg16() -> Iterator[Layer]:
    C = 3
    for block, (OC, H, layers) in enumerate([(64, 224, 2), (128, 112, 2), (256, 56, 3), (512, 28, 3), (512, 14, 3)], 1):
        for i in range(1, layers + 1):
            yield _conv("vgg16", f"conv{block}_{i}", C, H, OC, 3, 1, 1)
            C = OC
        yield _pool("vgg16", f"pool{block}", OC, H, 2, 2)


# Inception module: (map size, channels in, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection)
_INCEPTION = {
    "3a": (28, 192, 64, 96, 128, 16, 32, 32), "3b": (28, 256, 128, 128, 192, 32, 96, 64),
    "4a": (14, 480, 192, 96, 208, 16, 48, 64), "4b": (14, 512, 160, 112, 224, 24, 64, 64),
    "4c": (14, 512, 128, 128, 256, 24, 64, 64), "4d": (14, 512, 112, 144, 288, 32, 64, 64),
    "4e": (14, 528, 256, 160, 320, 32, 128, 128), "5a": (7, 832, 256, 160, 320, 32, 128, 128),
    "5b": (7, 832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip


def _googlenet() -> Iterator[Layer]:
    net = "googlenet"
    yield _conv(net, "conv1", 3, 224, 64, 7, 2, 3)
    yield _conv(net, "conv2_reduce", 64, 56, 64, 1)
    yield _conv(net, "conv2", 64, 56, 192, 3, 1, 1)
    for name, (H, C, one, reduce3, three, reduce5, five, projection) in _INCEPTION.items():
        for part, OC in (("1x1", one), ("3x3_reduce", reduce3), ("5x5_reduce", reduce5), ("pool_proj", projection)):
            yield _conv(net, f"{name}_{part}", C, H, OC, 1)
        yield _conv(net, f"{name}_3x3", reduce3, H, three, 3, 1, 1)
        yield _conv(net, f"{name}_5x5", reduce5, H, five, 5, 1, 2)
        yield _pool(net, f"{name}_pool", C, H, 3, 1, 1)
    yield from (_pool(net, f"pool{i}", C, H, 3, 2, 0, True) for i, C, H in ((1, 64, 112), (3, 480, 28), (4, 832, 14)))
    yield _pool(net, "pool5", 1024, 7, 7, 1, pooling="avg")


def _resnet18() -> Iterator[Layer]:
    net, C = "resnet18", 64
    yield _conv(net, "conv1", 3, 224, 64, 7, 2, 3)
    yield _pool(net, "pool1", 64, 112, 3, 2, 1)
    for stage, (OC, H) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)], 1):
        if C != OC:
            yield _conv(net, f"layer{stage}.0.conv1", C, 2 * H, OC, 3, 2, 1)
            yield _conv(net, f"layer{stage}.0.downsample", C, 2 * H, OC, 1, 2)
        yield _conv(net, f"layer{stage}.1.conv1", OC, H, OC, 3, 1, 1)
        C = OC
    yield _pool(net, "avgpool", 512, 7, 7, 7, pooling="avg")


def _resnet50() -> Iterator[Layer]:
    net, C = "resnet50", 64
    for stage, (width, H) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)], 1):
        S, OC, first = (1 if stage == 1 else 2), 4 * width, f"layer{stage}.0"
        yield _conv(net, f"{first}.conv1", C, H * S, width, 1)
        yield _conv(net, f"{first}.conv2", width, H * S, width, 3, S, 1)
        yield _conv(net, f"{first}.conv3", width, H, OC, 1)
        yield _conv(net, f"{first}.downsample", C, H * S, OC, 1, S)
        yield _conv(net, f"layer{stage}.1.conv1", OC, H, width, 1)
        yield _conv(net, f"layer{stage}.1.conv2", width, H, width, 3, 1, 1)
        C = OC


def _resnext50() -> Iterator[Layer]:
    for stage, (width, H) in enumerate([(128, 56), (256, 28), (512, 14), (1024, 7)], 1):
        if stage > 1:
            yield _conv("resnext50", f"layer{stage}.0.conv2", width, 2 * H, width, 3, 2, 1, G=32)
        yield _conv("resnext50", f"layer{stage}.1.conv2", width, H, width, 3, 1, 1, G=32)


def _mobilenet() -> Iterator[Layer]:
    C, H = 32, 112
    for number, (OC, S) in enumerate([(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)], 1):
        yield _conv("mobilenet", f"dw{number}", C, H, C, 3, S, 1, G=C)
        C, H = OC, H // S
    for name, C, H, S in (("dw8", 512, 14, 1), ("dw12", 512, 14, 2), ("dw13", 1024, 7, 1)):
        yield _conv("mobilenet", name, C, H, C, 3, S, 1, G=C)


def _distinct(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    found: dict[object, Layer] = {}
    for layer in layers:
        found.setdefault((layer.geometry, layer.pooling), layer)
    return tuple(found.values())


NETWORKS: dict[str, tuple[Layer, ...]] = {
    **{name: _distinct(_small(name)) for name in SMALL},
    "alexnet": _distinct(_alexnet()),
    "vgg16": _distinct(_vgg16()),
    "googlenet": _distinct(_googlenet()),
    "resnet18": _distinct(_resnet18()),
    "resnet50": _distinct(_resnet50()),
    "resnext50": _distinct(_resnext50()),
    "mobilenet": _distinct(_mobilenet()),
}

# Each class of layers and each network is in the short selection, the costliest shapes once.
QUICK: dict[str, frozenset[str]] = {
    "simple_convnet": frozenset({"conv1", "pool1"}),
    "lenet5": frozenset({"c1", "c3", "s2", "s4"}),
    "lenet5_cifar": frozenset({"c1", "c3"}),
    "keras_mnist": frozenset({"conv1", "conv3", "conv5"}),
    "alexnet": frozenset({"conv1", "conv2", "conv3", "pool1"}),
    "vgg16": frozenset({"conv1_2", "conv3_2", "conv5_1", "pool2"}),
    "googlenet": frozenset({"3a_1x1", "3a_3x3", "3a_5x5", "3a_pool", "4a_5x5_reduce", "5b_1x1", "pool5"}),
    "resnet18": frozenset({"conv1", "pool1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample",
                           "layer2.1.conv1", "layer3.1.conv1", "layer4.1.conv1"}),
    "resnet50": frozenset({"layer1.0.conv3", "layer2.1.conv1", "layer3.0.conv3", "layer4.1.conv1", "layer4.0.conv2"}),
    "resnext50": frozenset({"layer1.1.conv2", "layer2.0.conv2", "layer3.1.conv2"}),
    "mobilenet": frozenset({"dw1", "dw2", "dw8", "dw13"}),
}  # fmt: skip


def convolutions(networks: Iterable[str], quick: bool) -> list[Layer]:
    """The convolution layers of these networks."""
    return [layer for layer in _chosen(networks, quick) if layer.pooling is None]


def poolings(networks: Iterable[str], quick: bool) -> list[Layer]:
    """The pooling layers of these networks."""
    return [layer for layer in _chosen(networks, quick) if layer.pooling is not None]


def _chosen(networks: Iterable[str], quick: bool) -> Iterator[Layer]:
    for network in networks:
        yield from (layer for layer in NETWORKS[network] if layer.quick or not quick)
