"""k-max pooling on every backend against sorting row by row."""

import numpy as np
import pytest
import reference
from cases import distinct, floats, seeds, whole_numbers
from checks import assert_exact, is_channels_last, layouts, poisoned, unchanged
from eager_steps import eager
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import ArgumentError, DTypeError, ShapeError

# (shape, k, axis)
PROBLEMS = [
    ((7,), 3, 0), ((3, 5), 1, 1), ((4, 9), 9, -1), ((6, 2), 4, 0), ((2, 3, 8), 3, -1), ((2, 3, 8), 2, 1),
    ((2, 3, 4, 9), 4, -1), ((2, 3, 9, 4), 4, 2), ((2, 17, 3, 2), 5, 1), ((5, 3, 2, 2), 2, 0), ((2, 1, 1, 40), 7, 3),
    ((2, 2, 3, 3, 6), 2, -1), ((3, 40, 11, 60), 5, 3),
]  # fmt: skip
every_problem = pytest.mark.parametrize(("shape", "k", "axis"), PROBLEMS, ids=lambda v: str(v).replace(" ", ""))


def check(backend, x, k, axis, rng):
    y, places = backend.k_max_forward(backend.asarray(x), k, axis)
    expected, at = reference.k_max(x, k, axis)
    assert_exact(backend.to_numpy(y), expected, x.dtype)
    assert_exact(backend.to_numpy(places), at, "int32")
    dy = whole_numbers(rng, expected.shape, x.dtype)
    dx = backend.to_numpy(backend.k_max_backward(backend.asarray(dy), places, x.shape[axis], axis))
    assert_exact(dx, reference.k_max_backward(dy, at, x.shape[axis], axis), x.dtype)


class TestValues:
    @every_problem
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_distinct_values(self, backend, shape, k, axis, dtype, rng):
        check(backend, distinct(rng, shape, dtype), k, axis, rng)

    @every_problem
    def test_first_of_equal_values_are_taken(self, backend, shape, k, axis, rng):
        check(backend, whole_numbers(rng, shape, top=1), k, axis, rng)

    @every_problem
    @pytest.mark.parametrize("share", [0.2, 1.0])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_special_values(self, backend, shape, k, axis, value, share, rng):
        x = whole_numbers(rng, shape, top=3)
        x[rng.random(shape) < share] = value
        check(backend, x, k, axis, rng)

    @given(
        shape=st.lists(st.integers(1, 9), min_size=1, max_size=4), axis=st.integers(0, 3), k=st.integers(1, 9),
        top=st.sampled_from([1, 4, 100]), seed=seeds,
    )  # fmt: skip
    def test_random_problems(self, backend, shape, axis, k, top, seed):
        axis %= len(shape)
        rng = np.random.default_rng(seed)
        check(backend, whole_numbers(rng, tuple(shape), top=top), min(k, shape[axis]), axis, rng)

    def test_by_hand(self, backend):
        x = np.array([[3, 9, 1, 9, 7, 8], [5, 5, 5, 5, 5, 5]], "float32")
        y, places = (backend.to_numpy(a) for a in backend.k_max_forward(backend.asarray(x), 3, 1))
        assert y.tolist() == [[9, 9, 8], [5, 5, 5]]
        assert places.tolist() == [[1, 3, 5], [0, 1, 2]]

    def test_no_images(self, backend):
        y, places = backend.k_max_forward(backend.zeros((0, 3, 2, 5)), 2, -1)
        assert y.shape == places.shape == (0, 3, 2, 2)
        assert backend.k_max_backward(y, places, 5, -1).shape == (0, 3, 2, 5)


