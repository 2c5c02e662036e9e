"""Local response normalisation on every backend against the naive formula."""

import numpy as np
import pytest
import reference
from cases import floats, seeds
from checks import assert_exact, assert_within, is_channels_last, layouts, poisoned, unchanged
from eager_steps import eager
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import ArgumentError, DTypeError, ShapeError
from fastconv.geometry import LocalResponse

ALEXNET = LocalResponse(5, alpha=5e-4, beta=0.75, k=2.0)
RESPONSES = [
    ALEXNET, LocalResponse(1, alpha=2.0, beta=0.5), LocalResponse(2, alpha=1.0, k=0.5), LocalResponse(4, beta=1.75),
    LocalResponse(3, alpha=30.0, beta=3.0, k=1e-3), LocalResponse(99, alpha=9.0), LocalResponse(5, alpha=0.0),
]  # fmt: skip
SHAPES = [(1, 1), (3, 5), (2, 16, 1, 3), (2, 7, 4, 3), (3, 1, 2, 2), (1, 33, 5, 5), (2, 96, 6, 5), (2, 130, 3, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, s)) for s in SHAPES])
every_response = pytest.mark.parametrize("r", RESPONSES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def numbers(r):
    return r.size, r.alpha, r.beta, r.k


def allowed(r, dtype):
    """The relative error of d^-beta: beta times that of d, which is a sum of squares, and that of the power, whose
    exponent is rounded too (log d is below 20 here)."""
    taps = min(r.size, 130)
    return np.finfo(dtype).eps * (4 + r.beta * (taps + 4 + 20))


def check(backend, r, x, dy):
    y = backend.to_numpy(backend.local_response_norm_forward(backend.asarray(x), r))
    dx = backend.to_numpy(backend.local_response_norm_backward(backend.asarray(dy), backend.asarray(x), r))
    assert y.dtype == dx.dtype == x.dtype
    slack = allowed(r, x.dtype)
    wanted = reference.local_response_norm(x, *numbers(r))
    assert_within(y, wanted, slack * abs(wanted))
    # What the neighbours take away may be as large as what it is taken from: the error is one of both.
    own = abs(dy) * reference.local_denominators(x.astype("float64"), r.size, r.alpha, r.k) ** -r.beta
    taken = own - reference.local_response_norm_backward(abs(dy), abs(x), *numbers(r))
    assert_within(dx, reference.local_response_norm_backward(dy, x, *numbers(r)), 2 * slack * (own + taken))


class TestNumbers:
    @every_shape
    @every_response
    @every_dtype
    def test_forward_and_backward(self, backend, shape, r, dtype, rng):
        check(backend, r, 3 * floats(rng, shape, dtype), floats(rng, shape, dtype))

    @given(
        shape=st.tuples(*(st.integers(1, most) for most in (3, 70, 3, 3))), size=st.integers(1, 80),
        alpha=st.floats(0, 10), beta=st.floats(0.1, 3), k=st.floats(0.1, 10), seed=seeds,
    )  # fmt: skip
    def test_random_problems(self, backend, shape, size, alpha, beta, k, seed):
        rng = np.random.default_rng(seed)
        check(backend, LocalResponse(size, alpha, beta, k), floats(rng, shape), floats(rng, shape))

    def test_many_pixels(self, backend, rng):
        """More than one block of scratch, and more than one chunk."""
        shape = (3, 40, 23, 21)
        check(backend, ALEXNET, 3 * floats(rng, shape), floats(rng, shape))

    def test_by_hand(self, backend):
        """alpha / size = 1, beta = 1/2, k = 1: each over the root of 1 and the squares of itself and both sides."""
        x = np.array([[2, 1, 2, 0, 3, 4]], "float32") ** 0.5 * 2
        y = backend.local_response_norm_forward(backend.asarray(x), LocalResponse(3, alpha=3.0, beta=0.5))
        expected = x / np.sqrt([[13, 21, 13, 21, 29, 29]])
        np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=1e-6)

    def test_the_formula_of_alexnet(self, backend, rng):
        """Krizhevsky, Sutskever & Hinton 2012, section 3.3, as printed: the sum is not divided by n."""
        n, alpha, beta, k, N = 5, 1e-4, 0.75, 2, 11
        a = 100 * floats(rng, (2, N, 3, 2), "float64")
        b = np.empty_like(a)
        for i in range(N):
            squares = a[:, max(0, i - n // 2) : min(N - 1, i + n // 2) + 1] ** 2
            b[:, i] = a[:, i] / (k + alpha * squares.sum(1)) ** beta
        y = backend.local_response_norm_forward(backend.asarray(a), LocalResponse(n, n * alpha, beta, k))
        np.testing.assert_allclose(backend.to_numpy(y), b, rtol=1e-12)

    @pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e5, 1e15])
    def test_no_digits_are_lost_where_the_base_of_the_power_is_large_or_small(self, backend, scale, rng):
        r = LocalResponse(3, alpha=1.0, k=1e-35)
        x = (scale * (1 + rng.random((2, 33)))).astype("float32")
        y = backend.to_numpy(backend.local_response_norm_forward(backend.asarray(x), r))
        wanted = reference.local_response_norm(x, r.size, r.alpha, r.beta, np.float32(r.k))
        with np.errstate(under="ignore"):
            bits = np.spacing(wanted.astype("float32")).astype("float64")
        if scale > 1e-30:  # else the squares themselves lose digits
            assert_within(y, wanted, 8 * bits)
        assert np.isfinite(y).all()

    @every_dtype
    def test_special_values(self, backend, dtype):
        """An infinity makes itself NaN (infinity times 0) and its neighbours 0; a NaN makes its whole window NaN."""
        x = np.array([[1, 2, np.inf, 3, 4], [1, 2, 3, np.nan, 4], [1, -np.inf, 3, 4, 5]], dtype)
        y = backend.to_numpy(backend.local_response_norm_forward(backend.asarray(x), LocalResponse(3, alpha=1.0)))
        nan = np.nan
        kept = (1 * (1 + 5 / 3) ** -0.75, 4 * (1 + 25 / 3) ** -0.75)
        rest = (1 * (1 + 5 / 3) ** -0.75, 2 * (1 + 14 / 3) ** -0.75)
        last = (4 * (1 + 50 / 3) ** -0.75, 5 * (1 + 41 / 3) ** -0.75)
        expected = np.array([[kept[0], 0, nan, 0, kept[1]], [*rest, nan, nan, nan], [0, nan, 0, *last]])
        np.testing.assert_allclose(y, expected, rtol=1e-5)

    def test_zeros_stay_zero(self, backend):
        x = backend.zeros((2, 9, 3, 3))
        assert not backend.to_numpy(backend.local_response_norm_forward(x, ALEXNET)).any()
        assert not backend.to_numpy(backend.local_response_norm_backward(x, x, ALEXNET)).any()

    def test_no_images(self, backend):
        x = backend.zeros((0, 9, 3, 3))
        assert backend.local_response_norm_forward(x, ALEXNET).shape == (0, 9, 3, 3)
        assert backend.local_response_norm_backward(x, x, ALEXNET).shape == (0, 9, 3, 3)


