"""Activations, dropout and softmax cross-entropy on every backend against the naive formulas."""

import numpy as np
import pytest
import reference
from cases import floats, whole_numbers
from checks import assert_exact, is_channels_last, layouts, poisoned, unchanged

from fastconv.backends.gpu import GpuBackend
from fastconv.errors import ArgumentError, DTypeError, ShapeError

FLOATS = ("float32", "float64")
KINDS = ("relu", "leaky_relu", "sigmoid", "tanh")
SHAPES = [(1,), (7,), (3, 5), (2, 3, 4, 5), (1, 17, 3, 1), (4, 1, 65, 3), (70_001,)]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, s)) for s in SHAPES])
every_dtype = pytest.mark.parametrize("dtype", FLOATS)

# A handful of roundings: exp and tanh may be polynomials of our own.
ROUNDINGS = 8


def close(actual, expected, dtype, roundings=ROUNDINGS):
    assert actual.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=roundings * eps, atol=eps**2, equal_nan=True)


class TestActivations:
    @every_kind
    @every_shape
    @every_dtype
    def test_forward_and_backward(self, backend, kind, shape, dtype, rng):
        x, dy = 4 * floats(rng, shape, dtype), floats(rng, shape, dtype)
        y = backend.activation_forward(kind, backend.asarray(x))
        close(backend.to_numpy(y), reference.activation(kind, x), dtype)
        dx = backend.to_numpy(backend.activation_backward(kind, backend.asarray(dy), y))
        # sigmoid and tanh: 1 - y and 1 - y^2 lose digits where y is close to 1, so the error is one of y, not of dx.
        slack = ROUNDINGS * np.finfo(dtype).eps * (1 + abs(dy))
        assert dx.dtype == dtype
        assert np.all(abs(dx - reference.activation_backward(kind, dy, x)) <= slack)

    @every_kind
    @every_dtype
    def test_special_values(self, backend, kind, dtype):
        tiny, large = np.finfo(dtype).tiny, np.finfo(dtype).max
        x = np.array([0, -0.0, tiny, -tiny, 1e-30, 20, -20, 90, -90, 800, -800, large, -large, np.inf, -np.inf, np.nan])
        x = x.astype(dtype)
        y = backend.to_numpy(backend.activation_forward(kind, backend.asarray(x)))
        with np.errstate(over="ignore"):
            expected = reference.activation(kind, x).astype(dtype)
        np.testing.assert_allclose(y, expected, rtol=ROUNDINGS * np.finfo(dtype).eps, atol=2 * tiny, equal_nan=True)

    @pytest.mark.parametrize("kind", ["relu", "leaky_relu"])
    def test_gradient_where_the_input_is_zero_or_not_a_number(self, backend, kind):
        x, dy = np.array([0, -0.0, np.nan, -1, 1], "float32"), np.array([2, 3, 5, 7, 11], "float32")
        y = backend.activation_forward(kind, backend.asarray(x))
        dx = backend.to_numpy(backend.activation_backward(kind, backend.asarray(dy), y))
        close(dx, reference.activation_backward(kind, dy, x), "float32")

    @pytest.mark.parametrize("slope", [0.01, 0.2, 1.0])
    def test_slope_of_leaky_relu(self, backend, slope, rng):
        x, dy = floats(rng, (5, 7)), floats(rng, (5, 7))
        y = backend.activation_forward("leaky_relu", backend.asarray(x), slope=slope)
        close(backend.to_numpy(y), reference.activation("leaky_relu", x, slope), "float32")
        dx = backend.activation_backward("leaky_relu", backend.asarray(dy), y, slope=slope)
        close(backend.to_numpy(dx), reference.activation_backward("leaky_relu", dy, x, slope), "float32")

    @every_kind
    @every_shape
    def test_out_is_overwritten_whole_and_inputs_stay(self, backend, kind, shape, rng):
        x, dy = backend.asarray(floats(rng, shape)), backend.asarray(floats(rng, shape))
        y, dx = poisoned(backend, shape, "float32"), poisoned(backend, shape, "float32")
        with unchanged(backend, x, dy):
            assert backend.activation_forward(kind, x, out=y) is y
            assert backend.activation_backward(kind, dy, y, out=dx) is dx
            fresh_y = backend.activation_forward(kind, x)
            fresh_dx = backend.activation_backward(kind, dy, fresh_y)
        assert_exact(backend.to_numpy(y), backend.to_numpy(fresh_y), "float32")
        assert_exact(backend.to_numpy(dx), backend.to_numpy(fresh_dx), "float32")
        assert np.isfinite(backend.to_numpy(dx)).all()

    @every_kind
    def test_in_place(self, backend, kind, rng):
        """`out` may be the input: every element is read before it is written."""
        values = floats(rng, (3, 4, 5, 6))
        x = backend.asarray(values.copy())
        expected = backend.to_numpy(backend.activation_forward(kind, x)).copy()
        backend.activation_forward(kind, x, out=x)
        assert_exact(backend.to_numpy(x), expected, "float32")

    @every_kind
    def test_inputs_may_lie_anyhow_in_memory(self, backend, kind, rng):
        values, gradient = floats(rng, (2, 3, 4, 6)), floats(rng, (2, 3, 4, 6))
        expected = reference.activation(kind, values)
        for (_, x), (_, dy) in zip(layouts(backend, values), layouts(backend, gradient), strict=True):
            y = backend.activation_forward(kind, x)
            assert is_channels_last(y)
            close(backend.to_numpy(y), expected, "float32")
            for _, same_y in layouts(backend, backend.to_numpy(y)):
                dx = backend.to_numpy(backend.activation_backward(kind, dy, same_y))
                np.testing.assert_allclose(dx, reference.activation_backward(kind, gradient, values), atol=2e-6)

    def test_unknown_kind(self, backend):
        with pytest.raises(
            ArgumentError, match=r"activation must be one of relu, leaky_relu, sigmoid, tanh, got 'gelu'"
        ):
            backend.activation_forward("gelu", backend.zeros((3,)))

    def test_sizes_and_types_that_do_not_fit(self, backend):
        with pytest.raises(ShapeError, match=r"relu: .*\(3,\).*\(4,\)|relu: .*\(4,\).*\(3,\)"):
            backend.activation_backward("relu", backend.zeros((4,)), backend.zeros((3,)))
        with pytest.raises(DTypeError, match=r"relu: .*float"):
            backend.activation_backward("relu", backend.zeros((3,), "float64"), backend.zeros((3,)))
        with pytest.raises(DTypeError, match=r"relu: .*int64"):
            backend.activation_forward("relu", backend.zeros((3,), "int64"))


