"""Arrays by name as JSON text: a snapshot that any program can read, a browser's too, and a person.

    {"metadata": {name: text}, "arrays": {name: {"dtype": "float32", "shape": [30, 1, 5, 5], "values": [0.01, ...]}}}

`values` are in the order of the logical indices; every number comes back bit for bit. Some 5 times the size of
safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DataError
from .tensor_files import (
    MAX_TENSORS,
    Arrays,
    Path_,
    looks_like_tensors,
    malformed,
    read_capped,
    read_tensors,
    without_twins,
    write_tensors,
    write_whole,
)

MAX_TEXT = 1 << 28  # bytes; in memory the numbers of such a text take some 4 times as much
DTYPES = ("float32", "float64", "int64")


def write_arrays(path: Path_, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Replace `path` by a file with these arrays: JSON where its name ends in .json, else safetensors.

    Raises:
        DataError: the file cannot be written, or JSON cannot hold a value.
    """
    if Path(path).suffix.lower() != ".json":
        write_tensors(path, arrays, metadata)
        return
    entries = {
        name: {"dtype": str(a.dtype), "shape": list(a.shape), "values": a.reshape(-1).tolist()}
        for name, a in arrays.items()
    }
    try:
        text = json.dumps({"metadata": dict(metadata), "arrays": entries}, allow_nan=False)
    except ValueError:
        raise DataError(f"{path}: JSON has no NaN and no infinity; save under a name ending in .safetensors") from None
    write_whole(path, text.encode())


def read_arrays(path: Path_) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata of a file that `write_arrays` wrote; the content decides which of the two it is.

    Raises:
        DataError: the file is missing, too large or malformed in any way.
    """
    path = Path(path)
    return _parse(path, read_capped(path, MAX_TEXT)) if _is_json(path) else read_tensors(path)


def looks_like_json(data: bytes) -> bool:
    """Whether the first bytes are those of a JSON object, and not of safetensors, which has one further on."""
    return data[:64].lstrip()[:1] == b"{" and not looks_like_tensors(data)


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_json(file.read(64))
    except OSError:
        return False  # the reader says what is wrong


def _parse(path: Path, data: bytes) -> tuple[Arrays, dict[str, str]]:
    try:
        content = json.loads(data.decode(), object_pairs_hook=without_twins)
    except (ValueError, RecursionError) as error:
        raise malformed(path, f"its JSON: {error}") from error
    metadata, entries = content.get("metadata"), content.get("arrays")
    if not isinstance(entries, dict) or not isinstance(metadata, dict) or len(entries) > MAX_TENSORS:
        raise malformed(path, f"it has no metadata or no arrays, or more than {MAX_TENSORS}")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise malformed(path, "its metadata are not all texts")
    return {name: _array(path, name, entry) for name, entry in entries.items()}, metadata


def _array(path: Path, name: str, entry: Any) -> npt.NDArray[Any]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "values"}:
        raise malformed(path, f"{name} is not given by dtype, shape and values")
    dtype, shape, values = entry["dtype"], entry["shape"], entry["values"]
    if dtype not in DTYPES:
        raise malformed(path, f"{name} has the element type {dtype!r:.40}; known are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not isinstance(values, list) or len(shape) > 32:
        raise malformed(path, f"{name}: shape and values must be lists")
    if any(type(n) is not int or n < 0 for n in shape) or prod(shape) != len(values):
        raise malformed(path, f"{name} has {len(values)} values for the shape {shape!r:.80}")
    kinds = {type(value) for value in values}
    if not kinds <= ({int} if dtype == "int64" else {int, float}):
        raise malformed(path, f"{name} holds something else than numbers of type {dtype}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise malformed(path, f"{name}: {error}") from error
    if not np.isfinite(array).all():
        raise malformed(path, f"{name} holds values beyond {dtype}")
    return array
