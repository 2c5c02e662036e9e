"""Pointwise kernels: the stated error of exp, sigmoid and tanh in float32, and the edges of chunks."""

import numba
import numpy as np
import pytest

from fastconv.backends import select

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


@pytest.fixture
def cpu():
    return select.get("cpu")


def every_so_many(step, largest):
    """Every `step`-th float32 from 0 to `largest`, with both signs."""
    bits = np.arange(0, np.float32(largest).view(np.int32), step, dtype=np.int32)
    positive = bits.view(np.float32)
    return np.concatenate([-positive[::-1], positive])


def units_in_the_last_place(actual, exact):
    """The largest error where the exact result is a normal number; below, anything smaller than one will do."""
    normal = np.abs(exact) >= SMALLEST_NORMAL
    assert np.all(np.abs(actual[~normal]) <= SMALLEST_NORMAL)
    error = np.abs(actual[normal].astype(np.float64) - exact[normal])
    return np.max(error / np.spacing(np.abs(exact[normal]).astype(np.float32)))


class TestStatedErrors:
    """A prime step meets all exponents and many mantissas: about two million values each."""

    def test_tanh(self, cpu):
        x = every_so_many(1009, 20)
        assert not units_in_the_last_place(cpu.activation_forward("tanh", x), np.tanh(x.astype(np.float64))) > 3

    def test_sigmoid(self, cpu):
        x = every_so_many(1009, 100)
        e = np.exp(-np.abs(x.astype(np.float64)))
        exact = np.where(x < 0, e, 1) / (1 + e)
        assert not units_in_the_last_place(cpu.activation_forward("sigmoid", x), exact) > 3

    def test_exp(self, cpu):
        from fastconv.kernels.cpu.lanes import exp, load, pointer_to, store, width

        @numba.njit
        def run(y, x):
            source = pointer_to(x)
            for i in range(0, x.size, width(source)):
                store(pointer_to(y), i, exp(load(source, i, x.size)), x.size - i)
            return y

        x = every_so_many(1009, 110)
        x = x[x < 88]
        assert not units_in_the_last_place(run(np.empty_like(x), x), np.exp(x.astype(np.float64))) > 2
        ends = np.float32([-np.inf, np.inf, np.nan, 0])
        np.testing.assert_array_equal(run(np.empty_like(ends), ends), np.float32([0, np.inf, np.nan, 1]))


class TestShape:
    @pytest.mark.parametrize(("kind", "limits"), [("tanh", (-1, 1)), ("sigmoid", (0, 1))])
    def test_never_leaves_its_range_and_reaches_the_ends(self, cpu, kind, limits):
        x = every_so_many(7919, np.finfo(np.float32).max)
        y = cpu.activation_forward(kind, x)
        assert np.all((limits[0] <= y) & (y <= limits[1]))
        ends = cpu.activation_forward(kind, np.float32([-np.inf, np.inf]))
        np.testing.assert_array_equal(ends, np.float32(limits))

    def test_tanh_is_odd_bit_for_bit(self, cpu):
        x = every_so_many(1009, 20)
        positive, negative = cpu.activation_forward("tanh", x), cpu.activation_forward("tanh", -x)
        np.testing.assert_array_equal((-positive).view(np.int32), negative.view(np.int32))


class TestEdgesOfChunks:
    """An element's result does not depend on how many others there are or on where its chunk ends."""

    SIZES = (0, 1, 15, 16, 17, 8191, 8192, 16383, 16384, 16385, 24600, 100003)

    @pytest.mark.parametrize("kind", ["relu", "leaky_relu", "sigmoid", "tanh"])
    def test_activations(self, cpu, kind, rng):
        x, dy = rng.standard_normal((2, max(self.SIZES)), dtype="float32")
        y = np.concatenate([cpu.activation_forward(kind, part) for part in np.array_split(x, 97)])
        dx = np.concatenate(
            [
                cpu.activation_backward(kind, *parts)
                for parts in zip(np.array_split(dy, 97), np.array_split(y, 97), strict=True)
            ]
        )
        for size in self.SIZES:
            np.testing.assert_array_equal(cpu.activation_forward(kind, x[:size]), y[:size])
            np.testing.assert_array_equal(cpu.activation_backward(kind, dy[:size], y[:size]), dx[:size])

    def test_dropout(self, cpu, rng):
        x = rng.standard_normal(max(self.SIZES), dtype="float32")
        whole = cpu.dropout(x, 0.3, 11)
        for size in self.SIZES:
            np.testing.assert_array_equal(cpu.dropout(x[:size], 0.3, 11), whole[:size])
