"""The classic filters of the lectures, and what they make of an image."""

import numpy as np
import pytest
import reference

import fastconv as fc
from fastconv import filters
from fastconv.backends import select


def test_the_lectures_filters():
    np.testing.assert_array_equal(filters.classic("red", 3), [[[[1]], [[0]], [[0]]]])
    np.testing.assert_array_equal(filters.classic("edge"), [[[[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]]])
    np.testing.assert_array_equal(filters.classic("identity"), [[[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]])
    np.testing.assert_array_equal(filters.classic("right-sobel"), [[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
    vertical = np.zeros((7, 7))
    vertical[:, 3] = 1
    np.testing.assert_array_equal(filters.classic("vertical")[0, 0], vertical)
    np.testing.assert_array_equal(filters.classic("horizontal")[0, 0], vertical.T)
    assert {filters.classic(name, 3).dtype for name in filters.NAMES} == {np.dtype("float32")}


def test_sobel_filters_are_each_others_mirrors():
    left, right, top, bottom = (filters.classic(f"{side}-sobel")[0, 0] for side in ("left", "right", "top", "bottom"))
    np.testing.assert_array_equal(left, right[:, ::-1])
    np.testing.assert_array_equal(top, left.T)
    np.testing.assert_array_equal(bottom, top[::-1])


@pytest.mark.parametrize("name", filters.NAMES)
def test_what_a_filter_makes_of_a_colour_image(backend, name, rng):
    image = rng.integers(0, 9, (3, 10, 9)).astype("float32") * 3  # so that means over the channels are whole
    with select.use(backend.name):
        found = filters.apply(image, name)
    wanted = reference.conv2d(image[None].astype("float64"), filters.classic(name, 3).astype("float64"))[0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_filters_of_a_colour_image_read_its_mean(rng):
    image = rng.random((3, 8, 8))
    with fc.use("reference"):
        np.testing.assert_allclose(filters.apply(image, "identity"), image.mean(0)[1:-1, 1:-1], rtol=1e-6)
        np.testing.assert_array_equal(filters.apply(image, "green"), image[1])
        assert not filters.apply(np.ones((1, 5, 5), "uint8"), "edge").any()


def test_the_right_sobel_fires_where_it_gets_brighter_to_the_right():
    image = np.zeros((1, 5, 6))
    image[:, :, 3:] = 1
    with fc.use("reference"):
        right, left = filters.apply(image, "right-sobel"), filters.apply(image, "left-sobel")
    np.testing.assert_array_equal(right, [[0, 4, 4, 0]] * 3)
    np.testing.assert_array_equal(left, -right)


def test_mistakes_are_named():
    with pytest.raises(fc.ArgumentError, match=r"no filter 'blur'; choose one of red, .*, bottom-sobel"):
        filters.classic("blur")
    with pytest.raises(fc.ArgumentError, match="'red' picks one of three channels, the image has 1"):
        filters.classic("red", 1)
    with pytest.raises(fc.ShapeError, match=r"image must be \(C, H, W\), got shape \(4, 4\)"):
        filters.apply(np.zeros((4, 4)), "edge")
