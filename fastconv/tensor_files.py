"""Arrays by name in safetensors files: written whole or not at all, read without trusting a single size in them.

Format: 8 bytes with the header's length, a JSON header, the arrays' bytes (https://github.com/huggingface/safetensors).
The library checks offsets and shapes but takes headers of up to 100 MB and the last of two equal names; so the header
is checked here before it sees the file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DataError

Arrays = dict[str, npt.NDArray[Any]]
Path_ = str | os.PathLike[str]

OWN_METADATA = "fastconv"
MAX_HEADER = 1 << 20  # bytes
MAX_TENSORS = 8192
MAX_FILE = 8 << 30  # bytes
DTYPES = ("F16", "F32", "F64", "I64", "I32", "U8")


def write_tensors(path: Path_, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Replace `path` by a file with these arrays; after a failure the old file stands as it was.

    Equal arrays and metadata give equal files, byte for byte.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    # One entry only: the library writes several in an order that changes from run to run.
    write_whole(path, save(contiguous, {OWN_METADATA: json.dumps(dict(metadata), sort_keys=True)}))


def write_whole(path: Path_, data: bytes) -> None:
    """Replace the file `path` by `data`: at every moment, also after a crash, the old or the new file is there.

    Raises:
        DataError: the folder is missing, full or not writable.
    """
    path = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_tensors(path: Path_) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a safetensors file, and the metadata where `write_tensors` wrote it.

    Raises:
        DataError: the file is missing, too large or malformed in any way.
    """
    path = Path(path)
    data = read_capped(path, MAX_FILE)
    metadata = _check_header(path, data)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data), metadata
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise malformed(path, f"safetensors: {error}") from error


def read_capped(path: Path, limit: int) -> bytes:
    """The whole file, unless it is missing or larger than `limit` bytes."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise malformed(path, f"{size} bytes are more than the {limit} allowed")
            return file.read(limit)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def looks_like_tensors(data: bytes) -> bool:
    """Whether the first bytes are those of a safetensors file: the length of a header, then its brace."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= MAX_HEADER


def malformed(path: Path, reason: str) -> DataError:
    """The error for a file that is there but not what it should be."""
    return DataError(f"{path}: not a sound file of arrays: {reason}")


def _check_header(path: Path, data: bytes) -> dict[str, str]:
    """Check everything the header claims against the file; returns its metadata."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER or 8 + length > len(data):
        raise malformed(
            path,
            f"no safetensors; its first bytes claim a header of {length} bytes in a file of {len(data)}, at most "
            f"{MAX_HEADER} allowed",
        )
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=without_twins)
    except (ValueError, RecursionError) as error:
        raise malformed(path, f"its header: {error}") from error
    if not isinstance(header, dict):
        raise malformed(path, "its header is no JSON object")
    metadata = _metadata(path, header.pop("__metadata__", {}))
    if len(header) > MAX_TENSORS:
        raise malformed(path, f"{len(header)} arrays are more than the {MAX_TENSORS} allowed")
    for name, entry in header.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if dtype not in DTYPES:
            raise malformed(path, f"{name} has the element type {dtype!r:.40}; known are {', '.join(DTYPES)}")
    return metadata


def _metadata(path: Path, entries: Any) -> dict[str, str]:
    """What `write_tensors` was given; nothing where another program wrote the file."""
    try:
        own = json.loads(entries[OWN_METADATA]) if OWN_METADATA in entries else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise malformed(path, f"its metadata: {error}") from error
    if not isinstance(own, dict) or not all(isinstance(value, str) for value in own.values()):
        raise malformed(path, "its metadata are not strings")
    return own


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; raises ValueError where it has a name twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _umask() -> int:
    """The process's file mode mask; Python can only read it by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where folders can be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