class TestDropout:
    @every_shape
    @every_dtype
    def test_the_draws_of_splitmix64(self, backend, shape, dtype, rng):
        x = 1 + abs(floats(rng, shape if shape != (70_001,) else (5_001,), dtype))
        y = backend.to_numpy(backend.dropout(backend.asarray(x), 0.3, 12345))
        expected = reference.dropout(x, 0.3, 12345)
        np.testing.assert_array_equal(y == 0, expected == 0)
        close(y, expected, dtype, 2)

    @pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 + 7, 2**63 - 1, 2**64 - 1])
    @pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.999])
    def test_any_seed_and_probability(self, backend, seed, p):
        x = np.ones((40, 50), "float32")
        y = backend.to_numpy(backend.dropout(backend.asarray(x), p, seed))
        close(y, reference.dropout(x, p, seed), "float32", 2)

    def test_the_share_that_is_kept(self, backend):
        """Of 90,000 draws at p = 0.3 a share within five standard deviations of 0.7 is kept, and the mean stays."""
        y = backend.to_numpy(backend.dropout(backend.asarray(np.ones((300, 300), "float32")), 0.3, 7))
        deviation = (0.3 * 0.7 / y.size) ** 0.5
        assert abs((y != 0).mean() - 0.7) < 5 * deviation
        assert abs(y.mean() - 1) < 5 * deviation / 0.7

    def test_draws_depend_on_the_place_in_memory_not_on_the_layout_given(self, backend, rng):
        values = 1 + abs(floats(rng, (2, 3, 4, 6)))
        expected = reference.dropout(values, 0.5, 3)
        for _, x in layouts(backend, values):
            with unchanged(backend, x):
                y = backend.dropout(x, 0.5, 3)
            assert is_channels_last(y)
            close(backend.to_numpy(y), expected, "float32", 2)

    def test_out_is_overwritten_whole(self, backend, rng):
        x = backend.asarray(floats(rng, (2, 3, 4, 5)))
        out = poisoned(backend, (2, 3, 4, 5), "float32")
        assert backend.dropout(x, 0.5, 1, out=out) is out
        assert_exact(backend.to_numpy(out), backend.to_numpy(backend.dropout(x, 0.5, 1)), "float32")

    @pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
    def test_impossible_probability(self, backend, p):
        with pytest.raises(ArgumentError, match=r"dropout: p must be at least 0 and below 1, got"):
            backend.dropout(backend.zeros((3,)), p, 0)


