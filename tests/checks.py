"""What a result must satisfy: its numbers, its layout, and that nothing else was touched."""

from contextlib import contextmanager

import numpy as np


def assert_exact(actual, expected, dtype):
    """Equal bit for bit in value (NaN equals NaN), with this shape and type."""
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


def assert_within(actual, expected, bound):
    """|actual - expected| <= bound in every element; a NaN on either side fails."""
    assert actual.shape == expected.shape
    error = np.abs(actual.astype(np.float64) - expected)
    assert np.all(error <= bound), f"largest error {np.max(error)}, largest allowed {np.max(bound)}"


def sum_bound(dtype, terms, magnitude):
    """How far a sum of products may be from the exact one, whatever the order of its `terms` terms.

    `magnitude` is the same sum over absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    """
    return (terms + 2) * np.finfo(dtype).eps * magnitude + np.finfo(dtype).tiny


def is_channels_last(a):
    """Whether (N, C, H, W) lies as contiguous [N, H, W, C]; axes of length 1 may have any stride."""
    n, c, h, w = a.shape
    wanted = (h * w * c, 1, w * c, c)
    return all(
        size == 1 or stride == want * a.dtype.itemsize
        for size, stride, want in zip((n, c, h, w), a.strides, wanted, strict=True)
    )


def poisoned(backend, shape, dtype):
    """Memory for a result in which every element that is not overwritten shows: NaN, or the largest whole number."""
    a = backend.empty(shape, dtype)
    dtype = np.dtype(dtype)
    a[...] = np.nan if dtype.kind == "f" else np.iinfo(dtype).max
    return a


@contextmanager
def unchanged(backend, *arrays):
    """Fail where the block changes one of `arrays`."""
    before = [backend.to_numpy(a).copy() for a in arrays]
    yield
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), b)


def layouts(backend, a):
    """(name, the values of `a` on the backend) for every way that an array can lie in memory."""

    def flat(values):
        return backend.asarray(np.ascontiguousarray(values).reshape(-1)).reshape(values.shape)

    yield "backend's own", backend.asarray(a)
    yield "row by row", flat(a)
    yield "first axis innermost", flat(np.ascontiguousarray(a.T)).T
    yield "every second", flat(np.repeat(a, 2, axis=-1))[..., ::2]
    yield "backwards", flat(a[:, ::-1])[:, ::-1]
    if isinstance(backend.asarray(a), np.ndarray):
        yield "read-only", _read_only(backend.asarray(a))
        yield "off alignment", _off_alignment(a)


def _read_only(a):
    a = a.view()
    a.flags.writeable = False
    return a


def _off_alignment(a):
    raw = np.empty(a.nbytes + 1, np.uint8)[1:]
    moved = raw.view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved
