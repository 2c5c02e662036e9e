"""A training run on disk: everything needed to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import RUN_FORMAT
from ..errors import DataError
from ..tensor_files import Arrays, Path_, malformed, read_tensors, write_tensors

KEEP = 2
_NAME = re.compile(r"checkpoint-(\d{6,})\.safetensors")


@dataclass(frozen=True)
class RunState:
    """A run between two batches: the network's and the optimizer's arrays, and all numbers, as JSON holds them."""

    model: Arrays
    optimizer: Arrays
    facts: dict[str, Any]


class Checkpoints:
    """The numbered checkpoints in a folder. Each is written whole, and the last two stay."""

    def __init__(self, folder: Path_) -> None:
        self.folder = Path(folder)
        self._kept: list[Path] = []

    def save(self, state: RunState) -> Path:
        """Write the next checkpoint, then remove all but the last two of this run.

        Raises:
            DataError: the folder cannot be written; the checkpoints before stand as they were.
        """
        arrays = {f"model.{name}": a for name, a in state.model.items()}
        arrays |= {f"optimizer.{name}": a for name, a in state.optimizer.items()}
        # Not among the metadata: a long history would make the header larger than a reader allows.
        arrays["facts"] = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be made: {error.strerror or error}") from error
        earlier = self.paths()
        path = self.folder / f"checkpoint-{_number(earlier[-1]) + 1 if earlier else 1:06}.safetensors"
        write_tensors(path, arrays, {"format": RUN_FORMAT, "sha256": _checksum(arrays)})
        self._kept = [*self._kept, path][-KEEP:]
        for old in earlier:
            if old not in self._kept:
                old.unlink(missing_ok=True)
        return path

    def newest(self) -> RunState:
        """The newest sound checkpoint; warns where a newer one is damaged.

        Raises:
            DataError: there is none.
        """
        faults = []
        for path in reversed(self.paths()):
            try:
                state = _read(path)
            except DataError as error:
                faults.append(str(error))
                continue
            if faults:
                warnings.warn(f"going on from {path.name}, because of {'; '.join(faults)}", stacklevel=3)
            self._kept = [path]
            return state
        raise DataError("; ".join(faults) or f"{self.folder}: there is no checkpoint to go on from")

    def paths(self) -> list[Path]:
        """The checkpoints' files, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted((p for p in self.folder.iterdir() if _NAME.fullmatch(p.name)), key=_number)


def _number(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None  # paths() lists no others
    return int(found[1])


def _read(path: Path) -> RunState:
    arrays, metadata = read_tensors(path)
    if metadata.get("format") != RUN_FORMAT:
        raise malformed(path, f"its format is {metadata.get('format')!r:.40}, not {RUN_FORMAT!r}")
    if metadata.get("sha256") != _checksum(arrays):
        raise malformed(path, "its checksum does not agree with its contents")
    try:
        facts = json.loads(arrays.pop("facts").tobytes())
        state = RunState(_part(arrays, "model."), _part(arrays, "optimizer."), facts)
        for name, kind in _FACTS.items():
            if not isinstance(facts[name], kind):
                raise TypeError(f"{name} is {type(facts[name]).__name__}")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise malformed(path, f"its facts: {error}") from error
    return state


_FACTS: dict[str, Any] = {
    "epoch": int, "batch": int, "recipe": dict, "history": list, "tally": dict, "stream": dict, "optimizer": dict,
    "schedule": dict | None,
}  # fmt: skip


def _part(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _checksum(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over all names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