class TestEffects:
    @every_shape
    def test_out_is_overwritten_whole_and_inputs_stay(self, backend, shape, rng):
        x, dy = backend.asarray(floats(rng, shape)), backend.asarray(floats(rng, shape))
        y, dx = poisoned(backend, shape, "float32"), poisoned(backend, shape, "float32")
        with unchanged(backend, x, dy):
            assert backend.local_response_norm_forward(x, ALEXNET, out=y) is y
            assert backend.local_response_norm_backward(dy, x, ALEXNET, out=dx) is dx
            fresh = backend.local_response_norm_forward(x, ALEXNET)
            fresh_dx = backend.local_response_norm_backward(dy, x, ALEXNET)
        for a, b in ((y, fresh), (dx, fresh_dx)):
            assert_exact(backend.to_numpy(a), backend.to_numpy(b), "float32")
            assert np.isfinite(backend.to_numpy(a)).all()

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        x, dy = floats(rng, (2, 6, 4, 3)), floats(rng, (2, 6, 4, 3))
        for (_, xl), (_, dyl) in zip(layouts(backend, x), layouts(backend, dy), strict=True):
            y = backend.local_response_norm_forward(xl, ALEXNET)
            dx = backend.local_response_norm_backward(dyl, xl, ALEXNET)
            assert is_channels_last(y)
            assert is_channels_last(dx)
            np.testing.assert_allclose(
                backend.to_numpy(y), reference.local_response_norm(x, *numbers(ALEXNET)), rtol=1e-6
            )
            wanted = reference.local_response_norm_backward(dy, x, *numbers(ALEXNET))
            np.testing.assert_allclose(backend.to_numpy(dx), wanted, rtol=1e-5)


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [{"size": 0}, {"size": 5, "alpha": -1e-4}, {"size": 5, "beta": 0}, {"size": 5, "k": 0}, {"size": 5, "k": 1e-40},
         {"size": 5, "alpha": float("nan")}, {"size": 5, "beta": float("inf")}, {"size": 2.5}, {"size": "5"}],
    )  # fmt: skip
    def test_constants_that_cannot_be(self, options):
        for make in (LocalResponse, fc.nn.LocalResponseNorm):
            with pytest.raises(ArgumentError, match="local_response_norm: "):
                make(**options)

    @pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (2, 3, 4, 5, 6), (2, 0, 3, 3)])
    def test_shapes(self, backend, shape):
        with pytest.raises(ShapeError, match=r"local_response_norm: x must be \(N, C, H, W\) or \(N, C\)"):
            backend.local_response_norm_forward(backend.zeros(shape), ALEXNET)

    def test_arrays_that_do_not_fit(self, backend):
        x = backend.zeros((2, 3, 4, 5))
        with pytest.raises(ShapeError, match=r"dy must have shape \(2, 3, 4, 5\), got \(2, 3, 4, 6\)"):
            backend.local_response_norm_backward(backend.zeros((2, 3, 4, 6)), x, ALEXNET)
        with pytest.raises(DTypeError, match=r"dy float64"):
            backend.local_response_norm_backward(backend.zeros(x.shape, "float64"), x, ALEXNET)
        with pytest.raises(DTypeError, match=r"x int64"):
            backend.local_response_norm_forward(backend.zeros(x.shape, "int64"), ALEXNET)


