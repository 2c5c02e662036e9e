"""Networks on the emulated GPU and a real one: a few training steps, eager and compiled, are the CPU's."""

import numpy as np
import pytest
from eager_steps import eager

import fastconv as fc
from fastconv.backends import select

pytestmark = pytest.mark.skipif(select.available()["cpu"] != "ready", reason=select.available()["cpu"])

STEPS = 4


class Nearness(fc.nn.RBF):
    """Scores of classes from distances."""

    def forward(self, x):
        return -super().forward(x)


OPTIMIZERS = {
    "sgd": lambda p: fc.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "adam": lambda p: fc.optim.Adam(p, lr=0.01),
}
NETWORKS = {
    "tanh_avg": lambda: fc.models.LeNet5(),
    "relu_max": lambda: fc.models.LeNet5(activation="relu", pooling="max"),
    "normalised": lambda: fc.nn.Sequential(
        fc.nn.Conv2d(1, 6, 5, stride=2, bias=False), fc.nn.BatchNorm2d(6), fc.nn.ReLU(),
        fc.nn.LocalResponseNorm(9, alpha=0.1), fc.nn.SparseConv2d(6, ((0, 1, 2), (2, 3), (1, 4, 5), (0, 5)), 3),
        fc.nn.LocalResponseNorm(5, alpha=0.1), fc.nn.Subsampling2d(4), fc.nn.Tanh(), fc.nn.KMaxPool(3), fc.nn.Flatten(),
        fc.nn.Linear(60, 8, bias=False), fc.nn.BatchNorm1d(8), Nearness(8, 10),
    ),
}  # fmt: skip


def train(backend, network, optimizer, compiled):
    """The losses of a few steps and the parameters after them."""
    with fc.use(backend):
        fc.manual_seed(7)
        model = NETWORKS[network]()
        made, loss = OPTIMIZERS[optimizer](model.parameters()), fc.nn.CrossEntropyLoss()
        step = fc.compile(model, loss=loss, optimizer=made) if compiled else eager(model, loss, made)
        rng = np.random.default_rng(8)
        losses = [
            step(rng.random((6, 1, 28, 28), dtype="float32"), rng.integers(0, 10, 6)).item() for _ in range(STEPS)
        ]
        return losses, model.state_dict()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_networks_learn_what_they_learn_on_the_cpu(gpu_backend, network, optimizer, compiled):
    losses, parameters = train(gpu_backend.name, network, optimizer, compiled)
    expected_losses, expected = train("cpu", network, optimizer, compiled)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    for name, p in parameters.items():
        np.testing.assert_allclose(p, expected[name], rtol=1e-3, atol=2e-4, err_msg=name)


def trained(backend, folder, epochs, resume=False):
    """The history of a network with dropout, and its parameters as they come back from its file."""
    rng = np.random.default_rng(9)
    x, t = rng.random((50, 1, 8, 8), dtype="float32"), rng.integers(0, 3, 50)
    with fc.use(backend):
        fc.manual_seed(2)

        def network():
            return fc.nn.Sequential(
                fc.nn.Conv2d(1, 4, 3), fc.nn.ReLU(), fc.nn.MaxPool2d(2), fc.nn.Flatten(), fc.nn.Dropout(0.3),
                fc.nn.Linear(36, 3),
            )  # fmt: skip

        model = network()
        optimizer = fc.optim.Adam(model.parameters(), lr=0.01)
        trainer = fc.Trainer(model, optimizer, checkpoint=folder / "checkpoints", progress=False)
        history = trainer.fit((x, t), validation=(x[:20], t[:20]), epochs=epochs, batch_size=16, resume=resume)
        fc.save(model, folder / "model.safetensors")
        loaded = fc.load(network(), folder / "model.safetensors")
        return history, {name: p.numpy() for name, p in loaded.named_parameters()}


def test_the_trainer_does_what_it_does_on_the_cpu(gpu_backend, tmp_path):
    for name in ("cpu", gpu_backend.name):
        (tmp_path / name).mkdir()
    history, parameters = trained(gpu_backend.name, tmp_path / gpu_backend.name, 3)
    expected_history, expected = trained("cpu", tmp_path / "cpu", 3)
    np.testing.assert_allclose(history.column("train_loss"), expected_history.column("train_loss"), rtol=1e-4)
    for name, p in parameters.items():
        np.testing.assert_allclose(p, expected[name], rtol=1e-3, atol=2e-4, err_msg=name)


def test_a_run_that_is_resumed_ends_with_the_same_bits(gpu_backend, tmp_path):
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    _, whole = trained(gpu_backend.name, tmp_path / "whole", 4)
    trained(gpu_backend.name, tmp_path / "halves", 2)
    _, halves = trained(gpu_backend.name, tmp_path / "halves", 4, resume=True)
    for name, p in whole.items():
        np.testing.assert_array_equal(p, halves[name], err_msg=name)
