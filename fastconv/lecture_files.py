"""The lectures' params.pkl, a pickled dict of arrays, and the same in safer files."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .json_files import looks_like_json, read_arrays, write_arrays
from .pickles import Refused, read_pickle
from .tensor_files import (
    Arrays,
    Path_,
    looks_like_tensors,
    malformed,
    read_capped,
    write_whole,
)

MAX_PICKLE = 1 << 30  # bytes
_FLOATS = ("f2", "f4", "f8")


def write_params(path: Path_, params: Mapping[str, Any]) -> None:
    """Write arrays by name: a name ending in .pkl as the lectures' code reads it, in .json as JSON, any other as
    safetensors.

    The file is replaced as a whole. A params.pkl needs a NumPy in the reading program that knows the writer's module
    names: 1.26 or newer.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in params.items()}
    if Path(path).suffix == ".pkl":
        write_whole(path, pickle.dumps(arrays, protocol=4))
    else:
        write_arrays(path, arrays, {"format": "fastconv-params-1"})


def read_params(path: Path_) -> Arrays:
    """Arrays by name out of a params.pkl, a JSON or a safetensors file; the content decides, not the name.

    Raises:
        DataError: the file is missing, too large, or anything but a dict of floating-point arrays.
    """
    path = Path(path)
    data = read_capped(path, MAX_PICKLE)
    known = looks_like_tensors(data) or looks_like_json(data)
    arrays = read_arrays(path)[0] if known else _read_pickle(path, data)
    if not arrays:
        raise malformed(path, "it holds no arrays")
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise malformed(path, f"{name} is {array.dtype}, not floating-point")
    return arrays


def _read_pickle(path: Path, data: bytes) -> Arrays:
    try:
        return read_pickle(data, _FLOATS)
    except Refused as error:
        raise malformed(path, str(error)) from error