class TestCompiled:
    def test_a_step_with_normalisation_is_the_eager_one(self, backend, rng):
        x, t = floats(rng, (6, 3, 9, 9)), rng.integers(0, 4, 6)
        with fc.use(backend.name):
            losses = [self.losses(compiled, x, t) for compiled in (False, True)]
        np.testing.assert_allclose(*losses, rtol=1e-5)

    @staticmethod
    def losses(compiled, x, t):
        fc.manual_seed(1)
        model = fc.nn.Sequential(
            fc.nn.Conv2d(3, 7, 3), fc.nn.ReLU(), fc.nn.LocalResponseNorm(5, alpha=0.5, k=2.0), fc.nn.MaxPool2d(2),
            fc.nn.Flatten(), fc.nn.Linear(63, 4),
        )  # fmt: skip
        optimizer, loss = fc.optim.SGD(model.parameters(), lr=0.1), fc.nn.CrossEntropyLoss()
        step = fc.compile(model, loss, optimizer) if compiled else eager(model, loss, optimizer)
        return [float(step(x, t)) for _ in range(6)]


@pytest.mark.parametrize("option", ["alpha", "beta", "k"])
def test_options_that_are_no_numbers_are_refused(option):
    with pytest.raises(fc.ArgumentError, match="alpha, beta and k must be numbers"):
        fc.nn.LocalResponseNorm(3, **{option: "a"})
