"""What `fastconv train` does where nothing else is asked for, and the names that its options take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..data.batches import Transform
    from ..models.lecture_interface import LectureNetwork
    from ..nn import Module
    from ..optim import Optimizer, Schedule


@dataclass(frozen=True)
class Recipe:
    """How to train one network on one data set. scale: the factor by which images are enlarged.

    weight_decay: the optimizer's own where None.
    """

    epochs: int = 10
    batch_size: int = 100
    lr: float = 0.001
    optimizer: str = "adam"
    schedule: str = "none"
    weight_decay: float | None = None
    loss: str = "cross_entropy"
    augment: str = "none"
    scale: int = 1
    options: dict[str, Any] = field(default_factory=dict)


SMALL_FILTERS = {"conv_param": {"filter_num": 30, "filter_size": 3, "pad": 1}, "weight_init_std": "he"}
RECIPES = {
    ("simple_convnet", "digits"): Recipe(epochs=15, batch_size=50, lr=0.003, schedule="cosine", options=SMALL_FILTERS),
    ("simple_convnet", "mnist"): Recipe(epochs=3, schedule="cosine", options={"weight_init_std": "he"}),
    ("simple_convnet", "cifar10"): Recipe(epochs=10, schedule="cosine", options={"weight_init_std": "he"}),
    ("lenet5", "digits"): Recipe(epochs=15, batch_size=50, lr=0.003, schedule="cosine", scale=4),
    ("lenet5", "mnist"): Recipe(epochs=10, lr=0.002, schedule="cosine"),
    ("lenet5", "cifar10"): Recipe(epochs=20, schedule="cosine"),
    ("lenet5_original", "digits"): Recipe(15, batch_size=50, lr=0.003, schedule="cosine", loss="map", scale=4),
    ("lenet5_original", "mnist"): Recipe(epochs=10, lr=0.003, schedule="cosine", loss="map"),
    ("keras_mnist", "mnist"): Recipe(epochs=5, schedule="cosine"),
    ("convnetjs", "cifar10"): Recipe(epochs=20, batch_size=50, schedule="cosine"),
    ("linear", "digits"): Recipe(epochs=15, batch_size=50, lr=0.1, optimizer="momentum", schedule="cosine"),
    ("linear", "mnist"): Recipe(epochs=5, lr=0.03, optimizer="momentum", schedule="cosine"),
    ("linear", "cifar10"): Recipe(epochs=5, lr=0.01, optimizer="momentum", schedule="cosine"),
    # Batch, rate, momentum, weight decay and augmentation are the paper's; it takes 164 epochs.
    ("resnet20", "cifar10"): Recipe(
        epochs=30, batch_size=128, lr=0.1, optimizer="momentum", schedule="plateau", weight_decay=0.0001,
        augment="flip,crop",
    ),
    # The paper's batch, rate, momentum and weight decay, on images that its filters were not made for.
    ("alexnet", "cifar10"): Recipe(
        epochs=30, batch_size=128, lr=0.01, optimizer="momentum", schedule="plateau", weight_decay=0.0005,
        augment="flip,crop", options={"stride": 1},
    ),
}  # fmt: skip
IMAGES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def recipe(model: str, data: str) -> Recipe:
    """The recipe of a network on a data set."""
    return RECIPES.get((model, data), Recipe())


def network_of(model: str, data: str, options: Mapping[str, Any] | None = None) -> LectureNetwork:
    """The network that the recipe builds for a data set, with `options` in place of its own."""
    from ..models import build

    chosen, (C, H, W) = recipe(model, data), IMAGES[data]
    shape = {"input_dim": (C, chosen.scale * H, chosen.scale * W)}
    return build(model, shape | chosen.options | dict(options or {}))


def make_optimizer(
    name: str, params: Any, lr: float | None, weight_decay: float | None = None, momentum: float | None = None
) -> Optimizer:
    """The optimizer that --optimizer names; what is None is as the optimizer itself has it, a momentum 0.9.

    Raises:
        ArgumentError: there is no such one, or it has no momentum and one was given.
    """
    from .. import optim

    known: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
        "sgd": (optim.SGD, {"momentum": 0.0}),
        "momentum": (optim.SGD, {"momentum": 0.9}),
        "nesterov": (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "adagrad": (optim.AdaGrad, {}),
        "rmsprop": (optim.RMSprop, {}),
        "adadelta": (optim.Adadelta, {"rho": 0.95}),  # as in Zeiler's paper and ConvNetJS
        "adam": (optim.Adam, {}),
        "adamw": (optim.AdamW, {}),
    }
    make, options = _chosen("--optimizer", name, known)
    if momentum is not None and "momentum" not in options:
        raise ArgumentError(f"--momentum is for sgd, momentum and nesterov; {name} has none")
    given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return make(params, **options | {option: value for option, value in given.items() if value is not None})


def make_schedule(name: str, optimizer: Optimizer, epochs: int, batches: int) -> Schedule | None:
    """The schedule that --schedule names, for `epochs` of `batches` each.

    multistep is the lectures' recipe (75 and 150 of 200 epochs, half the rate each time) at any length.

    Raises:
        ArgumentError: there is no such one.
    """
    from .. import optim

    known: dict[str, Callable[[], Schedule | None]] = {
        "none": lambda: None,
        "multistep": lambda: optim.MultiStepLR(optimizer, [epochs * 3 // 8, epochs * 3 // 4], gamma=0.5),
        "step": lambda: optim.StepLR(optimizer, max(epochs // 3, 1), gamma=0.1),
        "exponential": lambda: optim.ExponentialLR(optimizer, gamma=0.95),
        "cosine": lambda: optim.CosineAnnealingLR(optimizer, epochs),
        "onecycle": lambda: optim.OneCycleLR(
            optimizer, optimizer.lr, epochs=epochs, steps_per_epoch=batches, cycle_momentum=False
        ),
        "plateau": lambda: optim.ReduceLROnPlateau(optimizer, patience=2),
    }
    return _chosen("--schedule", name, known)()


def make_loss(name: str) -> Module:
    """The loss that --loss names.

    Raises:
        ArgumentError: there is no such one.
    """
    from .. import nn

    known: dict[str, Callable[[], Module]] = {"cross_entropy": nn.CrossEntropyLoss, "map": nn.MAPLoss}
    return _chosen("--loss", name, known)()


def make_transform(names: str, side: int) -> Transform | None:
    """The steps that --augment lists, for images `side` pixels high.

    Raises:
        ArgumentError: one of them is unknown.
    """
    from .. import data

    known: dict[str, Callable[[], Any]] = {
        "flip": data.RandomHorizontalFlip,
        "shift": lambda: data.RandomShift(2),
        "crop": lambda: data.RandomCrop(side, padding=max(side // 8, 1)),
        "contrast": data.RandomContrast,
        "brightness": data.RandomBrightness,
    }
    steps = [_chosen("--augment", name, known)() for name in names.split(",") if name != "none"]
    return data.Compose(steps) if steps else None


def _chosen(option: str, name: str, known: dict[str, Any]) -> Any:
    if name.lower() not in known:
        raise ArgumentError(f"{option}: {name!r} is not one of {', '.join(known)}")
    return known[name.lower()]
