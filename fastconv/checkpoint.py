"""Saving and loading of networks: weights by name, and for the networks of `fc.models` how to build them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from . import random
from .errors import ArgumentError, DataError
from .json_files import read_arrays, write_arrays
from .models import MODELS, build
from .nn import init
from .nn.module import Module
from .tensor_files import Arrays, Path_, malformed

FORMAT = "fastconv-model-1"
RUN_FORMAT = "fastconv-run-1"  # of training's checkpoints

M = TypeVar("M", bound=Module)


def save(model: Module, path: Path_) -> None:
    """Write the values of `model` to a safetensors file, which is replaced as a whole; under a .json name as JSON.

    The file of a network from `fc.models` also holds its name and its constructor's options, so that `fc.load(path)`
    and the command line can build it.

    Raises:
        DataError: the file cannot be written.
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"save: give a model and a path, in this order; got {type(model).__name__} as the model")
    metadata = {"format": FORMAT}
    name = getattr(model, "name", None)
    if isinstance(name, str) and MODELS.get(name) is type(model):
        metadata |= {"model": name, "config": json.dumps(model.config)}
    write_arrays(path, model.state_dict(), metadata)


@overload
def load(model: M, path: Path_) -> M: ...


@overload
def load(model: None, path: Path_) -> Module: ...


@overload
def load(model: Path_) -> Module: ...


def load(model: Any, path: Path_ | None = None) -> Module:
    """Set the values of `model` from a file that `save` wrote; `load(path)` builds the network as well.

    Names, shapes and element types must be the model's own; otherwise, and after any other error, the model is as it
    was. Nothing in the file is run or imported: networks are built by their names in `fc.models.MODELS` only.

    Raises:
        DataError: the file is missing, malformed, or another network's.
    """
    if path is None:
        model, path = None, model
    if isinstance(model, str) or path is None:
        raise ArgumentError("load: give a model and a path, or a path alone")
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if metadata.get("format") == RUN_FORMAT:
        raise DataError(
            f"{path}: holds a training run, not a network; end it with --resume (or fit(..., resume=True)) "
            "and take the network's own file, model.safetensors of `fastconv train`"
        )
    if metadata.get("format") != FORMAT:
        raise malformed(path, f"its format is {metadata.get('format')!r}, not {FORMAT!r}")
    if model is None:
        model = _rebuild(path, arrays, metadata)
    require_same(path, model.state_dict(), arrays)
    model.load_state_dict(arrays)
    return model


def require_same(path: Path, own: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise a DataError unless the file's arrays have the names, shapes and element types of `own`."""
    missing, unknown = sorted(own.keys() - arrays.keys()), sorted(arrays.keys() - own.keys())
    if missing or unknown:
        raise DataError(
            f"{path}: the file belongs to another network; it lacks {missing[:6] or 'nothing'} and has "
            f"{unknown[:6] or 'nothing'} more"
        )
    for name, value in own.items():
        read = arrays[name]
        if read.shape != value.shape or read.dtype != value.dtype:
            raise DataError(
                f"{path}: {name} is {read.dtype} {read.shape} in the file, {value.dtype} {value.shape} in the network"
            )


def _rebuild(path: Path, arrays: Arrays, metadata: Mapping[str, str]) -> Module:
    """The network that the metadata describe, its values not set; leaves the random stream as it was."""
    name = metadata.get("model")
    if name is None:
        raise DataError(f"{path}: the file does not say which network it belongs to; use fc.load(model, path)")
    stream = random.get_state()
    try:
        config = json.loads(metadata.get("config", "{}"))
        # No array of the true network is larger than all arrays of the file together.
        with init.at_most(sum(a.size for a in arrays.values())), init.unset():
            return build(name, config)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise malformed(path, f"its network {name!r} cannot be built: {error}") from error
    finally:
        random.set_state(stream)