class TestEffects:
    @every_problem
    def test_out_is_overwritten_whole_and_inputs_stay(self, backend, shape, k, axis, rng):
        x = backend.asarray(floats(rng, shape))
        y, places = backend.k_max_forward(x, k, axis)
        own = poisoned(backend, y.shape, "float32"), poisoned(backend, y.shape, "int32")
        dx = poisoned(backend, shape, "float32")
        with unchanged(backend, x, y, places):
            assert backend.k_max_forward(x, k, axis, out=own)[0] is own[0]
            assert backend.k_max_backward(y, places, shape[axis], axis, out=dx) is dx
            fresh = backend.k_max_backward(y, places, shape[axis], axis)
        for a, b in ((own[0], y), (own[1], places), (dx, fresh)):
            assert_exact(backend.to_numpy(a), backend.to_numpy(b), a.dtype)

    def test_inputs_may_lie_anyhow_in_memory(self, backend, rng):
        x = distinct(rng, (2, 3, 4, 6))
        expected, at = reference.k_max(x, 4, 3)
        back = reference.k_max_backward(expected, at, 6, 3)
        lies = zip(layouts(backend, x), layouts(backend, expected.astype("float32")), strict=True)
        for (_, xl), (_, dyl) in lies:
            y, places = backend.k_max_forward(xl, 4, 3)
            assert is_channels_last(y)
            assert is_channels_last(places)
            assert_exact(backend.to_numpy(y), expected, "float32")
            assert_exact(backend.to_numpy(backend.k_max_backward(dyl, places, 6, 3)), back, "float32")

    def test_places_outside_of_the_row_have_no_effect(self, backend):
        places = backend.asarray(np.array([[-1, 5, 2**31 - 1]], "int32"))
        dx = backend.k_max_backward(backend.asarray(np.ones((1, 3), "float32")), places, 5, 1)
        assert not backend.to_numpy(dx).any()


class TestRefusals:
    def test_more_values_than_there_are(self, backend):
        with pytest.raises(
            ShapeError, match=r"k_max: 6 values cannot be taken from 5  \(x \(2, 3, 4, 5\), k=6, axis=3"
        ):
            backend.k_max_forward(backend.zeros((2, 3, 4, 5)), 6, -1)
        with pytest.raises(ShapeError, match=r"k_max_backward: 3 values cannot come from 2"):
            backend.k_max_backward(backend.zeros((2, 3)), backend.zeros((2, 3), "int32"), 2, 1)

    @pytest.mark.parametrize(("k", "axis"), [(0, -1), (-1, -1), (1.5, -1), (1, 2), (1, -3), (1, 0.5)])
    def test_arguments_that_cannot_be(self, backend, k, axis):
        with pytest.raises(ArgumentError, match="k_max: "):
            backend.k_max_forward(backend.zeros((2, 3)), k, axis)

    def test_types_and_shapes(self, backend):
        with pytest.raises(DTypeError, match="x int64"):
            backend.k_max_forward(backend.zeros((2, 3), "int64"), 1, 1)
        with pytest.raises(DTypeError, match="places must be int32, got int64"):
            backend.k_max_backward(backend.zeros((2, 3)), backend.zeros((2, 3), "int64"), 4, 1)
        with pytest.raises(ShapeError, match=r"places must have shape \(2, 3\), got \(2, 2\)"):
            backend.k_max_backward(backend.zeros((2, 3)), backend.zeros((2, 2), "int32"), 4, 1)

    @pytest.mark.parametrize("k", [0, -2, "3", 1.5])
    def test_layers_that_cannot_be(self, k):
        with pytest.raises(ArgumentError, match="KMaxPool: k must be"):
            fc.nn.KMaxPool(k)


class TestLayer:
    def test_trains_and_compiles(self, backend, rng):
        """Sentences as maps, pooled along time; a compiled step is the eager one."""
        x, t = floats(rng, (5, 1, 4, 12)), rng.integers(0, 3, 5)
        with fc.use(backend.name):
            losses = [self.losses(compiled, x, t) for compiled in (False, True)]
        np.testing.assert_allclose(*losses, rtol=1e-5)

    @staticmethod
    def losses(compiled, x, t):
        fc.manual_seed(2)
        model = fc.nn.Sequential(
            fc.nn.Conv2d(1, 6, (1, 3), padding="same"), fc.nn.KMaxPool(np.int64(5)), fc.nn.Tanh(), fc.nn.Flatten(),
            fc.nn.Linear(120, 3),
        )  # fmt: skip
        optimizer, loss = fc.optim.SGD(model.parameters(), lr=0.1), fc.nn.CrossEntropyLoss()
        step = fc.compile(model, loss, optimizer) if compiled else eager(model, loss, optimizer)
        return [float(step(x, t)) for _ in range(5)]
