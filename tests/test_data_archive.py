"""The CIFAR-10 archive: members by exact name, and hostile archives refused within little memory."""

import gzip
import re
import tarfile

import numpy as np
import pytest
from data_files import FOLDER, RECORD, damage, flip, member, records, refusal, require_cifar10, survives, tar
from hypothesis import given
from hypothesis import strategies as st

from fastconv import data
from fastconv.data import archive, cifar10

ARCHIVE = "cifar-10-binary.tar.gz"


def official_members(rows):
    """What the published archive holds, with one record in each training file, the files not in their order."""
    content = {f"data_batch_{i}.bin": rows[i - 1 : i].tobytes() for i in (1, 3, 4)}
    content |= {"batches.meta.txt": b"airplane\n", "test_batch.bin": rows[5:].tobytes(), "readme.html": b"<html>"}
    content |= {f"data_batch_{i}.bin": rows[i - 1 : i].tobytes() for i in (5, 2)}
    files = [member(f"{FOLDER}/{name}", body) for name, body in content.items()]
    return [member(FOLDER, type=tarfile.DIRTYPE), *files]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_from_the_archive(tmp_path, form, packed):
    rows = records(7)
    content = tar(official_members(rows), form)
    (tmp_path / ("cifar-10-binary.tar" + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    require_cifar10(data.load("cifar10", root=tmp_path), rows[:5])
    require_cifar10(data.load("cifar10", root=tmp_path, split="test"), rows[5:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-10-binary.tar" + ".gz" * packed]


ONE = records(1).tobytes()
NAME = f"{FOLDER}/test_batch.bin"


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], "members cifar-10-batches-bin/test_batch.bin, found none"),
        ([member("test_batch.bin", ONE)], "found none of that name"),
        ([member(f"../{NAME}", ONE)], "found none of that name"),
        ([member(f"/{NAME}", ONE)], "found none of that name"),
        ([member(NAME, type=tarfile.SYMTYPE, linkname="/etc/passwd")], "as a plain file .*, found a link or the like"),
        ([member("a", ONE), member(NAME, type=tarfile.LNKTYPE, linkname="a")], "found a link or the like"),
        ([member(NAME, type=tarfile.DIRTYPE)], "found a link or the like"),
        ([member(NAME, type=tarfile.FIFOTYPE)], "found a link or the like"),
        ([member(NAME, ONE), member(NAME, ONE)], "once, as a plain file .*, found a second one"),
        ([member(NAME, ONE[:-1])], "test_batch.bin: expected 1 to 10000 records .*, found 3072 bytes"),
        ([member(NAME, b"\xff" * RECORD)], "test_batch.bin: expected labels from 0 to 9, found 255"),
        ([member(str(i)) for i in range(65)] + [member(NAME, ONE)], "at most 64 members, found more"),
    ],
)  # fmt: skip
def test_archive_refuses_members(tmp_path, members, text):
    (tmp_path / ARCHIVE).write_bytes(gzip.compress(tar(members)))
    message = refusal(data.load, "cifar10", root=tmp_path, split="test")
    assert re.search(text, message)
    assert message.startswith(str(tmp_path / ARCHIVE))


def header_only(name, size):
    """A member's header that claims `size` bytes, with nothing behind it."""
    return member(name, size=size)[0].tobuf(tarfile.GNU_FORMAT)


def extended_header(size, content):
    """A pax header that claims `size` bytes."""
    return member("pax", size=size, type=tarfile.XHDTYPE)[0].tobuf(tarfile.GNU_FORMAT) + content


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (header_only(NAME, 30_730_001), "at most 30730000 bytes, found 30730001 bytes"),
        (header_only(NAME, 30_730_000), "sound tar archive, found this fault: unexpected end of data"),
        (header_only(NAME, 1 << 40), f"found {1 << 40} bytes"),
        (header_only("other", 1 << 40), "members that follow each other within"),
        (extended_header(1 << 40, b""), "headers of at most 1048576 bytes, found one that claims"),
        (extended_header(1 << 27, bytes(1 << 21)), "headers of at most 1048576 bytes, found one that claims"),
        (extended_header(512, b"12 size=-9\n".ljust(512, b"\0")) * 2000 + header_only(NAME, 0), ARCHIVE),
        (tar([member(NAME, ONE)])[:2000], "unexpected end of data"),
        (tar([member(NAME, ONE)])[:700] + b"<!DOCTYPE html>", "unexpected end of data"),
        (b"<!DOCTYPE html>", "sound tar archive, found this fault"),
        (b"", "sound tar archive, found this fault: empty file"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_archive_refuses_claims_that_its_bytes_do_not_keep(tmp_path, content, text):
    (tmp_path / ARCHIVE).write_bytes(gzip.compress(content))
    assert text in refusal(data.load, "cifar10", root=tmp_path, split="test")


def test_archive_refuses_to_unpack_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ROOM_FOR_OTHER_MEMBERS", 1 << 10)
    monkeypatch.setattr(cifar10, "MOST", 1)
    (tmp_path / ARCHIVE).write_bytes(gzip.compress(tar([member(NAME, ONE)]) + bytes(1 << 24)))
    assert "at most 19462 bytes when unpacked, found more" in refusal(data.load, "cifar10", root=tmp_path, split="test")


def test_archive_is_read_to_its_checksum(tmp_path):
    content = gzip.compress(tar([member(NAME, ONE)]))
    (tmp_path / ARCHIVE).write_bytes(flip(content, len(content) - 8))
    assert "CRC check failed" in refusal(data.load, "cifar10", root=tmp_path, split="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


SIX = records(6)
TAR = tar([member(FOLDER, type=tarfile.DIRTYPE), member("note", b"text"), member(NAME, SIX.tobytes())])
PAX = tar([member(NAME, SIX.tobytes(), pax_headers={"comment": "é" * 200})], tarfile.PAX_FORMAT)


def with_checksums(content):
    """`content` with the checksum of every tar header made right again, so that damage reaches the fields."""
    changed = bytearray(content)
    for start in range(0, len(content) - 511, 512):
        block = changed[start : start + 512]
        if block[257:262] == b"ustar":
            total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
            changed[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(changed)


@given(content=st.one_of(damage(TAR), damage(PAX)), checksums=st.booleans())
def test_any_damage_to_an_archive(folder, content, checksums):
    (folder / ARCHIVE).write_bytes(with_checksums(content) if checksums else content)
    survives(lambda: data.load("cifar10", root=folder, split="test")[0])


@given(content=damage(gzip.compress(TAR, mtime=0)))
def test_any_damage_to_a_packed_archive(folder, content):
    (folder / ARCHIVE).write_bytes(content)
    right = SIX[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255)
    survives(lambda: data.load("cifar10", root=folder, split="test")[0], right=right)
