"""The loader: PyTorch's loop over the batches that `batches` makes."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.data import DataLoader, RandomShift, batches


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


@pytest.fixture
def pair(rng):
    return rng.random((10, 1, 4, 4), dtype="float32"), np.arange(10)


def labels(loader):
    return [t.tolist() for _, t in loader]


def test_it_goes_through_the_items_in_order_again_and_again(pair):
    loader = DataLoader(pair, 4)
    assert len(loader) == 3
    for _ in range(2):
        assert labels(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    x, t = next(iter(loader))
    assert isinstance(x, fc.Tensor)
    assert (x.shape, x.dtype, t.dtype) == ((4, 1, 4, 4), np.dtype("float32"), np.dtype("int64"))
    np.testing.assert_array_equal(x.numpy(), pair[0][:4])


def test_shuffled_every_epoch_has_all_items_in_an_order_of_its_own(pair):
    loader = DataLoader(pair, batch_size=5, shuffle=True, seed=3)
    first, second = labels(loader), labels(loader)
    for epoch in (first, second):
        assert sorted(i for batch in epoch for i in batch) == list(range(10))
    assert first != second
    assert first == [t.tolist() for _, t in batches(*pair, 5, seed=3, epoch=0)]
    assert labels(DataLoader(pair, batch_size=5, shuffle=True, seed=3)) == first


def test_a_smaller_last_batch_can_be_dropped(pair):
    loader = DataLoader(pair, 4, drop_last=True)
    assert len(loader) == len(labels(loader)) == 2


def test_two_loops_inside_each_other_do_not_disturb_each_other(pair):
    loader = DataLoader(pair, 5)
    assert [(a.tolist()[0], b.tolist()[0]) for _, a in loader for _, b in loader] == [(0, 0), (0, 5), (5, 0), (5, 5)]


def test_a_transform_changes_each_batch(pair):
    changed = DataLoader(pair, 10, transform=RandomShift(2))
    (x, t), *_ = changed
    assert t.tolist() == list(range(10))
    assert (x.numpy() != pair[0]).any()


def test_tensors_and_lists_are_taken(pair):
    assert labels(DataLoader((fc.tensor(pair[0]), pair[1].tolist()), 10)) == [list(range(10))]


def test_what_cannot_be_is_refused_at_once(pair):
    with pytest.raises(fc.ArgumentError, match=r"must be a pair \(images, labels\), .* got ndarray"):
        DataLoader(pair[0], 4)
    with pytest.raises(fc.ArgumentError, match="DataLoader: batch_size must be at least 1, got 0"):
        DataLoader(pair, 0)
    with pytest.raises(fc.ShapeError, match="equally many items"):
        DataLoader((pair[0], pair[1][:3]), 4)


def test_it_says_what_it_is(pair):
    assert repr(DataLoader(pair, 4)) == "DataLoader(10 items in 3 batches of 4)"
