"""Augmentation: what each step may do to an image, and that the same generator gives the same batch."""

import numpy as np
import pytest

from fastconv import data
from fastconv.data.resize import resize_rectangles
from fastconv.errors import ArgumentError, ShapeError

STEPS = [
    data.RandomHorizontalFlip(),
    data.RandomShift(2),
    data.RandomCrop(5, padding=1),
    data.RandomCrop((3, 4)),
    data.RandomResizedCrop((4, 3)),
    data.RandomContrast(0.5),
    data.RandomBrightness(0.5),
    data.Compose([data.RandomHorizontalFlip(), data.RandomShift(1), data.RandomContrast(), data.RandomBrightness()]),
]


def images(n=40, channels=3, height=5, width=6, dtype=np.float32):
    """Random images, no pixel 0, no two alike."""
    x = np.random.default_rng(7).uniform(0.1, 0.9, (n, channels, height, width)).astype(dtype)
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("step", STEPS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_step(step, dtype, channels):
    x = images(channels=channels, dtype=dtype)
    before = x.copy()
    y = step(x, generator())
    np.testing.assert_array_equal(x, before)
    assert y.dtype == dtype
    assert y.shape[:2] == x.shape[:2]
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert not np.shares_memory(x, y)
    other = step(np.ascontiguousarray(x), generator())
    np.testing.assert_array_equal(y, other)
    assert other.transpose(0, 2, 3, 1).flags.c_contiguous
    assert not np.array_equal(y, step(x, generator(1)))


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    x = images(400)
    y = data.RandomHorizontalFlip()(x, generator())
    mirrored = [np.array_equal(b, a[:, :, ::-1]) for a, b in zip(x, y, strict=True)]
    kept = [np.array_equal(b, a) for a, b in zip(x, y, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


@pytest.mark.parametrize(("p", "step"), [(0, 1), (1, -1)])
def test_flip_never_or_always(p, step):
    x = images()
    np.testing.assert_array_equal(data.RandomHorizontalFlip(p)(x, generator()), x[..., ::step])


def shifted(image, down, right):
    """`image` (C, H, W) moved, zeros where nothing came from."""
    out = np.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[:, row, column] = image[:, row - down, column - right]
    return out


def test_shift_reaches_every_distance_up_to_its_limit_and_no_other():
    x = images(600)
    distances = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    seen = []
    for image, moved in zip(x, data.RandomShift(2)(x, generator()), strict=True):
        seen += [d for d in distances if np.array_equal(shifted(image, *d), moved)]
    assert len(seen) == 600
    assert set(seen) == set(distances)


def test_shift_by_nothing_changes_nothing():
    np.testing.assert_array_equal(data.RandomShift(0)(images(), generator()), images())


def test_crop_takes_every_window_of_the_padded_image_and_no_other():
    x = images(600)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    places = [(top, left) for top in range(7 - 4 + 1) for left in range(8 - 6 + 1)]
    cropped = data.RandomCrop((4, 6), padding=1)(x, generator())
    assert cropped.shape == (600, 3, 4, 6)
    seen = []
    for image, window in zip(padded, cropped, strict=True):
        seen += [p for p in places if np.array_equal(image[:, p[0] : p[0] + 4, p[1] : p[1] + 6], window)]
    assert len(seen) == 600
    assert set(seen) == set(places)


def bilinear(image, row, column):
    """The value of `image` (H, W) at a place between its pixels' centres."""
    above, before = int(row), int(column)
    below, after = min(above + 1, image.shape[0] - 1), min(before + 1, image.shape[1] - 1)
    down, right = row - above, column - before
    upper = image[above, before] * (1 - right) + image[above, after] * right
    lower = image[below, before] * (1 - right) + image[below, after] * right
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (7, 2), (5, 6)])
def test_resized_rectangles_against_plain_loops(size):
    x = images(12, dtype=np.float64)
    rng = generator()
    height, width = rng.integers(1, 6, 12), rng.integers(1, 7, 12)
    top, left = rng.integers(0, 5 - height + 1), rng.integers(0, 6 - width + 1)
    y = resize_rectangles(x, top, left, height, width, size)
    assert y.shape == (12, 3, *size)
    for n, c, i, j in np.ndindex(y.shape):
        part = x[n, c, top[n] : top[n] + height[n], left[n] : left[n] + width[n]]
        row = min(max((i + 0.5) * height[n] / size[0] - 0.5, 0), height[n] - 1)
        column = min(max((j + 0.5) * width[n] / size[1] - 0.5, 0), width[n] - 1)
        assert y[n, c, i, j] == pytest.approx(bilinear(part, row, column), rel=1e-12)


def test_resized_crop_of_the_whole_image_is_the_image():
    step = data.RandomResizedCrop((5, 6), scale=(1, 1), ratio=(6 / 5, 6 / 5))
    np.testing.assert_array_equal(step(images(), generator()), images())


def test_resized_crop_keeps_to_its_shares_and_ratios():
    column, row = np.meshgrid(np.arange(100.0), np.arange(80.0))
    x = np.broadcast_to(np.stack([row, column]), (300, 2, 80, 100))
    y = data.RandomResizedCrop(2, scale=(0.1, 0.4), ratio=(0.5, 2))(x, generator())
    height = 2 * (y[:, 0, 1, 0] - y[:, 0, 0, 0])  # two samples stand half a rectangle apart
    width = 2 * (y[:, 1, 0, 1] - y[:, 1, 0, 0])
    share, ratio = height * width / 8000, width / height
    assert 0.09 < share.min() < 0.15
    assert 0.35 < share.max() < 0.41
    assert 0.48 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.1
    assert abs(np.log(ratio).mean()) < 0.1
    for start, extent, side in ((y[:, 0, 0, 0], height, 80), (y[:, 1, 0, 0], width, 100)):
        before = start + 0.5 - extent / 4  # the first sample stands a quarter of the rectangle in
        place = before / (side - extent)
        assert -0.01 < place.min() < 0.05
        assert 0.95 < place.max() < 1.01


def test_contrast_keeps_the_mean_and_scales_the_spread():
    x = images(200, dtype=np.float64) * 0.2 + 0.4
    y = data.RandomContrast(0.5)(x, generator())
    np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)), rtol=1e-12)
    factors = y.std(axis=(1, 2, 3)) / x.std(axis=(1, 2, 3))
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5