class TestSoftmaxCrossEntropy:
    @pytest.mark.parametrize(("n", "classes"), [(1, 1), (1, 2), (3, 10), (100, 10), (7, 1000), (65, 3)])
    @every_dtype
    def test_loss_probabilities_and_gradient(self, backend, n, classes, dtype, rng):
        logits, labels = 5 * floats(rng, (n, classes), dtype), rng.integers(0, classes, n)
        on_backend, places = backend.asarray(logits), backend.asarray(labels)
        with unchanged(backend, on_backend, places):
            loss, prob = backend.softmax_cross_entropy_forward(on_backend, places)
            d = backend.softmax_cross_entropy_backward(prob, places)
        expected_loss, expected_prob = reference.softmax_cross_entropy(logits, labels)
        eps = np.finfo(dtype).eps
        assert backend.to_numpy(loss).shape == ()
        assert backend.to_numpy(loss).dtype == dtype
        np.testing.assert_allclose(backend.to_numpy(loss), expected_loss, rtol=(classes + 20) * eps, atol=20 * eps)
        close(backend.to_numpy(prob), expected_prob, dtype, classes + 40)
        expected_d = reference.softmax_cross_entropy_backward(expected_prob, labels)
        np.testing.assert_allclose(backend.to_numpy(d), expected_d, rtol=0, atol=(classes + 40) * eps)

    @every_dtype
    def test_large_logits_do_not_overflow(self, backend, dtype):
        large = np.finfo(dtype).max / 4
        logits = np.array([[large, 0, -large], [-large, -large, -large], [1e4, 1e4, 0]], dtype)
        labels = np.array([0, 2, 1])
        loss, prob = backend.softmax_cross_entropy_forward(backend.asarray(logits), backend.asarray(labels))
        expected_loss, expected_prob = reference.softmax_cross_entropy(logits, labels)
        np.testing.assert_allclose(backend.to_numpy(loss), expected_loss, rtol=1e-6)
        np.testing.assert_allclose(backend.to_numpy(prob), expected_prob, rtol=1e-6)

    def test_not_a_number_shows_in_the_loss(self, backend):
        logits = np.zeros((4, 3), "float32")
        logits[2, 1] = np.nan
        loss, prob = backend.softmax_cross_entropy_forward(backend.asarray(logits), backend.asarray(np.zeros(4, int)))
        assert np.isnan(backend.to_numpy(loss))
        assert np.isnan(backend.to_numpy(prob)[2]).all()
        assert not np.isnan(backend.to_numpy(prob)[[0, 1, 3]]).any()

    def test_rows_of_probabilities_add_up_to_one(self, backend, rng):
        logits, labels = 30 * floats(rng, (50, 10)), np.zeros(50, int)
        _, prob = backend.softmax_cross_entropy_forward(backend.asarray(logits), backend.asarray(labels))
        np.testing.assert_allclose(backend.to_numpy(prob).sum(axis=1), 1, rtol=1e-6)

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        logits, labels = whole_numbers(rng, (6, 4)), rng.integers(0, 4, 6)
        expected_loss, expected_prob = reference.softmax_cross_entropy(logits, labels)
        backwards = backend.asarray(labels[::-1].copy())[::-1]
        for _, given in layouts(backend, logits):
            loss, prob = backend.softmax_cross_entropy_forward(given, backwards)
            np.testing.assert_allclose(backend.to_numpy(loss), expected_loss, rtol=1e-6)
            np.testing.assert_allclose(backend.to_numpy(prob), expected_prob, rtol=1e-5)

    @pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64"])
    def test_labels_of_any_whole_number_type(self, backend, kind, rng):
        logits, labels = floats(rng, (5, 4)), np.array([0, 3, 1, 2, 3], kind)
        loss, prob = backend.softmax_cross_entropy_forward(backend.asarray(logits), backend.asarray(labels))
        np.testing.assert_allclose(
            backend.to_numpy(loss), reference.softmax_cross_entropy(logits, labels)[0], rtol=1e-6
        )
        assert backend.to_numpy(backend.softmax_cross_entropy_backward(prob, backend.asarray(labels))).shape == (5, 4)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (np.array([0, 1]), ShapeError, r"labels must have shape \(3,\).*got \(2,\)"),
            (np.array([[0], [1], [2]]), ShapeError, r"labels must have shape \(3,\).*got \(3, 1\)"),
            (np.array([0.0, 1.0, 2.0]), DTypeError, "labels must be whole numbers, got float64"),
        ],
    )
    def test_impossible_labels(self, backend, labels, error, message):
        logits = backend.zeros((3, 3))
        with pytest.raises(error, match=message):
            backend.softmax_cross_entropy_forward(logits, backend.asarray(labels))
        with pytest.raises(error, match=message):
            backend.softmax_cross_entropy_backward(logits, backend.asarray(labels))

    @pytest.mark.parametrize("wrong", [3, -1, 2**40, -(2**62)])
    def test_labels_that_are_no_class(self, backend, wrong, rng):
        """Refused where labels lie in main memory; on a GPU, which nobody waits for, the loss and the row are NaN."""
        logits, labels = backend.asarray(floats(rng, (3, 3))), backend.asarray(np.array([0, wrong, 2]))
        if not isinstance(backend, GpuBackend):
            message = f"labels must be from 0 to 2, got {min(0, wrong)} to {max(2, wrong)}"
            with pytest.raises(ArgumentError, match=message):
                backend.softmax_cross_entropy_forward(logits, labels)
            with pytest.raises(ArgumentError, match=message):
                backend.softmax_cross_entropy_backward(logits, labels)
            return
        loss, prob = backend.softmax_cross_entropy_forward(logits, labels)
        d = backend.to_numpy(backend.softmax_cross_entropy_backward(prob, labels))
        assert np.isnan(backend.to_numpy(loss))
        assert np.isfinite(backend.to_numpy(prob)).all()
        np.testing.assert_array_equal(np.isnan(d), [[False] * 3, [True] * 3, [False] * 3])

    @pytest.mark.parametrize("shape", [(3,), (3, 3, 1), (3, 3, 1, 1)])
    def test_logits_without_two_axes(self, backend, shape):
        with pytest.raises(ShapeError, match="softmax_cross_entropy: logits"):
            backend.softmax_cross_entropy_forward(backend.zeros(shape), backend.zeros((3,), "int64"))
