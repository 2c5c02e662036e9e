"""Matrix products on the CPU at every edge of blocks, tiles and slices, against NumPy in float64, exactly."""

import numpy as np
import pytest
from checks import assert_exact, poisoned
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv.backends import select

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

SIZES = [
    (1, 1, 1),
    (13, 32, 8),
    (14, 33, 9),
    (12, 16, 257),
    (100, 10, 84),
    (27, 17, 512),
    (26, 48, 513),
    (40, 70, 1024),  # rows a page apart
    (3, 130, 1100),
    (850, 65, 40),
    (1030, 40, 30),  # several chunks of rows
    (1, 19, 4321),  # few rows: by the rows of w
    (8, 150, 600),
    (20, 900, 300),  # several chunks of columns
    (30, 400, 2000),  # and several parts of the sum, where both operands lie along it
    (1030, 600, 1000),  # parts that would take too much memory
]
SPELLINGS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.fixture(scope="module")
def cpu():
    return select.get("cpu")


def whole(rng, shape, dtype):
    return rng.integers(-4, 5, shape).astype(dtype)


def check(cpu, a, b, trans_a, trans_b):
    expected = a.astype(float) @ b.astype(float)
    left = np.ascontiguousarray(a.T) if trans_a else a
    right = np.ascontiguousarray(b.T) if trans_b else b
    out = poisoned(cpu, expected.shape, a.dtype)
    assert_exact(cpu.matmul(left, right, trans_a=trans_a, trans_b=trans_b, out=out), expected, a.dtype.name)


@pytest.mark.parametrize(("M", "N", "K"), SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_exact_in_every_spelling(cpu, M, N, K, dtype, rng):
    a, b = whole(rng, (M, K), dtype), whole(rng, (K, N), dtype)
    for trans_a, trans_b in SPELLINGS:
        check(cpu, a, b, trans_a, trans_b)


@settings(max_examples=60)
@given(sizes=st.tuples(*[st.integers(1, 70)] * 3), spelling=st.sampled_from(SPELLINGS), seed=st.integers(0, 2**32))
def test_random_products_are_exact(cpu, sizes, spelling, seed):
    M, N, K = sizes
    rng = np.random.default_rng(seed)
    check(cpu, whole(rng, (M, K), "float32"), whole(rng, (K, N), "float32"), *spelling)


@pytest.mark.parametrize(("M", "N", "K"), SIZES)
def test_a_linear_layer_is_exact_in_every_pass(cpu, M, N, K, rng):
    x, w, b = whole(rng, (M, K), "float32"), whole(rng, (N, K), "float32"), whole(rng, N, "float32")
    dy = whole(rng, (M, N), "float32")
    wide = [a.astype(float) for a in (x, w, b, dy)]
    assert_exact(cpu.linear_forward(x, w, b), wide[0] @ wide[1].T + wide[2], "float32")
    relu = cpu.linear_forward(x, w, b, activation="relu")
    assert_exact(relu, np.maximum(wide[0] @ wide[1].T + wide[2], 0), "float32")
    dx, dw, db = cpu.linear_backward(dy, x, w)
    assert_exact(dx, wide[3] @ wide[1], "float32")
    assert_exact(dw, wide[3].T @ wide[0], "float32")
    assert_exact(db, wide[3].sum(0), "float32")


def test_rows_and_columns_may_lie_anyhow(cpu, rng):
    a, b = whole(rng, (30, 80), "float32"), whole(rng, (60, 40), "float32")
    left, right = a[::2, ::-2], b[40:0:-1, ::3]
    assert_exact(cpu.matmul(left, right), left.astype(float) @ right.astype(float), "float32")


def test_an_infinity_stays_in_its_row_and_column(cpu):
    a, b = np.ones((20, 40), "float32"), np.ones((40, 50), "float32")
    a[7, 3] = np.inf
    c = cpu.matmul(a, b)
    assert np.isposinf(c[7]).all()
    assert (np.delete(c, 7, axis=0) == 40).all()
