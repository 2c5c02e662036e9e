"""The pictures that explain convolution: what is computed for them, what is drawn, and what is written."""

import io

import numpy as np
import pytest
import reference
from pictures import is_png, pictures, shown, texts

import fastconv as fc
from fastconv import plots
from fastconv.plots.gif import encoded
from fastconv.plots.sliding import LECTURES_POOL_X, LECTURES_W, LECTURES_X
from fastconv.plots.templates import template_images
from fastconv.plots.walk import MINUS, filter_walk, pool_walk, size_rule

pytest.importorskip("matplotlib")
Pillow = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        fc.manual_seed(3)
        yield


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written, instead of PNG files."""
    figures = []
    monkeypatch.setattr(plots.canvas, "finish", lambda figure, path: figures.append(figure))
    return figures


# Filters --------------------------------------------------------------------------------------------------------------


def test_a_photograph_beside_its_filtered_maps(drawn, rng):
    image = rng.random((3, 12, 16))
    plots.filtered(image, path="unused.png")
    photo, red, edge, sobel, *weights = pictures(drawn[0])
    np.testing.assert_array_equal(photo, image.transpose(1, 2, 0))
    np.testing.assert_allclose(red, image[0], rtol=1e-6)
    grey = image.mean(0)[None, None]
    for found, name in ((edge, "edge"), (sobel, "right-sobel")):
        wanted = reference.conv2d(grey, fc.filters.classic(name).astype("float64"))[0, 0]
        np.testing.assert_allclose(found, np.clip(wanted / np.percentile(wanted, 99), 0, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(weights[1], fc.filters.classic("edge")[0, 0])
    assert [axes.get_title() for axes in drawn[0].axes[:4]] == ["photograph", "red", "edge", "right-sobel"]
    assert {"1·R", "0·B", "8", "-2"} <= texts(drawn[0])


def test_a_grey_image_has_no_red(drawn, rng):
    plots.filtered(rng.random((1, 8, 8)), path="unused.png")
    assert [axes.get_title() for axes in drawn[0].axes[:4]] == ["image", "identity", "edge", "right-sobel"]
    with pytest.raises(fc.ArgumentError, match="'red' picks one of three channels"):
        plots.filtered(rng.random((1, 8, 8)), ["red"], "unused.png")


def test_white_is_what_a_white_image_gives(drawn):
    plots.filtered(np.full((1, 9, 9), 0.25), ["vertical"], "unused.png")
    np.testing.assert_allclose(pictures(drawn[0])[1], 0.25)


# The filter's walk ----------------------------------------------------------------------------------------------------


def test_the_lectures_example_with_stride_1_and_2():
    assert ["".join(map(str, row)) for row in LECTURES_X[:3]] == ["1230123", "0123012", "3012301"]
    one, two = (filter_walk(LECTURES_X, LECTURES_W, stride=s) for s in (1, 2))
    np.testing.assert_array_equal(one.y[0], [15, 16, 17, 6, 15])
    np.testing.assert_array_equal(two.y, [[15, 17, 15], [17, 15, 17], [15, 17, 15]])


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), ((1, 2), (0, 1, 2, 0), 2)])
def test_every_position_shows_the_window_that_makes_its_output(stride, padding, dilation, rng):
    x, w = rng.integers(-3, 4, (5, 6)), rng.integers(-3, 4, (3, 2))
    walk = filter_walk(x, w, stride=stride, padding=padding, dilation=dilation)
    places = []
    for position in walk.positions():
        assert (walk.window(position)[0] * w).sum() == walk.y[position.place]
        places.append(position.place)
    assert places == list(np.ndindex(walk.y.shape))


def test_channels_are_added_up(monkeypatch, tmp_path, rng):
    seen = []
    monkeypatch.setattr(plots.sliding, "_pixels", lambda figure: seen.append(figure) or np.zeros((4, 4, 3), "uint8"))
    x, w = rng.integers(0, 4, (3, 4, 4)), rng.integers(0, 4, (3, 3, 3))
    assert plots.sliding_window(tmp_path / "a.gif", x, w) == 4
    sums = (x[:, :3, :3] * w).sum((1, 2))
    assert f"{sums[0]} + {sums[1]} + {sums[2]} = {sums.sum()}" in texts(seen[0])
    assert len(seen[0].axes[0].images) == 3 + 3 + 1


def test_the_lectures_pooling():
    walk = pool_walk(LECTURES_POOL_X)
    np.testing.assert_array_equal(walk.y, [[6, 8], [5, 3]])
    assert [walk.window(p).max() for p in walk.positions()] == [6, 8, 5, 3]
    padded = pool_walk([[-1.0]], 2, stride=1, padding=1)
    assert all(padded.window(p).max() == -1 == padded.y[p.place] for p in padded.positions())


def test_the_size_rule_in_words():
    def rule(**options):
        return size_rule(filter_walk(np.zeros((7, 6)), np.zeros((3, 3)), **options).geometry, "H").replace(MINUS, "-")

    assert rule() == "(7 - 3) / 1 + 1 = 5"
    assert rule(stride=2, padding=1) == "(7 + 2·1 - 3) / 2 + 1 = 4"
    assert rule(stride=3) == "⌊(7 - 3) / 3⌋ + 1 = 2"
    assert rule(padding=(0, 1, 0, 0), dilation=2) == "(7 + 0 + 1 - 5) / 1 + 1 = 4"


def test_the_animation_has_a_picture_for_each_position(tmp_path):
    count = plots.sliding_window(tmp_path / "a.gif", np.eye(4), [[1, -1], [0.5, 0]], stride=2, milliseconds=100)
    with Pillow.open(tmp_path / "a.gif") as gif:
        assert (count, gif.n_frames, gif.info["loop"]) == (4, 4, 0)
        seen, times = set(), []
        for i in range(4):
            gif.seek(i)
            times.append(gif.info["duration"])
            seen.add(gif.convert("RGB").tobytes())
            assert gif.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(seen) == 4
    assert times == [100, 100, 100, 400]


def test_a_gif_keeps_colours_that_are_few_and_takes_the_nearest_of_many(rng):
    few = rng.integers(0, 256, (2, 5, 6, 3)).astype("uint8")
    few[:, :3] = 255
    few[1, 3:] = few[0, 3:]
    few[1, 3, [0, 1]] = few[0, 3, [1, 0]]
    with Pillow.open(io.BytesIO(encoded(few, [50, 60]))) as gif:
        for i in range(2):
            gif.seek(i)
            np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), few[i])
    many = np.zeros((20, 20, 3), "uint8")
    many[..., 0] = np.arange(20)[:, None] * 12
    many[..., 1] = np.arange(20) * 12
    with Pillow.open(io.BytesIO(encoded([many], [50]))) as gif:
        change = np.abs(np.asarray(gif.convert("RGB"), int) - many)
    assert 0 < change.max() <= 12 * 8
    assert (change.max(2) == 0).sum() == 256


def test_a_picture_of_the_walk_says_what_is_added(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(plots.sliding, "_pixels", lambda figure: seen.append(figure) or np.zeros((4, 4, 3), "uint8"))
    plots.sliding_window(tmp_path / "a.gif", [[1, 2, 3]], [[2, -1]])
    first, last = (texts(figure) for figure in seen)
    assert {
        f"1·2 + 2·{MINUS}1 = 0",
        f"stride 1, padding 0\nsize (1 {MINUS} 1) / 1 + 1 = 1 by (3 {MINUS} 2) / 1 + 1 = 2",
    } <= first
    assert f"2·2 + 3·{MINUS}1 = 1" in last
    plots.pooling_window(tmp_path / "a.gif", [[1, 2, 3]], (1, 2), stride=1)
    assert "max(2, 3) = 3" in texts(seen[-1])


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(
        fc.ArgumentError, match=r"at most 4 channels of 16 rows and columns can be read, with padding \(1, 17"
    ):
        plots.sliding_window(tmp_path / "a.gif", np.zeros((15, 15)), padding=1)
    with pytest.raises(fc.ShapeError, match=r"w must have 2 axes, or 3 with channels, got shape \(3,\)"):
        plots.sliding_window(tmp_path / "a.gif", w=[1, 2, 3])
    with pytest.raises(fc.ShapeError, match="the kernel covers 3 along H but the padded input has 2"):
        plots.sliding_window(tmp_path / "a.gif", np.zeros((2, 2)))
    with pytest.raises(fc.ShapeError, match="w expects 1 input channels, x has 2"):
        plots.sliding_window(tmp_path / "a.gif", np.zeros((2, 4, 4)))
    with pytest.raises(fc.ShapeError, match=r"a pooling's input must be \(H, W\), got shape \(2, 4, 4\)"):
        plots.pooling_window(tmp_path / "a.gif", np.zeros((2, 4, 4)))
    assert not list(tmp_path.iterdir())


# Neighbours -----------------------------------------------------------------------------------------------------------


def test_neighbours_are_framed_by_whether_they_are_right(drawn):
    images = np.array([0.0, 0.1, 0.5, 0.9]).reshape(4, 1, 1, 1)
    plots.nearest_neighbours(
        [[[[0.04]]]], [7], images, [7, 3, 7, 7], "unused.png", k=2, same=2, classes=list("abcdefgh")
    )
    axes = [ax for ax in drawn[0].axes if ax.images]
    assert [ax.images[0].get_array().item() for ax in axes] == [0.04, 0.0, 0.1, 0.0, 0.5]
    colours = [ax.spines["left"].get_edgecolor()[:3] for ax in axes]
    assert colours[1] != colours[2]
    assert colours[0] == colours[3] == colours[4]
    assert [ax.get_xlabel() for ax in axes] == ["h", "0.04", "0.06", "0.04", "0.46"]


def test_a_class_without_training_images(drawn, rng):
    plots.nearest_neighbours(rng.random((1, 3, 2, 2)), [9], rng.random((3, 3, 2, 2)), [0, 1, 2], "unused.png", k=1)
    assert len(shown(drawn[0])) == 2


def test_images_at_one_distance(drawn, rng):
    image = rng.random((3, 8, 8))
    plots.equal_distances(image, "unused.png", distance=1.5)
    found = pictures(drawn[0])
    np.testing.assert_array_equal(found[0], image.transpose(1, 2, 0))
    np.testing.assert_allclose([np.linalg.norm(one - found[0]) for one in found[1:]], [1.5] * 4)
    assert "1.50" in drawn[0].get_suptitle()


# Templates and augmentation -------------------------------------------------------------------------------------------


def test_templates_are_the_rows_of_the_weights(drawn):
    model = fc.models.LinearClassifier((3, 2, 2), 3)
    model.scores.weight.data[...] = np.arange(36).reshape(3, 12)
    found = template_images(model)
    np.testing.assert_allclose(found, np.broadcast_to((np.arange(12) / 11).reshape(3, 2, 2), (3, 3, 2, 2)), rtol=1e-6)
    plots.templates(model, "unused.png", classes=["cat", "dog", "cow"])
    np.testing.assert_allclose(pictures(drawn[0])[1], found[1].transpose(1, 2, 0))
    assert [ax.get_title() for ax in drawn[0].axes if ax.images] == ["cat", "dog", "cow"]


def test_templates_of_an_untrained_or_own_model():
    assert not template_images(fc.models.LinearClassifier((1, 2, 2), 2)).any()
    own = fc.nn.Sequential(fc.nn.Flatten(), fc.nn.Linear(4, 2))
    assert template_images(own, (1, 2, 2)).shape == (2, 1, 2, 2)
    with pytest.raises(fc.ShapeError, match=r"4 weights a class do not make images of shape \(1, 3, 3\)"):
        template_images(own, (1, 3, 3))
    with pytest.raises(fc.UnsupportedError, match="that of SimpleConvNet is Conv2d"):
        template_images(fc.models.SimpleConvNet())
    with pytest.raises(fc.ArgumentError, match="2 classes, 1 names were given"):
        plots.templates(own, "unused.png", image_shape=(1, 2, 2), classes=["cat"])


def test_augmentation_is_drawn_step_by_step(drawn, rng):
    image = rng.random((3, 8, 10))
    steps = [fc.data.RandomHorizontalFlip(1.0), fc.data.RandomShift(0)]
    plots.augmented(image, steps, "unused.png", draws=2)
    found = pictures(drawn[0])
    plain, flipped = image.transpose(1, 2, 0), image.transpose(1, 2, 0)[:, ::-1]
    for one, wanted in zip(found, [plain, flipped, flipped, plain, plain, plain], strict=True):
        np.testing.assert_array_equal(one, wanted)
    plots.augmented(image, path="unused.png")
    assert len(shown(drawn[1])) == 6 * 7


def test_all_of_them_write_files(tmp_path, rng):
    image = rng.random((3, 8, 8))
    plots.filtered(image, path=tmp_path / "1.png")
    plots.equal_distances(image, tmp_path / "2.png")
    plots.augmented(image, path=tmp_path / "3.png", draws=1)
    plots.nearest_neighbours(image[None], [0], image[None], [0], tmp_path / "4.png", k=1)
    plots.templates(fc.models.LinearClassifier((3, 8, 8)), tmp_path / "5.png")
    assert all(is_png(tmp_path / f"{i}.png") for i in range(1, 6))


@pytest.mark.parametrize("draw", [plots.filtered, plots.augmented, plots.equal_distances])
def test_wrong_images_are_named(draw):
    with pytest.raises(fc.ShapeError, match=r"image must be \(1 or 3, H, W\), got shape \(8, 8\)"):
        draw(np.zeros((8, 8)))
    with pytest.raises(fc.ArgumentError, match="image must be floating-point from 0 to 1, got uint8"):
        draw(np.zeros((3, 8, 8), "uint8"))
