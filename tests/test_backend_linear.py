"""Matrix products and the fully connected map on every backend against the naive loops."""

import numpy as np
import pytest
import reference
from cases import floats, seeds, whole_numbers
from checks import assert_exact, assert_within, layouts, poisoned, sum_bound, unchanged
from hypothesis import given
from hypothesis import strategies as st

from fastconv.errors import DTypeError, FastconvError, ShapeError

FLOATS = ("float32", "float64")
SIZES = [
    (1, 1, 1),
    (1, 7, 1),
    (1, 400, 120),
    (3, 5, 2),
    (4, 8, 16),
    (5, 9, 17),
    (16, 33, 31),
    (33, 64, 10),
    (100, 84, 10),
]
every_size = pytest.mark.parametrize(("M", "K", "N"), SIZES, ids=["x".join(map(str, size)) for size in SIZES])


def check_matmul(backend, a, b, trans_a, trans_b):
    """a (M, K) and b (K, N) as whole numbers, handed over the other way round where they are to be transposed."""
    given_a = np.ascontiguousarray(a.T) if trans_a else a
    given_b = np.ascontiguousarray(b.T) if trans_b else b
    c = backend.matmul(backend.asarray(given_a), backend.asarray(given_b), trans_a=trans_a, trans_b=trans_b)
    assert_exact(backend.to_numpy(c), reference.matmul(a, b), a.dtype)


class TestMatmul:
    @every_size
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("trans_a", [False, True])
    @pytest.mark.parametrize("trans_b", [False, True])
    def test_whole_numbers_are_exact(self, backend, M, K, N, dtype, trans_a, trans_b, rng):
        check_matmul(backend, whole_numbers(rng, (M, K), dtype), whole_numbers(rng, (K, N), dtype), trans_a, trans_b)

    @given(
        M=st.integers(1, 40), K=st.integers(1, 40), N=st.integers(1, 40),
        trans_a=st.booleans(), trans_b=st.booleans(), seed=seeds,
    )  # fmt: skip
    def test_random_sizes_are_exact(self, backend, M, K, N, trans_a, trans_b, seed):
        rng = np.random.default_rng(seed)
        check_matmul(backend, whole_numbers(rng, (M, K)), whole_numbers(rng, (K, N)), trans_a, trans_b)

    @every_size
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_floats_within_the_bound_of_summation(self, backend, M, K, N, dtype, rng):
        a, b = floats(rng, (M, K), dtype), floats(rng, (K, N), dtype)
        c = backend.to_numpy(backend.matmul(backend.asarray(a), backend.asarray(b)))
        assert_within(c, reference.matmul(a, b), sum_bound(dtype, K, reference.matmul(abs(a), abs(b))))

    def test_a_long_sum_of_small_products(self, backend, rng):
        """100,000 terms: the bound holds for a long reduction too."""
        a, b = floats(rng, (1, 100_000)), floats(rng, (100_000, 1))
        c = backend.to_numpy(backend.matmul(backend.asarray(a), backend.asarray(b)))
        assert_within(c, reference.matmul(a, b), sum_bound("float32", 1000, reference.matmul(abs(a), abs(b))))

    def test_out_is_overwritten_whole(self, backend, rng):
        a, b = whole_numbers(rng, (5, 7)), whole_numbers(rng, (7, 9))
        out = poisoned(backend, (5, 9), "float32")
        assert backend.matmul(backend.asarray(a), backend.asarray(b), out=out) is out
        assert_exact(backend.to_numpy(out), reference.matmul(a, b), "float32")

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        a, b = whole_numbers(rng, (5, 6)), whole_numbers(rng, (6, 4))
        for (_, al), (_, bl) in zip(layouts(backend, a), layouts(backend, b), strict=True):
            with unchanged(backend, al, bl):
                assert_exact(backend.to_numpy(backend.matmul(al, bl)), reference.matmul(a, b), "float32")

    @pytest.mark.parametrize(
        ("a", "b"), [((2, 3), (4, 2)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3, 1), (3, 2)), ((2, 3), (3, 2, 1))]
    )
    def test_sizes_that_do_not_fit(self, backend, a, b):
        with pytest.raises(ShapeError, match="matmul"):
            backend.matmul(backend.zeros(a), backend.zeros(b))

    def test_types_that_differ(self, backend):
        with pytest.raises(DTypeError, match=r"matmul: .*float32.*float64"):
            backend.matmul(backend.zeros((2, 3)), backend.zeros((3, 2), "float64"))


