"""What a training run did, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import DataError
from ..tensor_files import Path_, write_whole


@dataclass(frozen=True)
class Epoch:
    """One epoch. Losses are means over images, accuracies shares from 0 to 1; None where nothing was validated.

    train_loss, train_accuracy: as seen while training, each batch with the weights it met. lr: the rate of the epoch's
    last batch. seconds, images_per_second: of training alone, evaluation not counted.
    """

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float


class History(Sequence[Epoch]):
    """The epochs in order; `history.column("train_loss")` is one value of each."""

    def __init__(self, epochs: Sequence[Epoch] = ()) -> None:
        self._epochs = list(epochs)

    def __getitem__(self, i: Any) -> Any:
        return self._epochs[i]

    def __len__(self) -> int:
        return len(self._epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._epochs)) or "no epochs"

    def append(self, epoch: Epoch) -> None:
        """Add the next epoch."""
        self._epochs.append(epoch)

    def column(self, name: str) -> list[Any]:
        """One field of every epoch."""
        return [getattr(epoch, name) for epoch in self._epochs]

    def rows(self) -> list[dict[str, Any]]:
        """Every epoch as a dict that JSON can hold."""
        return [asdict(epoch) for epoch in self._epochs]

    def save(self, path: Path_) -> None:
        """Write all epochs as a JSON list of objects; the file is replaced as a whole."""
        write_whole(path, (json.dumps(self.rows(), indent=1) + "\n").encode())

    @classmethod
    def from_rows(cls, rows: Any) -> History:
        """The history that `rows` made.

        Raises:
            DataError: the rows are none of an Epoch's.
        """
        names = {field.name for field in fields(Epoch)}
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() == names for row in rows):
            raise DataError(f"history: expected a list of objects with the entries {', '.join(sorted(names))}")
        return cls([Epoch(**row) for row in rows])
