"""Bytes out of files that nobody vouches for: plain or gzip, never more than the caller allows.

Whether a file is gzip is read from its first bytes, not from its name: browsers unpack a download and keep the `.gz`.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Protocol

from ..errors import DataError

CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"

Root = str | PathLike[str]


class Readable(Protocol):
    """What is read from: anything with `read(size)` that returns fewer bytes only where the data ends."""

    def read(self, size: int, /) -> bytes: ...


def chosen_root(root: Root | None) -> Root | None:
    """The folder that the user named, as an argument or in the environment variable FASTCONV_DATA, or None."""
    return os.environ.get("FASTCONV_DATA") or None if root is None else root


def damaged(path: Path, expected: str, found: str) -> DataError:
    """The error for a file that is there but not what it should be."""
    return DataError(f"{path}: expected {expected}, found {found}; replace the file by a fresh copy")


def find_together(folders: Sequence[Path], names: Sequence[str]) -> list[Path] | None:
    """The files of these names, each plain or with `.gz`, from the first folder that holds them all."""
    for folder in folders:
        found = [find_file(folder, name) for name in names]
        if all(found):
            return [path for path in found if path is not None]
    return None


def find_file(folder: Path, name: str) -> Path | None:
    """`folder/name` or `folder/name.gz`, or None where neither is a regular file."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def missing(
    dataset: str, folders: Sequence[Path], names: Sequence[str], source: str, instead: str | None = None
) -> DataError:
    """The error for a folder that the user named and that does not hold the data set.

    folders: where it was looked for, the user's own first. instead: a file that would replace all others.
    """
    top = folders[0]
    absent = ", ".join(f"{name}[.gz]" for name in names if find_file(top, name) is None)
    other = f" or {instead}[.gz]" if instead else ""
    state = "lacks" if top.is_dir() else "is not a folder; needed are"
    return DataError(
        f"{dataset}: {top} {state} {absent}{other} (looked in {', '.join(map(str, folders[1:]))} too); "
        f"{source} has them; put them there, or leave root (--data-root) out to have them downloaded"
    )


@contextmanager
def open_file(path: Path) -> Iterator[Readable]:
    """The unpacked bytes of `path` as a stream; whatever is wrong with the file becomes a DataError that names it.

    A gzip stream's checksum and length are verified when it is read to its end.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] != GZIP_MAGIC:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked
    except EOFError as error:
        raise damaged(path, "a whole gzip stream", "one that ends early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, "a sound gzip stream", f"this fault: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; check its permissions") from error


def read_capped(stream: Readable, limit: int) -> bytearray:
    """Everything up to the end, or limit + 1 bytes where there is more: memory follows the data, never a claim."""
    data = bytearray()
    while len(data) <= limit:
        chunk = stream.read(min(CHUNK, limit + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    return data