def test_brightness_scales_all_pixels_of_an_image_alike():
    x = images(200, dtype=np.float64) / 2
    ratio = data.RandomBrightness(0.5)(x, generator()) / x
    factors = ratio[:, 0, 0, 0]
    np.testing.assert_allclose(ratio, np.broadcast_to(factors[:, None, None, None], x.shape), rtol=1e-12)
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5


@pytest.mark.parametrize("step", [data.RandomContrast(1), data.RandomBrightness(1)], ids=repr)
def test_pixels_stay_from_0_to_1(step):
    y = step((images(200) > 0.5).astype(np.float32), generator())
    assert y.min() >= 0
    assert y.max() <= 1


def test_compose_applies_its_steps_in_order_with_one_generator():
    first, second = data.RandomShift(1), data.RandomBrightness()
    rng = generator()
    expected = second(first(images(), rng), rng)
    np.testing.assert_array_equal(data.Compose([first, second])(images(), generator()), expected)
    np.testing.assert_array_equal(data.Compose([])(images(), generator()), images())
    assert repr(data.Compose([first, second])) == "Compose([RandomShift(pixels=1), RandomBrightness(amount=0.2)])"


def test_augmented_batches_are_the_same_for_the_same_seed_epoch_and_batch():
    x, t = images(30), np.arange(30)
    options = {"seed": 4, "transform": STEPS[-1]}
    whole = list(data.batches(x, t, 8, epoch=2, **options))
    (again,) = data.batches(x, t, 8, epoch=2, skip=3, **options)
    np.testing.assert_array_equal(whole[3][0], again[0])
    np.testing.assert_array_equal(whole[3][1], again[1])
    other = {
        int(i): image
        for x_batch, t_batch in data.batches(x, t, 8, epoch=3, **options)
        for i, image in zip(t_batch, x_batch, strict=True)
    }
    changed = [
        not np.array_equal(image, other[int(i)])
        for x_batch, t_batch in whole
        for i, image in zip(t_batch, x_batch, strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize(
    ("step", "options", "text"),
    [
        (data.RandomHorizontalFlip, {"p": 1.5}, "p must be from 0 to 1, got 1.5"),
        (data.RandomHorizontalFlip, {"p": float("nan")}, "p must be from 0 to 1, got nan"),
        (data.RandomShift, {"pixels": -1}, "pixels must be at least 0, got -1"),
        (data.RandomShift, {"pixels": 1.5}, "pixels must be a whole number, got 1.5"),
        (data.RandomCrop, {"size": 0}, "size must be at least 1, got 0"),
        (data.RandomCrop, {"size": (4, 0)}, "size must be at least 1, got 0"),
        (data.RandomCrop, {"size": 4, "padding": -1}, "padding must be at least 0, got -1"),
        (data.RandomResizedCrop, {"size": 0}, "size must be at least 1, got 0"),
        (data.RandomResizedCrop, {"size": 4, "scale": (0, 1)}, r"scale must be .* got \(0, 1\)"),
        (data.RandomResizedCrop, {"size": 4, "scale": (0.5, 2)}, r"scale must be .* <= 1.0, got \(0.5, 2\)"),
        (data.RandomResizedCrop, {"size": 4, "ratio": (2, 1)}, r"ratio must be .* got \(2, 1\)"),
        (data.RandomContrast, {"amount": -0.1}, "amount must be from 0 to 1, got -0.1"),
        (data.RandomBrightness, {"amount": 2}, "amount must be from 0 to 1, got 2"),
    ],
)
def test_arguments_are_checked_when_a_step_is_made(step, options, text):
    with pytest.raises(ArgumentError, match=f"{step.__name__}: {text}"):
        step(**options)


@pytest.mark.parametrize("step", STEPS[:-1], ids=repr)
def test_steps_refuse_what_is_no_batch_of_images(step):
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\), got shape \(40, 784\)"):
        step(np.zeros((40, 784)), generator())


@pytest.mark.parametrize("step", [data.RandomContrast(), data.RandomBrightness()], ids=repr)
def test_light_needs_floating_point(step):
    with pytest.raises(ArgumentError, match="floating-point from 0 to 1, got uint8"):
        step(np.zeros((1, 1, 2, 2), np.uint8), generator())


def test_crop_larger_than_the_padded_image_is_refused():
    with pytest.raises(ShapeError, match=r"window \(8, 8\) is larger than the padded image \(7, 8\)"):
        data.RandomCrop(8, padding=1)(images(), generator())
