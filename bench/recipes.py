"""Whole training runs on MNIST, described once so that every contestant trains alike.

All use Adam under a one-cycle rate (Smith, arXiv 1708.07120): with seeds 0 to 5 LeNet-5 ended at 99.11 to 99.22 % after
four passes over the 60,000 images, batches of 100; three passes gave 98.90 to 99.25 % with batches of 50 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import networks
from .networks import Network

IMAGES = 60_000


@dataclass(frozen=True)
class Recipe:
    """The rate climbs to `lr` over the share `rise` of all batches and then falls to almost nothing.

    target: the run ends after the first epoch with this share of the test images right; None: nothing is tested.
    """

    network: Network
    epochs: int
    batch_size: int
    lr: float
    rise: float = 0.2
    target: float | None = None

    @property
    def text(self) -> str:
        """What tells it from others, for a row's name."""
        return f"mb{self.batch_size} lr{self.lr:g} epochs{self.epochs}"


EPOCHS = {n.name: Recipe(n, 1, 100, lr=0.001) for n in (networks.SIMPLE_CONVNET, networks.LENET5)}
TARGETS = {
    "98": Recipe(networks.LENET5_RELU, 1, 100, lr=0.005, target=0.98),
    "99": Recipe(networks.LENET5_RELU, 4, 100, lr=0.01, target=0.99),
}


def find(name: str) -> Recipe:
    """The recipe of an epoch of a network, or of an accuracy in percent."""
    return (EPOCHS | TARGETS)[name]
