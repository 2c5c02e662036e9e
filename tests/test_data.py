"""Data sets by name, mini-batches, one-hot labels; the original files where they are at hand."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastconv import data
from fastconv.errors import ArgumentError, DataError, DTypeError, ShapeError


def real_files(name):
    """The folder with the original files of a data set, or a skip that says what was not tested."""
    roots = [os.environ.get("FASTCONV_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    for root in roots:
        if root and (Path(root) / name).is_dir():
            return Path(root) / name
    pytest.skip(f"the {name} files are not here: set FASTCONV_DATA to the folder above {name}/ to test on them")


def is_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


# Digits -------------------------------------------------------------------------------------------


def test_digits_are_split_by_class_into_1437_and_360():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn, which is not installed")
    (x, t), (x_test, t_test) = data.load("digits"), data.load("digits", split="test")
    assert x.shape == (1437, 1, 8, 8)
    assert x_test.shape == (360, 1, 8, 8)
    assert x.dtype == np.float32
    assert t.dtype == np.int64
    assert (x.min(), x.max()) == (0, 1)
    share = np.bincount(t_test) / (np.bincount(t) + np.bincount(t_test))
    np.testing.assert_allclose(share, 0.2, atol=0.005)


def test_digits_together_are_the_embedded_set():
    embedded = pytest.importorskip("sklearn.datasets", reason="the digits come with scikit-learn").load_digits()
    images = np.concatenate([data.load("digits", split=split)[0] for split in data.SPLITS])
    expected = embedded.images[:, None] / 16
    assert sorted(image.tobytes() for image in images) == sorted(
        image.astype(np.float32).tobytes() for image in expected
    )


def test_scale_repeats_pixels():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn, which is not installed")
    x, _ = data.load("digits", split="test")
    large, _ = data.load("digits", split="test", scale=4)
    assert large.shape == (360, 1, 32, 32)
    assert is_channels_last(large)
    for row in range(4):
        for column in range(4):
            np.testing.assert_array_equal(large[:, :, row::4, column::4], x)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r'pip install "fastconv\[digits\]"'):
        data.load("digits")


# Names and options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "imagenet"}, "digits, mnist, cifar10, got 'imagenet'"),
        ({"name": "digits", "split": "validation"}, "train, test, got 'validation'"),
        ({"name": "digits", "scale": 0}, "scale must be at least 1, got 0"),
        ({"name": "digits", "scale": 1.5}, "scale must be a whole number, got 1.5"),
    ],
)
def test_load_refuses_unknown_options(options, text):
    with pytest.raises(ArgumentError, match=text):
        data.load(**options)


def test_classes_are_named():
    assert data.classes("mnist") == tuple("0123456789")
    assert data.classes("cifar10")[0] == "airplane"
    assert data.classes("cifar10")[9] == "truck"
    with pytest.raises(ArgumentError, match="got 'svhn'"):
        data.classes("svhn")


def test_importing_the_package_loads_no_library_of_a_single_data_set():
    lazy = ("sklearn", "pooch", "platformdirs", "rich")
    code = f"import sys, fastconv.data; print([name for name in {lazy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# One-hot ------------------------------------------------------------------------------------------


def test_one_hot():
    rows = data.one_hot([2, 0], 3)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert data.one_hot(np.array([], np.int64), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("t", "error"),
    [([3], ArgumentError), ([-1], ArgumentError), ([0.0], DTypeError), ([[1]], ShapeError), (1, ShapeError)],
)
def test_one_hot_refuses_what_is_no_label(t, error):
    with pytest.raises(error, match="one_hot"):
        data.one_hot(t, 3)


# Batches ------------------------------------------------------------------------------------------


def items(n, channels=3):
    """n images that carry their own number, and the numbers."""
    t = np.arange(n)
    x = np.broadcast_to(t[:, None, None, None], (n, channels, 2, 4)).astype(np.float32)
    return x, t


def orders(*args, **options):
    return [t.tolist() for _, t in data.batches(*args, **options)]


def test_batches_hold_every_item_once_with_its_own_label():
    x, t = items(23)
    seen = []
    for x_batch, t_batch in data.batches(x, t, 5):
        assert (x_batch == t_batch[:, None, None, None]).all()
        seen += t_batch.tolist()
    assert seen != sorted(seen)
    assert sorted(seen) == list(range(23))


def test_the_order_depends_on_seed_and_epoch_only():
    x, t = items(40)
    first = orders(x, t, 8, seed=3, epoch=2)
    assert first == orders(x, t, 8, seed=3, epoch=2)
    wider = orders(x, t, 10, seed=3, epoch=2)
    assert np.concatenate(first).tolist() == np.concatenate(wider).tolist()
    others = [orders(x, t, 8, seed=s, epoch=e) for s, e in [(3, 1), (3, 3), (2, 2), (2, 3), (0, 0)]]
    assert first not in others
    assert orders(x, t, 8, shuffle=False) == t.reshape(5, 8).tolist()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("skip", [0, 1, 4])
def test_skip_leaves_the_rest_of_the_epoch_as_it_was(drop_last, skip):
    x, t = items(38)
    options = {"seed": 1, "epoch": 5, "drop_last": drop_last, "transform": lambda x, rng: x + rng.random()}
    whole = list(data.batches(x, t, 8, **options))
    rest = list(data.batches(x, t, 8, skip=skip, **options))
    assert len(whole) == data.count_batches(38, 8, drop_last=drop_last) == (4 if drop_last else 5)
    assert len(rest) == len(whole) - skip
    for (x_whole, t_whole), (x_rest, t_rest) in zip(whole[skip:], rest, strict=True):
        np.testing.assert_array_equal(x_whole, x_rest)
        np.testing.assert_array_equal(t_whole, t_rest)


def test_each_batch_of_each_epoch_draws_its_own_numbers():
    x, t = items(40)
    draws = []
    for seed, epoch in [(0, 0), (0, 1), (1, 0)]:
        list(data.batches(x, t, 8, seed=seed, epoch=epoch, transform=lambda x, rng: draws.append(rng.random()) or x))
    assert len(set(draws)) == 15


@pytest.mark.parametrize("layout", ["channels-last", "NCHW", "every second"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("transform", [None, lambda x, rng: np.ascontiguousarray(x)])
def test_batches_lie_channels_last_and_are_copies(layout, shuffle, transform):
    x, t = items(20)
    x += np.arange(24, dtype=np.float32).reshape(3, 2, 4) / 100
    source = {
        "channels-last": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "NCHW": x,
        "every second": x.repeat(2, axis=0)[::2],
    }[layout]
    for x_batch, t_batch in data.batches(source, t, 6, shuffle=shuffle, transform=transform):
        np.testing.assert_array_equal(x_batch, x[t_batch])
        assert is_channels_last(x_batch)
        assert not np.shares_memory(x_batch, source)


def test_batches_of_flat_images_and_one_hot_labels():
    x, t = np.arange(12.0).reshape(6, 2), data.one_hot(np.arange(6) % 3, 3)
    (x_batch, t_batch), _ = data.batches(x, t, 4, shuffle=False)
    np.testing.assert_array_equal(x_batch, x[:4])
    np.testing.assert_array_equal(t_batch, t[:4])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"batch_size": 0}, ArgumentError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5}, ArgumentError, "batch_size must be a whole number, got 2.5"),
        ({"seed": -1}, ArgumentError, "seed must be at least 0, got -1"),
        ({"epoch": -1}, ArgumentError, "epoch must be at least 0, got -1"),
        ({"skip": -1}, ArgumentError, "skip must be at least 0, got -1"),
        ({"skip": 4}, ArgumentError, "skip=4 goes beyond the 3 batches"),
        ({"t": np.zeros(4, int)}, ShapeError, r"x \(5, 3, 2, 4\) and t \(4,\)"),
        ({"x": np.zeros((0, 1, 2, 2)), "t": np.zeros(0, int)}, ShapeError, "at least 1"),
    ],
)
def test_batches_refuse_bad_arguments_at_the_call(options, error, text):
    x, t = items(5)
    with pytest.raises(error, match=text):
        data.batches(**({"x": x, "t": t, "batch_size": 2} | options))


# The original files -------------------------------------------------------------------------------


@pytest.mark.data
def test_mnist_as_published():
    root = real_files("mnist")
    start = time.perf_counter()
    x, t = data.load("mnist", root=root)
    assert time.perf_counter() - start < 5  # 0.2 s on the machine where this was written
    assert (x.shape, x.dtype, t.dtype) == ((60_000, 1, 28, 28), np.float32, np.int64)
    assert is_channels_last(x)
    assert t[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(t).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(float(x.mean(dtype=np.float64)), 4) == 0.1307  # the mean that is used everywhere to normalise MNIST
    x, t = data.load("mnist", root=root.parent, split="test")
    assert (x.shape, len(t)) == ((10_000, 1, 28, 28), 10_000)
    assert t[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.data
def test_mnist_in_the_form_of_the_lectures():
    root = real_files("mnist")
    (x, t), (x_test, t_test) = data.load_mnist(root=root)
    assert (x.shape, t.shape, x_test.shape, t_test.shape) == ((60_000, 784), (60_000,), (10_000, 784), (10_000,))
    assert (x.dtype, x.max()) == (np.float32, 1)
    (raw, one_hot), _ = data.load_mnist(normalize=False, flatten=False, one_hot_label=True, root=root)
    assert (raw.shape, raw.dtype, raw.max()) == ((60_000, 1, 28, 28), np.uint8, 255)
    assert one_hot.shape == (60_000, 10)
    np.testing.assert_array_equal(one_hot.argmax(axis=1), t)
    np.testing.assert_array_equal(x[:100], raw[:100].reshape(100, 784).astype(np.float32) / 255)


@pytest.mark.data
def test_cifar10_as_published():
    root = real_files("cifar10")
    x, t = data.load("cifar10", root=root)
    assert (x.shape, x.dtype, t.dtype) == ((50_000, 3, 32, 32), np.float32, np.int64)
    assert is_channels_last(x)
    assert np.bincount(t).tolist() == [5000] * 10
    mean = x.mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)  # red, green, blue, as used to normalise
    x, t = data.load("cifar10", root=root.parent, split="test")
    assert t[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert x.shape == (len(t), 3, 32, 32)


def test_the_environment_names_the_folder_where_no_root_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
    for name in ("mnist", "cifar10"):
        with pytest.raises(DataError, match=str(tmp_path)):
            data.load(name)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(DataError, match=str(elsewhere)):
        data.load("mnist", root=elsewhere)
