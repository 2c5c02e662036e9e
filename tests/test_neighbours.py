"""Nearest neighbours by L2 distance, their votes, and images that are equally far away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import neighbours
from fastconv.backends import select


def naive_distances(x, images):
    return np.array([[np.sqrt(((a - b).astype("float64") ** 2).sum()) for b in images] for a in x])


@pytest.fixture
def on_reference():
    with fc.use("reference"):
        yield


def test_distances(backend, rng):
    x, images = rng.integers(-4, 5, (3, 1, 2, 5)).astype("float32"), rng.integers(-4, 5, (6, 1, 2, 5)).astype("float32")
    with select.use(backend.name):
        np.testing.assert_allclose(neighbours.distances(x, images), naive_distances(x, images), rtol=1e-6)


def test_the_nearest_come_first(backend, rng):
    x, images = rng.random((5, 3, 4, 4), "float32"), rng.random((30, 3, 4, 4), "float32")
    with select.use(backend.name):
        places, lengths = neighbours.nearest(x, images, 4)
    wanted = naive_distances(x, images)
    np.testing.assert_array_equal(places, wanted.argsort(1)[:, :4])
    np.testing.assert_allclose(lengths, np.sort(wanted, 1)[:, :4], rtol=1e-6)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31), st.integers(1, 5))
def test_any_numbers_of_images(n, m, d, seed, chunk):
    rng = np.random.default_rng(seed)
    x, images = rng.integers(0, 3, (n, d)).astype("float64"), rng.integers(0, 3, (m, d)).astype("float64")
    k = int(rng.integers(1, m + 1))
    with fc.use("reference"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "CHUNK", chunk)
        places, lengths = neighbours.nearest(x, images, k)
    wanted = naive_distances(x, images)
    np.testing.assert_allclose(lengths, np.sort(wanted, 1)[:, :k], atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(wanted, places, 1), lengths, atol=1e-12)
    assert all(len(set(row)) == k for row in places.tolist())


def test_an_image_is_its_own_nearest_at_distance_0(on_reference, rng):
    images = rng.random((20, 1, 8, 8), "float32") + 100  # far from the origin, where squares cancel
    places, lengths = neighbours.nearest(images, images)
    np.testing.assert_array_equal(places[:, 0], np.arange(20))
    assert not lengths.any()
    assert np.isfinite(neighbours.distances(images, images)).all()


def test_the_vote():
    np.testing.assert_array_equal(neighbours.vote([[3, 1, 1], [2, 5, 7], [4, 6, 4], [1, 2, 2]]), [1, 2, 4, 2])
    np.testing.assert_array_equal(neighbours.vote([[1, 2, 2, 1], [2, 1, 1, 2]]), [1, 2])


def test_accuracy_counts_right_votes(on_reference):
    images, labels = np.array([[0.0], [1], [10], [11], [12]]), np.array([0, 0, 1, 1, 0])
    assert neighbours.accuracy([[0.4], [11.9]], [0, 1], images, labels, ks=(1, 3)) == [0.5, 1.0]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 3, 2)])
def test_equally_far_images_are_equally_far_and_within_0_and_1(shape, rng):
    image = rng.random(shape)
    others, distance = neighbours.equally_far(image)
    assert list(others) == ["shifted", "darkened", "occluded", "noisy"]
    for other in others.values():
        assert np.linalg.norm(other - image) == pytest.approx(distance, rel=1e-9)
        assert other.min() >= -1e-12
        assert other.max() <= 1 + 1e-12
    again, half = neighbours.equally_far(image, distance / 2)
    assert half == distance / 2
    assert np.linalg.norm(again["noisy"] - image) == pytest.approx(half)


def test_mistakes_are_named(on_reference):
    with pytest.raises(fc.ShapeError, match=r"nearest: two sets of images of one shape are needed, got \(2, 3\) and"):
        neighbours.nearest(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(fc.ArgumentError, match="k must be from 1 to the 2 images, got 3"):
        neighbours.nearest(np.zeros((2, 3)), np.zeros((2, 3)), 3)
    with pytest.raises(fc.ShapeError, match=r"labels must be \(N, k\)"):
        neighbours.vote([1, 2])
    with pytest.raises(fc.ArgumentError, match="the distance must be above 0 and at most"):
        neighbours.equally_far(np.full((1, 4, 4), 0.5), 100)
    with pytest.raises(fc.ArgumentError, match="at most 0"):
        neighbours.equally_far(np.zeros((1, 4, 4)))
    with pytest.raises(fc.ShapeError, match=r"from 0 to 1, got uint8 \(3, 4, 4\)"):
        neighbours.equally_far(np.zeros((3, 4, 4), "uint8"))
