"""Threads of the CPU backend: how many, that results do not depend on them, and calls from several Python threads."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cases import CONV_CASES, POOL_CASES, ConvCase, PoolCase, conv_values, floats

import fastconv as fc
from fastconv.backends import select

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)

LARGE_CONV = [
    ConvCase("many_rows", x=(5, 3, 33, 31), w=(8, 3, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("many_channels", x=(3, 64, 9, 9), w=(70, 64, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("large_batch", x=(64, 1, 12, 12), w=(6, 1, 5, 5)),
]
LARGE_POOL = [PoolCase("many_maps", x=(9, 33, 20, 20), kernel=(2, 2), stride=(2, 2))]


def results(backend):
    """(name, result) of a call of every kind, on random floats that are the same each time."""
    rng = np.random.default_rng(5)
    for case in CONV_CASES[::3] + LARGE_CONV:
        g = case.geometry
        x, w, b, dy = (backend.asarray(a) for a in conv_values(case, rng, floats))
        yield f"forward {case.name}", backend.conv2d_forward(x, w, b, g, activation="tanh")
        yield f"backward_data {case.name}", backend.conv2d_backward_data(dy, w, g)
        for name, a in zip(("dw", "db"), backend.conv2d_backward_weight(dy, x, g), strict=True):
            yield f"{name} {case.name}", a
        yield f"im2col {case.name}", backend.im2col(x, g)
    for case in POOL_CASES[::3] + LARGE_POOL:
        g = case.geometry
        x, dy = backend.asarray(floats(rng, g.x_shape)), backend.asarray(floats(rng, g.y_shape))
        y, argmax = backend.max_pool2d_forward(x, g)
        yield f"max {case.name}", y
        yield f"max backward {case.name}", backend.max_pool2d_backward(dy, argmax, g)
        yield f"average {case.name}", backend.avg_pool2d_forward(x, g)
        yield f"average backward {case.name}", backend.avg_pool2d_backward(dy, g)
    for shape in ((9, 33, 20, 20), (5, 3, 130, 131), (300, 70)):
        x, dy = backend.asarray(floats(rng, shape)), backend.asarray(floats(rng, shape))
        mean, var = backend.batch_norm_statistics(x, None, None, momentum=0.1)
        dx, dgamma, dbeta = backend.batch_norm_backward(dy, x, mean, var, None, eps=1e-5, batch_statistics=True)
        y = backend.batch_norm_forward(x, mean, var, dgamma, dbeta, eps=1e-5)
        for name, a in zip(
            ("mean", "var", "y", "dx", "dgamma", "dbeta"), (mean, var, y, dx, dgamma, dbeta), strict=True
        ):
            yield f"batch norm {shape} {name}", a
        best, places = backend.k_max_forward(x, 5, -1)
        yield f"k largest {shape}", best
        yield f"k largest backward {shape}", backend.k_max_backward(best, places, shape[-1], -1)
        response = fc.geometry.LocalResponse(5, alpha=0.1)
        yield f"local response {shape}", backend.local_response_norm_forward(x, response)
        yield f"local response backward {shape}", backend.local_response_norm_backward(dy, x, response)
    x, w, dy = (backend.asarray(floats(rng, shape)) for shape in ((130, 257), (65, 257), (130, 65)))
    yield "linear", backend.linear_forward(x, w, None)
    for name, a in zip(("dx", "dw", "db"), backend.linear_backward(dy, x, w), strict=True):
        yield f"linear {name}", a
    flat = backend.asarray(floats(rng, (100_003,)))
    yield "sigmoid", backend.activation_forward("sigmoid", flat)
    yield "dropout", backend.dropout(flat, 0.5, 1)
    labels = backend.asarray(rng.integers(0, 65, 130))
    yield from zip(("loss", "probabilities"), backend.softmax_cross_entropy_forward(dy, labels), strict=True)
    backend.sgd_step([flat], [flat * 0.5], [], lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.1)
    yield "sgd", flat


def trained_weights():
    """A small network after five steps of Adam."""
    fc.manual_seed(3)
    rng = np.random.default_rng(4)
    x, labels = rng.random((20, 1, 14, 14), dtype="float32"), rng.integers(0, 10, 20)
    net = fc.nn.Sequential(
        fc.nn.Conv2d(1, 6, 3), fc.nn.ReLU(), fc.nn.MaxPool2d(2), fc.nn.Conv2d(6, 9, 3), fc.nn.Tanh(),
        fc.nn.Flatten(), fc.nn.Dropout(0.3), fc.nn.Linear(144, 10),
    )  # fmt: skip
    optimizer = fc.optim.Adam(net.parameters())
    for _ in range(5):
        optimizer.zero_grad()
        fc.nn.CrossEntropyLoss()(net(x), labels).backward()
        optimizer.step()
    return net.state_dict().items()


def print_digests(counts):
    """For each number of threads one line of JSON: a digest of every result."""
    backend = fc.use("cpu").backend
    for n in counts:
        fc.set_threads(n)
        assert fc.get_threads() == n
        print(json.dumps({name: digest(a) for name, a in [*results(backend), *trained_weights()]}))


def digest(a):
    return hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()[:12]


def run_here(code, **environment):
    """Run `code` in a fresh Python that can import this file."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_bits_whatever_the_number_of_threads():
    counts = (1, 2, 3, 4, 7)
    lines = run_here(f"import test_threads as t; t.print_digests({counts})", NUMBA_NUM_THREADS="7").splitlines()
    alone, *others = (json.loads(line) for line in lines)
    assert len(alone) > 100
    assert others == [alone] * 4


def test_several_python_threads_may_compute_at_the_same_time():
    """In a process of its own: a thread pool that cannot take it would end the whole process."""
    code = "import test_threads as t; t.compute_in_python_threads()"
    assert run_here(code, NUMBA_NUM_THREADS="2").strip() == "equal"


def compute_in_python_threads():
    backend = fc.use("cpu").backend
    expected = {name: digest(a) for name, a in results(backend)}
    found = []

    def work():
        found.append({name: digest(a) for name, a in results(backend)})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [expected] * 4
    print("equal")


@pytest.mark.parametrize("n", [0, -1, 10**6, 1.5, None, "2"])
def test_impossible_numbers_of_threads(n):
    before = fc.get_threads()
    with pytest.raises(fc.ArgumentError, match="set_threads: n must be"):
        fc.set_threads(n)
    assert fc.get_threads() == before


def test_one_thread_and_back():
    before = fc.get_threads()
    fc.set_threads(1)
    assert fc.get_threads() == 1
    fc.set_threads(before)
    assert fc.get_threads() == before
