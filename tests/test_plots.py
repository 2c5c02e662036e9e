"""Pictures in the lectures' style: what is drawn, and what is written."""

import builtins
import sys

import numpy as np
import pytest
from pictures import is_png, shown

import fastconv as fc
from fastconv import plots
from fastconv.training import Epoch, History

pytest.importorskip("matplotlib")


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


def history(validated=True):
    accuracies = (0.5, 0.8, 0.9, 0.95)
    return History(
        [Epoch(i, 1.0, a, 1.0 if validated else None, a - 0.1 if validated else None, 0.1, 1.0, 9.0)
         for i, a in enumerate(accuracies, start=1)]
    )  # fmt: skip


def test_the_accuracy_curve_is_drawn_as_in_the_lectures(drawn):
    plots.accuracy_curve(history(), "unused.png")
    (axes,) = drawn[0].axes
    train, test = axes.lines
    assert (train.get_marker(), train.get_markevery(), train.get_label()) == ("o", 2, "train")
    assert (test.get_marker(), test.get_markevery(), test.get_label()) == ("s", 2, "test")
    np.testing.assert_array_equal(train.get_xydata(), [[1, 0.5], [2, 0.8], [3, 0.9], [4, 0.95]])
    np.testing.assert_allclose(test.get_ydata(), [0.4, 0.7, 0.8, 0.85])
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("epochs", "accuracy", (0, 1.0))
    assert axes.get_legend()._loc == 4  # matplotlib's number of "lower right"


def test_without_validation_there_is_one_curve(drawn):
    plots.accuracy_curve(history(validated=False), "unused.png")
    assert len(drawn[0].axes[0].lines) == 1


def test_an_empty_history_is_refused():
    with pytest.raises(fc.ArgumentError, match="no epochs yet"):
        plots.accuracy_curve(History())


def test_filters_are_grey_squares_without_ticks(drawn, rng):
    filters = rng.standard_normal((10, 1, 5, 4))
    plots.filter_show(filters, path="unused.png")
    images = shown(drawn[0])
    assert len(images) == 10
    for image, one in zip(images, filters, strict=True):
        np.testing.assert_array_equal(image.get_array(), one[0])
        assert image.get_cmap().name == "gray_r"
        assert image.get_interpolation() == "nearest"
        assert len(image.axes.get_xticks()) == len(image.axes.get_yticks()) == 0
    rows = {round(image.axes.get_position().y0, 6) for image in images}
    assert len(rows) == 2  # eight in the first row


def test_filters_of_many_channels_are_averaged_and_of_three_coloured(drawn, rng):
    plots.filter_show(rng.standard_normal((2, 6, 3, 3)), path="unused.png")
    assert shown(drawn[0])[0].get_array().shape == (3, 3)
    plots.filter_show(rng.standard_normal((2, 3, 5, 5)), path="unused.png")
    colours = shown(drawn[1])[0].get_array()
    assert colours.shape == (5, 5, 3)
    assert (colours.min(), colours.max()) == (0, 1)


def test_filters_before_and_after(drawn, rng):
    before, after = rng.standard_normal((2, 4, 1, 3, 3))
    plots.filter_show(after, before=before, path="unused.png")
    images = shown(drawn[0])
    np.testing.assert_array_equal(images[0].get_array(), before[0, 0])
    np.testing.assert_array_equal(images[4].get_array(), after[0, 0])
    assert [part.get_suptitle() for part in drawn[0].subfigs] == ["before", "after"]


def test_activation_maps_are_those_of_the_first_layer(drawn, rng):
    model = fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 10, "filter_size": 3}, weight_init_std="he")
    image = rng.random((1, 8, 8), "float32")
    plots.activation_maps(model, image, "unused.png")
    pictures = [np.asarray(p.get_array()) for p in shown(drawn[0])]
    filters = model.conv1.weight.numpy()
    maps = fc.functional.relu(model.conv1(image[None])).numpy()[0]
    wanted = [image[0], *filters[:8, 0], *maps[:8], *filters[8:, 0], *maps[8:]]
    assert len(pictures) == len(wanted)
    for picture, want in zip(pictures, wanted, strict=True):
        np.testing.assert_array_equal(picture, want)
    assert model.training


def test_activation_maps_of_a_model_without_an_activation(drawn, rng):
    model = fc.nn.Sequential(fc.nn.Conv2d(3, 2, 3), fc.nn.Flatten(), fc.nn.Linear(72, 4))
    image = rng.random((3, 8, 8))
    plots.activation_maps(model, image, "unused.png")
    pictures = shown(drawn[0])
    want = model[0](image[None].astype("float32")).numpy()[0]
    np.testing.assert_array_equal(pictures[-1].get_array(), want[-1])


