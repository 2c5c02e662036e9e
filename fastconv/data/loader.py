"""Mini-batches as PyTorch's loops take them: `for img, label in loader:`, epoch after epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..autograd.tensor import Tensor, host_array, tensor
from ..errors import ArgumentError
from ..geometry import whole_number
from .batches import Transform, batches, count_batches


class DataLoader:
    """Batches of (x, t) as tensors on the current backend; `len(loader)` is their number in an epoch.

    dataset: the pair x (N, ...), t (N,), as `load` gives it. shuffle: an order of its own in every epoch, which depends
    on the seed and the number of epochs begun before. drop_last, transform: see `batches`.
    """

    def __init__(
        self, dataset: tuple[Any, Any], batch_size: int = 1, shuffle: bool = False, *, drop_last: bool = False,
        seed: int = 0, transform: Transform | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(dataset, tuple | list) or len(dataset) != 2:
            raise ArgumentError(
                f"DataLoader: dataset must be a pair (images, labels), as fc.data.load gives it, "
                f"got {type(dataset).__name__}"
            )
        self.dataset = host_array(dataset[0]), host_array(dataset[1])
        self.batch_size = whole_number("DataLoader", "batch_size", batch_size, 1)
        self.shuffle, self.drop_last, self.seed, self.transform = shuffle, drop_last, seed, transform
        self.epoch = 0
        self._epoch(0)  # a wrong pair is refused here, not in the loop

    def __len__(self) -> int:
        return count_batches(len(self.dataset[0]), self.batch_size, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.epoch += 1
        return ((tensor(x), tensor(t)) for x, t in self._epoch(self.epoch - 1))

    def __repr__(self) -> str:
        return f"DataLoader({len(self.dataset[0])} items in {len(self)} batches of {self.batch_size})"

    def _epoch(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        return batches(
            *self.dataset, self.batch_size, shuffle=self.shuffle, seed=self.seed, epoch=epoch,
            drop_last=self.drop_last, transform=self.transform,
        )  # fmt: skip