class TestLinear:
    @every_size
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_whole_numbers_are_exact(self, backend, M, K, N, dtype, rng):
        x, w, b, dy = (whole_numbers(rng, shape, dtype) for shape in ((M, K), (N, K), (N,), (M, N)))
        on_backend = [backend.asarray(a) for a in (x, w, b, dy)]
        y = backend.linear_forward(*on_backend[:3])
        assert_exact(backend.to_numpy(y), reference.linear(x, w, b), dtype)
        grads = backend.linear_backward(on_backend[3], *on_backend[:2])
        for actual, expected in zip(grads, reference.linear_backward(dy, x, w), strict=True):
            assert_exact(backend.to_numpy(actual), expected, dtype)

    def test_without_bias(self, backend, rng):
        x, w = whole_numbers(rng, (3, 5)), whole_numbers(rng, (4, 5))
        y = backend.linear_forward(backend.asarray(x), backend.asarray(w), None)
        assert_exact(backend.to_numpy(y), reference.linear(x, w), "float32")

    def test_without_the_gradient_of_x(self, backend, rng):
        x, w, dy = (whole_numbers(rng, shape) for shape in ((3, 5), (4, 5), (3, 4)))
        dx, dw, db = backend.linear_backward(*(backend.asarray(a) for a in (dy, x, w)), needs_dx=False)
        _, expected_dw, expected_db = reference.linear_backward(dy, x, w)
        assert dx is None
        assert_exact(backend.to_numpy(dw), expected_dw, "float32")
        assert_exact(backend.to_numpy(db), expected_db, "float32")

    @pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh"])
    def test_fused_activation_equals_the_separate_one(self, backend, activation, rng):
        x, w, b = (backend.asarray(floats(rng, shape)) for shape in ((7, 33), (19, 33), (19,)))
        separate = backend.activation_forward(activation, backend.linear_forward(x, w, b))
        fused = backend.linear_forward(x, w, b, activation=activation)
        rtol = 4 * np.finfo("float32").eps
        np.testing.assert_allclose(backend.to_numpy(fused), backend.to_numpy(separate), rtol=rtol, atol=1e-7)

    def test_out_is_overwritten_whole_and_inputs_stay(self, backend, rng):
        x, w, b = whole_numbers(rng, (3, 5)), whole_numbers(rng, (4, 5)), whole_numbers(rng, (4,))
        on_backend = [backend.asarray(a) for a in (x, w, b)]
        out = poisoned(backend, (3, 4), "float32")
        with unchanged(backend, *on_backend):
            assert backend.linear_forward(*on_backend, out=out) is out
            backend.linear_backward(backend.asarray(whole_numbers(rng, (3, 4))), *on_backend[:2])
        assert_exact(backend.to_numpy(out), reference.linear(x, w, b), "float32")

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        x, w, dy = whole_numbers(rng, (3, 5)), whole_numbers(rng, (4, 5)), whole_numbers(rng, (3, 4))
        expected = reference.linear_backward(dy, x, w)
        lies = zip(layouts(backend, x), layouts(backend, w), layouts(backend, dy), strict=True)
        for (_, xl), (_, wl), (_, dyl) in lies:
            assert_exact(backend.to_numpy(backend.linear_forward(xl, wl, None)), reference.linear(x, w), "float32")
            for actual, e in zip(backend.linear_backward(dyl, xl, wl), expected, strict=True):
                assert_exact(backend.to_numpy(actual), e, "float32")

    @pytest.mark.parametrize(
        ("x", "w", "b"), [((3, 5), (4, 6), None), ((3, 5), (4, 5), (5,)), ((5,), (4, 5), None), ((3, 5), (5,), None)]
    )
    def test_sizes_that_do_not_fit(self, backend, x, w, b):
        with pytest.raises(ShapeError, match="linear"):
            backend.linear_forward(backend.zeros(x), backend.zeros(w), None if b is None else backend.zeros(b))

    @pytest.mark.parametrize(
        ("dy", "x", "w"), [((3, 5), (3, 5), (4, 5)), ((2, 4), (3, 5), (4, 5)), ((3, 4), (3, 6), (4, 5))]
    )
    def test_gradients_that_do_not_fit(self, backend, dy, x, w):
        with pytest.raises(ShapeError, match="linear_backward"):
            backend.linear_backward(*(backend.zeros(shape) for shape in (dy, x, w)))

    def test_unknown_activation(self, backend):
        with pytest.raises(FastconvError, match=r"linear: activation must be one of relu, .* got 'swish'"):
            backend.linear_forward(backend.zeros((1, 1)), backend.zeros((1, 1)), None, activation="swish")
