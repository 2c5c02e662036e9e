"""What people hand to a Trainer: lists, other types, labels of every kind, things that are no data at all."""

import numpy as np
import pytest

import fastconv as fc


@pytest.fixture(autouse=True)
def on_backend(backend):
    fc.manual_seed(3)
    with fc.use(backend.name):
        yield


@pytest.fixture
def trainer():
    model = fc.nn.Sequential(fc.nn.Flatten(), fc.nn.Linear(4, 3))
    return fc.Trainer(model, fc.optim.SGD(model.parameters(), 0.1), progress=False)


X = np.linspace(0, 1, 24, dtype="float32").reshape(6, 1, 2, 2)
T = np.array([0, 1, 2, 0, 1, 2])


def test_lists_are_the_same_data(trainer):
    first = [p.numpy().copy() for p in trainer.model.parameters()]
    losses = trainer.fit((X, T), (X, T), epochs=2, batch_size=3).column("validation_loss")
    for p, values in zip(trainer.model.parameters(), first, strict=True):
        p.data[...] = p.backend.asarray(values)
    lists = X.tolist(), T.tolist()
    assert trainer.fit(lists, lists, epochs=2, batch_size=3).column("validation_loss") == losses
    assert fc.evaluate(trainer.model, *lists).loss == fc.evaluate(trainer.model, X, T).loss


@pytest.mark.parametrize("data", [X, (X,), (X, T, T), None, "digits"])
def test_what_is_no_pair_is_refused(trainer, data):
    with pytest.raises(fc.ArgumentError, match=r"train must be a pair \(images, labels\)"):
        trainer.fit(data, epochs=1)
    if data is not None:
        with pytest.raises(fc.ArgumentError, match=r"validation must be a pair \(images, labels\)"):
            trainer.fit((X, T), data, epochs=1)


def test_several_inputs_are_refused_in_words(trainer):
    with pytest.raises(fc.ArgumentError, match="fit: train must be one array of images and one of labels"):
        trainer.fit(((X, X[:, :, :1]), T), epochs=1)


def test_epochs_are_whole(trainer):
    with pytest.raises(fc.ArgumentError, match=r"epochs must be a whole number, got 1\.5"):
        trainer.fit((X, T), epochs=1.5)
    with pytest.raises(fc.ArgumentError, match="epochs must be at least 0, got -1"):
        trainer.fit((X, T), epochs=-1)


def test_float64_images_are_refused_with_the_way_out(trainer):
    with pytest.raises(fc.DTypeError, match=r"\.astype\('float32'\)"):
        trainer.fit((X.astype("float64"), T), epochs=1)


@pytest.mark.parametrize("rows", [np.full((6, 3), 1 / 3), np.zeros((6, 3)), np.eye(3)[T] + np.eye(3)[0]])
def test_rows_that_are_not_one_hot_are_refused_in_memory(rows):
    with fc.use("reference"), pytest.raises(fc.ArgumentError, match="every row must be one-hot"):
        fc.functional.cross_entropy(np.zeros((6, 3), "float32"), rows)
