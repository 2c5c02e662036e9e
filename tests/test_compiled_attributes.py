"""Compiled models whose layers keep arrays and tensors of their own, and models that keep a compiled one."""

import copy
import itertools
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import select

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


class Masked(fc.nn.Module):
    """w x times a mask, by one way or another."""

    def __init__(self, mask, times):
        super().__init__()
        self.linear, self.mask, self.times = fc.nn.Linear(3, 2), mask, times

    def forward(self, x):
        return self.times(self.linear(x), self.mask)


class Storing(fc.nn.Module):
    """Keeps what it computed last, as a tensor or as the array inside."""

    def __init__(self, kept):
        super().__init__()
        self.linear, self.kept = fc.nn.Linear(3, 2), kept

    def forward(self, x):
        y = self.linear(x)
        self.last = self.kept(y)
        return y


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("width", [1, 2])
def test_an_array_in_place_of_another_is_noticed(frozen, width):
    model = Masked(np.full(width, 2, "float32"), lambda y, mask: y * mask)
    predict = fc.compile(model, frozen=frozen)
    for factor in (2, 3, 3):
        model.mask = np.full(width, factor, "float32")
        np.testing.assert_array_equal(predict(X).numpy(), model(X).numpy())


@pytest.mark.parametrize("kept", [lambda y: y, lambda y: y.data], ids=["tensor", "array"])
def test_what_forward_stores_asks_for_no_other_plan(kept):
    model = Storing(kept)
    predict = fc.compile(model)
    predict(X)
    plan = predict.plan
    for _ in range(2):
        expected = X @ model.linear.weight.numpy().T + model.linear.bias.numpy()
        np.testing.assert_allclose(predict(X).numpy(), expected, rtol=1e-4, atol=1e-5)
        assert predict.plan is plan
    model(X)
    np.testing.assert_array_equal(predict(X).numpy(), model(X).numpy())


def masked_by_a_tensor():
    return Masked(fc.tensor(np.float32([2, 3])), lambda y, mask: y * mask)


def test_a_tensor_that_is_no_buffer_is_refused_with_a_reason():
    with pytest.raises(fc.UnsupportedError, match=r"no tensors but its inputs and .*fc\.nn\.Buffer"):
        fc.compile(masked_by_a_tensor())(X)


def test_evaluation_and_training_run_eagerly_where_a_model_keeps_a_tensor():
    model, t = masked_by_a_tensor(), np.array([0, 1, 0, 1])
    seen, eager = fc.evaluate(model, X, t), fc.evaluate(model, X, t, compile=False)
    assert (seen.loss, seen.accuracy) == (eager.loss, eager.accuracy)
    trainer = fc.Trainer(model, fc.optim.SGD(model.parameters(), lr=0.1), progress=False)
    with pytest.warns(UserWarning, match="training runs eagerly: compile: a step may use no tensors"):
        trainer.fit((X, t), epochs=2, batch_size=2)
    assert fc.evaluate(model, X, t).loss < seen.loss


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_has_a_compiled_one_of_its_own(copied, frozen):
    model = fc.nn.Sequential(fc.nn.Linear(3, 2), fc.nn.BatchNorm1d(2)).eval()
    model.predict = fc.compile(model, frozen=frozen)
    before = model.predict(X).numpy().copy()
    twin = copied(model)
    twin[0].weight.data[...] = 0
    np.testing.assert_allclose(twin.predict(X).numpy(), twin(X).numpy(), rtol=1e-5)
    assert twin.predict.model is twin
    assert twin.predict.frozen is frozen
    np.testing.assert_array_equal(model.predict(X).numpy(), before)


def test_compiled_models_of_one_network_may_be_made_in_several_threads():
    """While a plan is made the network's tensors stand for others, which no other plan may take for its own."""
    model = fc.nn.Sequential(fc.nn.Linear(3, 8), fc.nn.ReLU(), fc.nn.Linear(8, 2))
    rows = [X[:n] for n in (1, 2, 3, 4)]

    def made(_):
        predict = fc.compile(model)
        for x in rows:
            predict.prepare(x)
        return predict

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            predictions = list(pool.map(made, range(8)))
    finally:
        sys.setswitchinterval(switch)
    assert all(p.backend is select.current() for p in model.parameters())
    for predict, x in itertools.product(predictions, rows):
        np.testing.assert_allclose(predict(x).numpy(), model(x).numpy(), rtol=1e-5, atol=1e-6)
