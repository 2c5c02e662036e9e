"""Files from the network into the user's cache folder: one pinned hash each, several mirrors.

pooch writes to a temporary file and moves it to its name only once the hash agrees, so that what lies under the name
is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Remote:
    """One file: its name, its size in bytes, its SHA-256, and the folders on the network that hold it."""

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def cache_folder(dataset: str) -> Path:
    """Where downloads of `dataset` lie: the user's cache folder of this system."""
    from platformdirs import user_cache_path

    return user_cache_path("fastconv") / dataset


def fetch(remote: Remote, folder: Path, needed: Sequence[str]) -> Path:
    """`remote` under `folder`, downloaded from the first mirror that gives the right bytes.

    Raises:
        DataError: no mirror did; the text says why, names the files `needed` and the folder to put them into by hand.
    """
    import pooch

    faults: list[str] = []
    for mirror in remote.mirrors:
        try:
            path = pooch.retrieve(
                mirror + remote.name,
                known_hash=f"sha256:{remote.sha256}",
                fname=remote.name,
                path=folder,
                downloader=_downloader(remote),
            )
            return Path(path)
        # Every error of the connection is an OSError; pooch reports a wrong hash as a ValueError.
        except (OSError, ValueError) as error:
            faults.append(f"{mirror} ({_reason(error)})")
    raise DataError(
        f"{remote.name} could not be downloaded; put {', '.join(needed)} into {folder} by hand, or name the folder "
        f"that holds them with root= (--data-root). Tried {', '.join(faults)}"
    )


def _reason(error: Exception) -> str:
    from requests.exceptions import ConnectionError, Timeout

    return "no connection" if isinstance(error, ConnectionError | Timeout) else str(error)


def _downloader(remote: Remote) -> Callable[[str, str, Any], None]:
    """What pooch calls to download: shows progress and stops a server that sends more than the file's size."""

    def download(url: str, output_file: str, pooch_: Any) -> None:
        import pooch
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar, open(output_file, "wb") as file:
            task = bar.add_task(remote.name, total=remote.size)
            sink = _CappedSink(file, remote.size, lambda count: bar.advance(task, count))
            pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, chunk_size=1 << 16)(url, sink, pooch_)

    return download


class _CappedSink:
    """A file to write to that refuses to grow beyond `room` bytes."""

    def __init__(self, file: BinaryIO, room: int, advance: Callable[[int], None]) -> None:
        self.file, self.room, self.advance = file, room, advance

    def write(self, chunk: bytes) -> None:
        self.room -= len(chunk)
        if self.room < 0:
            raise ValueError("the server sends more bytes than the file has")
        self.file.write(chunk)
        self.advance(len(chunk))

    def flush(self) -> None:
        """Nothing: closing the file flushes it."""
