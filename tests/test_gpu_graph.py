"""Compiled steps on the GPU are captured once and replayed; on the emulated device a capture is a list of launches."""

import numpy as np
import pytest
from cuda_emulator.build import compiler

import fastconv as fc
from fastconv.backends.gpu.graph import StepGraph


def network():
    fc.manual_seed(3)
    return fc.nn.Sequential(
        fc.nn.Conv2d(1, 4, 3), fc.nn.ReLU(), fc.nn.MaxPool2d(2), fc.nn.Flatten(), fc.nn.Linear(36, 8), fc.nn.Tanh(),
        fc.nn.Dropout(0.4), fc.nn.Linear(8, 3),
    )  # fmt: skip


def batches(count):
    rng = np.random.default_rng(5)
    return [(rng.random((6, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 6)) for _ in range(count)]


def losses(backend, make_optimizer, compiled, count=6):
    """The losses of so many steps, the learning rate halved after three, and the parameters afterwards."""
    with fc.use(backend):
        model = network()
        optimizer = make_optimizer(model.parameters())
        loss = fc.nn.CrossEntropyLoss()
        step = fc.compile(model, loss=loss, optimizer=optimizer)
        found = []
        for i, (x, t) in enumerate(batches(count)):
            optimizer.lr = 0.1 if i < 3 else 0.05
            if compiled:
                found.append(step(x, t).item())
            else:
                optimizer.zero_grad()
                value = loss(model(x), t)
                value.backward()
                optimizer.step()
                found.append(value.item())
        return found, [p.numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: fc.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: fc.optim.Adam(p, lr=0.1),
        lambda p: fc.optim.AdamW(p, lr=0.1),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_replayed_steps_are_eager_ones(gpu_backend, make):
    """Rate, step count and dropout seed are fresh in every replay."""
    eager, expected = losses(gpu_backend.name, make, compiled=False)
    replayed, found = losses(gpu_backend.name, make, compiled=True)
    assert replayed == eager
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_as_on_the_cpu(gpu_backend):
    make = fc.optim.Adam
    (ours, _), (theirs, _) = (losses(name, make, compiled=True) for name in (gpu_backend.name, "cpu"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_replay_launches_its_numbers_and_the_graph(gpu_backend, monkeypatch):
    launched = []
    with fc.use(gpu_backend.name):
        model = network()
        step = fc.compile(model, loss=fc.nn.CrossEntropyLoss(), optimizer=fc.optim.Adam(model.parameters()))
        for x, t in batches(2):
            step(x, t)
        (replay,) = step._replays.values()
        assert isinstance(replay._run_all, StepGraph)
        monkeypatch.setattr(replay._run_all, "_launch", lambda: launched.append("graph"))
        device = type(gpu_backend._device)
        monkeypatch.setattr(device, "launch", lambda self, kernel, *_: launched.append(kernel.name))
        step(x, t)
    assert launched == [*["store_words"] * 3, "graph"]  # dropout, its backward, the update


@pytest.mark.skipif(compiler() is None, reason="g++, which builds the kernels for the CPU, is not installed")
def test_a_capture_that_failed_is_made_anew(monkeypatch):
    """The numbers of its live calls are forgotten with it."""
    with fc.use("cuda-emu") as be:
        fc.manual_seed(1)
        model = network()
        step = fc.compile(model, loss=fc.nn.CrossEntropyLoss(), optimizer=fc.optim.Adam(model.parameters()))
        ((x, t),) = batches(1)
        step(x, t)
        capture = be._device.capture

        def fails_late(runs):
            capture(runs)
            raise MemoryError("the GPU is full")

        with monkeypatch.context() as failing:
            failing.setattr(type(be._device), "capture", lambda self, runs: fails_late(runs))
            with pytest.raises(MemoryError, match="the GPU is full"):
                step(x, t)
        values = [step(x, t).item() for _ in range(3)]
        (replay,) = step._replays.values()
        assert len(replay._run_all._numbers) == 3  # dropout, its backward, the update
        assert np.isfinite(values).all()
