"""Padding with any value: NumPy's result, its gradient, compiled as well."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.functional import conv2d, pad


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


@pytest.mark.parametrize(
    ("padding", "sides"),
    [
        (0, (0, 0, 0, 0)),
        (2, (2, 2, 2, 2)),
        ((1, 2), (1, 1, 2, 2)),
        ((0, 1, 2, 0), (0, 1, 2, 0)),
        (np.int64(1), (1,) * 4),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_as_numpy_pads(padding, sides, value, rng):
    a = rng.standard_normal((2, 3, 4, 5))
    top, bottom, left, right = sides
    expected = np.pad(a, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
    np.testing.assert_array_equal(pad(a, padding, value).numpy(), expected)
    assert fc.gradcheck(lambda x: pad(x, padding, value) ** 2, a[:1, :1])


def test_convolution_after_it_is_convolution_with_padding(rng):
    x, w = rng.standard_normal((2, 1, 6, 6)), rng.standard_normal((3, 1, 3, 3))
    np.testing.assert_allclose(conv2d(pad(x, 1), w).numpy(), conv2d(x, w, padding=1).numpy(), rtol=1e-12)


def test_compiled(rng):
    class Framed(fc.nn.Conv2d):
        def forward(self, x):
            return super().forward(pad(x, 1, 0.5))

    model, x = Framed(1, 2, 3), rng.random((2, 1, 5, 5)).astype("float32")
    np.testing.assert_array_equal(fc.compile(model)(x).numpy(), model(x).numpy())


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), "same", (1, -1)])
def test_wrong_padding(padding):
    with pytest.raises(fc.ArgumentError, match="pad: padding must be 1, 2 or 4 whole numbers from 0"):
        pad(np.zeros((1, 1, 2, 2)), padding)


def test_wrong_axes():
    with pytest.raises(fc.ShapeError, match=r"pad: x must be \(N, C, H, W\), got \(3, 3\)"):
        pad(np.zeros((3, 3)), 1)
