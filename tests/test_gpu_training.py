"""LeNet-5 on the emulated GPU and a real one: a few training steps, eager and compiled, are the CPU's."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import select

pytestmark = pytest.mark.skipif(select.available()["cpu"] != "ready", reason=select.available()["cpu"])

STEPS = 4
OPTIMIZERS = {
    "sgd": lambda p: fc.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "adam": lambda p: fc.optim.Adam(p, lr=0.01),
}
NETWORKS = {
    "tanh_avg": lambda: fc.models.LeNet5(),
    "relu_max": lambda: fc.models.LeNet5(activation="relu", pooling="max"),
}


def eager(model, optimizer, loss):
    def step(x, t):
        optimizer.zero_grad()
        value = loss(model(x), t)
        value.backward()
        optimizer.step()
        return value

    return step


def train(backend, network, optimizer, compiled):
    """The losses of a few steps and the parameters after them."""
    with fc.use(backend):
        fc.manual_seed(7)
        model = NETWORKS[network]()
        made, loss = OPTIMIZERS[optimizer](model.parameters()), fc.nn.CrossEntropyLoss()
        step = fc.compile(model, loss=loss, optimizer=made) if compiled else eager(model, made, loss)
        rng = np.random.default_rng(8)
        losses = [
            step(rng.random((6, 1, 28, 28), dtype="float32"), rng.integers(0, 10, 6)).item() for _ in range(STEPS)
        ]
        return losses, {name: p.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_lenet5_learns_what_it_learns_on_the_cpu(gpu_backend, network, optimizer, compiled):
    losses, parameters = train(gpu_backend.name, network, optimizer, compiled)
    expected_losses, expected = train("cpu", network, optimizer, compiled)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    for name, p in parameters.items():
        np.testing.assert_allclose(p, expected[name], rtol=1e-3, atol=2e-4, err_msg=name)
