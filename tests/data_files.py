"""Data files as they should be and as they should not: writers, damage, and the checks on what a reader makes of it."""

import io
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import strategies as st

from fastconv.errors import DataError

RECORD = 3073
FOLDER = "cifar-10-batches-bin"
PEAK = 4 << 20


def idx(array, *, magic=None, shape=None):
    """An IDX file of unsigned bytes, with a header that may lie."""
    header = [2048 + array.ndim if magic is None else magic, *(array.shape if shape is None else shape)]
    return b"".join(n.to_bytes(4, "big") for n in header) + array.astype(np.uint8).tobytes()


def records(n, seed=0):
    """n random records of a CIFAR-10 file, (n, 3073) bytes."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (n, RECORD), np.uint8)
    rows[:, 0] = rng.integers(0, 10, n)
    return rows


def require_cifar10(loaded, rows):
    """`loaded` must be the images and labels of these records."""
    x, t = loaded
    np.testing.assert_array_equal(t, rows[:, 0])
    np.testing.assert_array_equal(x, rows[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255))
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous


def member(name, content=b"", **fields):
    """A member of a tar archive; `fields` overrule what its header says."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(members, form=tarfile.GNU_FORMAT):
    """A tar archive, unpacked, of (TarInfo, bytes) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=form) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def flip(content, place):
    """`content` with one bit changed."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


@st.composite
def damage(draw, content):
    """`content` with some bytes changed and perhaps cut short or lengthened."""
    changed = bytearray(content)
    # Half of the places lie near the start, where the headers are.
    places = st.one_of(st.integers(0, min(600, len(content)) - 1), st.integers(0, len(content) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        changed[place] = value
    cut = draw(st.one_of(st.none(), st.integers(0, len(content))))
    return bytes(changed[:cut]) + draw(st.binary(max_size=4))


def survives(call, right=None):
    """Call: an array or a DataError are the only ways out, and both within little memory.

    right: what the array must equal where a checksum guards it.
    """
    tracemalloc.start()
    try:
        result = call()
    except DataError:
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK
    if right is not None:
        np.testing.assert_array_equal(result, right)


def refusal(call, *args, **options):
    """The text of the DataError that the call must raise, within little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            call(*args, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PEAK, f"{peak} bytes were taken before the file was refused: {caught.value}"
    return str(caught.value)
