"""Several networks as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd.mode import no_grad
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..functional import softmax
from ..nn import Module


class Ensemble(Module):
    """Networks that were trained apart and answer together: the mean of their class probabilities.

    `ensemble(x)` gives the logarithm of that mean, (N, classes): scores like a network's, whose softmax is the mean
    itself, so that `fc.evaluate(ensemble, x, t)` and `fc.functional.cross_entropy` take them. It cannot be trained; the
    networks are, each by itself. Seven such networks won AlexNet's authors about 2.8 percentage points on ImageNet, the
    lectures say; their gain comes from different first weights and orders of the images (`fc.manual_seed`).

    Raises:
        ArgumentError: there is no network, or something else among them.
        ShapeError (when called): their numbers of classes differ.
    """

    def __init__(self, networks: Sequence[Module]) -> None:
        super().__init__()
        self.networks = list(networks) if isinstance(networks, Iterable) and not isinstance(networks, Module) else []
        if not self.networks or not all(isinstance(network, Module) for network in self.networks):
            raise ArgumentError(f"Ensemble: takes a list of one or more networks, got {networks!r:.80}")

    def forward(self, x: Any) -> Tensor:
        with no_grad():
            shares = [softmax(network(x)) for network in self.networks]
        if len({share.shape for share in shares}) > 1:
            raise ShapeError(f"Ensemble: the networks' scores differ in shape: {[share.shape for share in shares]}")
        mean = sum(shares[1:], shares[0]).numpy() / len(shares)
        smallest = np.finfo(mean.dtype).tiny
        return shares[0].constant(np.log(np.maximum(mean, smallest)))