def test_activation_maps_of_a_table_of_connections(drawn, rng):
    conv = fc.nn.SparseConv2d(2, [[0, 1], [1]], 3)
    model, image = fc.nn.Sequential(fc.nn.Identity(), conv), rng.random((2, 5, 5), dtype="float32")
    plots.activation_maps(model, image, "unused.png")
    pictures = [np.asarray(p.get_array()) for p in shown(drawn[0])]
    wanted = [*conv.filters().numpy().mean(1), *conv(image[None]).numpy()[0]]
    for picture, want in zip(pictures[1:], wanted, strict=True):
        np.testing.assert_array_equal(picture, want)


def test_activation_maps_of_a_deeper_layer(drawn, rng):
    model = fc.nn.Sequential(fc.nn.Conv2d(1, 4, 3, padding=1), fc.nn.Conv2d(4, 3, 3), fc.nn.ReLU(), fc.nn.MaxPool2d(2))
    image = rng.random((1, 8, 8), "float32")
    plots.activation_maps(model, image, "unused.png", layer="1")
    pictures = [np.asarray(p.get_array()) for p in shown(drawn[0])]
    maps = fc.functional.relu(model[1](model[0](image[None]))).numpy()[0]
    for picture, want in zip(pictures[1:], [*model[1].weight.numpy().mean(1), *maps], strict=True):
        np.testing.assert_array_equal(picture, want)
    with pytest.raises(fc.ArgumentError, match="no convolution '2'; its convolutions are 0, 1"):
        plots.activation_maps(model, image, "unused.png", layer="2")


def test_activation_maps_stop_before_a_second_convolution(drawn, rng):
    model = fc.nn.Sequential(fc.nn.Conv2d(1, 1, 3, padding=1), fc.nn.Conv2d(1, 1, 3, padding=1), fc.nn.ReLU())
    image = rng.random((1, 5, 5), "float32")
    plots.activation_maps(model, image, "unused.png")
    np.testing.assert_array_equal(shown(drawn[0])[-1].get_array(), model[0](image[None]).numpy()[0, 0])


def test_a_model_without_a_convolution_is_refused(rng):
    model = fc.nn.Sequential(fc.nn.Flatten(), fc.nn.Linear(4, 2))
    with pytest.raises(fc.UnsupportedError, match="Sequential has no convolution"):
        plots.activation_maps(model, rng.random((1, 2, 2)), "unused.png")


def test_filter_show_refuses_nothing_to_show_and_no_columns():
    with pytest.raises(fc.ShapeError, match=r"at least one, got shape \(0, 1, 3, 3\)"):
        plots.filter_show(np.zeros((0, 1, 3, 3)), path="unused.png")
    with pytest.raises(fc.ArgumentError, match="filter_show: nx must be at least 1, got 0"):
        plots.filter_show(np.zeros((2, 1, 3, 3)), nx=0, path="unused.png")


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (
            lambda: plots.filter_show(np.zeros((3, 3))),
            r"filters must be \(FN, C, FH, FW\), at least one, got shape",
        ),
        (lambda: plots.activation_maps(fc.nn.Flatten(), np.zeros((3, 3))), r"image must be \(C, H, W\), got shape"),
    ],
)
def test_wrong_shapes_are_named(draw, text):
    with pytest.raises(fc.ShapeError, match=text):
        draw()


def test_pngs_are_written_without_a_window_system(tmp_path, monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    model = fc.models.SimpleConvNet((1, 8, 8), {"filter_num": 3, "filter_size": 3})
    plots.accuracy_curve(history(), tmp_path / "curve.png")
    plots.filter_show(model.conv1.weight.numpy(), path=tmp_path / "filters.png")
    plots.activation_maps(model, rng.random((1, 8, 8)), tmp_path / "maps.png")
    assert all(is_png(tmp_path / f"{name}.png") for name in ("curve", "filters", "maps"))


def test_without_a_path_the_picture_is_shown(monkeypatch):
    import matplotlib as mpl

    mpl.use("Agg", force=True)
    import matplotlib.pyplot as plt

    seen = []
    monkeypatch.setattr(plt, "show", lambda: seen.extend(plt.get_fignums()))
    plots.accuracy_curve(history())
    assert len(seen) == 1
    assert plt.get_fignums() == []


def test_a_missing_matplotlib_is_explained(monkeypatch):
    real = builtins.__import__

    def without_matplotlib(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(fc.UnsupportedError, match=r'pip install "fastconv\[plot\]"'):
        plots.accuracy_curve(history(), "unused.png")
