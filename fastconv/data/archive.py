"""Members of a tar archive that nobody vouches for: read by exact name, in memory, nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from .files import CHUNK, Readable, damaged, open_file, read_capped

MOST_MEMBERS = 64
ROOM_FOR_OTHER_MEMBERS = 16 << 20


def read_members(path: Path, names: Sequence[str], total: int, limit: int) -> list[bytearray]:
    """The bytes of the members `names` of the archive `path` (.tar or .tar.gz), in the order of `names`.

    total: the most bytes that the members of a sound archive hold together.
    limit: the most bytes of one wanted member.

    Raises:
        DataError: a member that is missing, double, too large or not a plain file; a damaged or oversized archive.
    """
    try:
        with open_file(path) as stream:
            source = _ForwardOnly(path, stream, total + ROOM_FOR_OTHER_MEMBERS)
            found = _scan(path, source, set(names), limit)
            source.skip_to_end()
    except DataError:
        raise
    # tarfile lets several kinds of error out where header fields make no sense or headers follow headers.
    except (tarfile.TarError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise damaged(path, "a sound tar archive", f"this fault: {error}") from error
    absent = [name for name in names if name not in found]
    if absent:
        raise damaged(path, f"the members {', '.join(absent)}", "none of that name")
    return [found[name] for name in names]


def _scan(path: Path, source: _ForwardOnly, wanted: set[str], limit: int) -> dict[str, bytearray]:
    found: dict[str, bytearray] = {}
    with tarfile.open(fileobj=source, mode="r:") as archive:  # type: ignore[call-overload]
        for count, member in enumerate(archive, start=1):
            if count > MOST_MEMBERS:
                raise damaged(path, f"an archive of at most {MOST_MEMBERS} members", "more")
            if member.name in wanted:
                found[member.name] = _read_member(path, archive, member, limit, twice=member.name in found)
    return found


def _read_member(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int, *, twice: bool
) -> bytearray:
    file = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if file is None or twice or member.size > limit:
        kind = "a link or the like" if file is None else "a second one" if twice else f"{member.size} bytes"
        raise damaged(path, f"{member.name} once, as a plain file of at most {limit} bytes", kind)
    return read_capped(file, limit)


class _ForwardOnly:
    """What tarfile reads from: refuses to go back, to read much at once, and to go beyond `total` bytes.

    tarfile itself would hold an extended header of any size in memory and skip members of any size.
    """

    def __init__(self, path: Path, stream: Readable, total: int) -> None:
        self.path, self.stream, self.total, self.position = path, stream, total, 0

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise damaged(self.path, f"headers of at most {CHUNK} bytes", f"one that claims {size}")
        data = self.stream.read(size)
        self.position += len(data)
        if self.position > self.total:
            raise damaged(self.path, f"at most {self.total} bytes when unpacked", "more")
        return data

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        if not self.position <= position <= self.total:
            raise damaged(self.path, f"members that follow each other within {self.total} bytes", f"one at {position}")
        while self.position < position and self.read(min(CHUNK, position - self.position)):
            pass

    def skip_to_end(self) -> None:
        """Read what follows the last member, so that a gzip stream's checksum is verified."""
        while self.read(CHUNK):
            pass
