"""PyTorch, where it is installed, as one more witness: layers, losses, gradients and optimizers give its numbers."""

import numpy as np
import pytest
from cases import CONV_CASES, POOL_CASES, names

import fastconv as fc
from fastconv import functional as F

torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is one more witness, not a requirement")

# PyTorch pads evenly only, and pools by at most half the kernel.
CONV = [c for c in CONV_CASES if c.padding != "same" and c.padding[0] == c.padding[1] and c.padding[2] == c.padding[3]]
POOL = [
    c for c in POOL_CASES
    if c.padding[0] == c.padding[1] <= c.kernel[0] // 2 and c.padding[2] == c.padding[3] <= c.kernel[1] // 2
]  # fmt: skip
AVERAGES = [c for c in POOL if c.dilation == (1, 1)]


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


def both(f, g, *arrays):
    """The results and gradients of our f and torch's g, for the same random gradient of the result."""
    ours = [fc.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = f(*ours), g(*theirs)
    dy = np.random.default_rng(0).standard_normal(tuple(z.shape))
    y.backward(dy)
    z.backward(torch.tensor(dy, dtype=z.dtype))
    pairs = [(y.numpy(), z.detach().numpy())]
    return pairs + [(a.grad.numpy(), b.grad.numpy()) for a, b in zip(ours, theirs, strict=True)]


def agree(pairs, tolerance=1e-10):
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


class TestFunctions:
    @pytest.mark.parametrize("case", CONV, ids=names(CONV))
    def test_conv2d(self, case, rng):
        padding = case.padding[0], case.padding[2]
        options = (case.stride, padding, case.dilation, case.groups)
        arrays = [rng.standard_normal(shape) for shape in (case.x, case.w, (case.w[0],))]
        agree(both(
            lambda x, w, b: F.conv2d(x, w, b, *options),
            lambda x, w, b: torch.nn.functional.conv2d(x, w, b, *options), *arrays,
        ))  # fmt: skip

    @pytest.mark.parametrize("case", POOL, ids=names(POOL))
    def test_max_pool2d(self, case, rng):
        options = (case.kernel, case.stride, (case.padding[0], case.padding[2]), case.dilation, case.ceil_mode)
        agree(both(
            lambda x: F.max_pool2d(x, *options), lambda x: torch.nn.functional.max_pool2d(x, *options),
            rng.standard_normal(case.x),
        ))  # fmt: skip

    @pytest.mark.parametrize("case", AVERAGES, ids=names(AVERAGES))
    def test_avg_pool2d(self, case, rng):
        padding = case.padding[0], case.padding[2]
        options = (case.kernel, case.stride, padding, case.ceil_mode, case.count_include_pad)
        agree(both(
            lambda x: F.avg_pool2d(x, *options), lambda x: torch.nn.functional.avg_pool2d(x, *options),
            rng.standard_normal(case.x),
        ))  # fmt: skip

    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh"])
    def test_activations(self, name, rng):
        agree(both(getattr(F, name), getattr(torch.nn.functional, name), 3 * rng.standard_normal((2, 3, 4, 5))))

    def test_linear(self, rng):
        arrays = [rng.standard_normal(shape) for shape in ((3, 5), (4, 5), (4,))]
        agree(both(F.linear, torch.nn.functional.linear, *arrays))

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4, 7)])
    def test_batch_norm(self, shape, training, rng):
        running = rng.standard_normal(5), rng.uniform(0.5, 2, 5)
        ours, theirs = [fc.tensor(a.copy()) for a in running], [torch.tensor(a.copy()) for a in running]
        agree(both(
            lambda x, w, b: F.batch_norm(x, *ours, w, b, training, 0.3, 0.01),
            lambda x, w, b: torch.nn.functional.batch_norm(x, *theirs, w, b, training, 0.3, 0.01),
            *(rng.standard_normal(s) for s in (shape, (5,), (5,))),
        ))  # fmt: skip
        agree([(a.numpy(), b.numpy()) for a, b in zip(ours, theirs, strict=True)])

    @pytest.mark.parametrize(("shape", "k", "axis"), [((2, 3, 9), 4, -1), ((2, 3, 5, 6), 2, 2)])
    def test_k_max_pool(self, shape, k, axis, rng):
        """PyTorch has topk, which orders by size; its places, sorted, bring the values back into their order."""

        def theirs(x):
            return x.gather(axis, x.topk(k, axis).indices.sort(axis).values)

        agree(both(lambda x: F.k_max_pool(x, k, axis), theirs, rng.standard_normal(shape)))

    @pytest.mark.parametrize("options", [(5,), (5, 5e-4, 0.75, 2.0), (4, 1.0, 0.5), (3, 2.0, 1.5, 0.5), (19, 1.0)])
    def test_local_response_norm(self, options, rng):
        ours, theirs = F.local_response_norm, torch.nn.functional.local_response_norm
        agree(both(lambda x: ours(x, *options), lambda x: theirs(x, *options), 3 * rng.standard_normal((2, 9, 4, 5))))

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_cross_entropy(self, reduction, rng):
        labels = rng.integers(0, 7, 9)
        agree(both(
            lambda x: F.cross_entropy(x, labels, reduction),
            lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(labels), reduction=reduction),
            3 * rng.standard_normal((9, 7)),
        ))  # fmt: skip

    def test_same_padding_at_stride_1(self, rng):
        x, w = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((4, 3, 3, 5))
        agree(both(
            lambda x, w: F.conv2d(x, w, padding="same"),
            lambda x, w: torch.nn.functional.conv2d(x, w, padding="same"), x, w,
        ))  # fmt: skip


class TestOptimizers:
    @pytest.mark.parametrize(
        ("ours", "theirs", "options"),
        [
            ("SGD", "SGD", {"lr": 0.1}),
            ("SGD", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
            ("SGD", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            ("AdaGrad", "Adagrad", {"lr": 0.1, "weight_decay": 0.01}),
            ("RMSprop", "RMSprop", {"lr": 0.01, "alpha": 0.95}),
            ("Adadelta", "Adadelta", {"lr": 1.0, "rho": 0.9}),
            ("Adam", "Adam", {"lr": 0.01, "weight_decay": 0.1}),
            ("AdamW", "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
        ],
    )
    def test_ten_steps(self, ours, theirs, options, rng):
        start = rng.standard_normal((3, 4))
        p, q = fc.nn.Parameter(start.copy()), torch.nn.Parameter(torch.tensor(start))
        one, other = getattr(fc.optim, ours)([p], **options), getattr(torch.optim, theirs)([q], **options)
        for _ in range(10):
            for value, optimizer in ((p, one), (q, other)):
                optimizer.zero_grad()
                (value**2 * 0.5 + value**3).sum().backward()
                optimizer.step()
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9)

    @pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adadelta", "Adam", "AdamW"])
    def test_defaults_are_the_same(self, name, rng):
        start = rng.standard_normal(5)
        p, q = fc.nn.Parameter(start.copy()), torch.nn.Parameter(torch.tensor(start))
        options = {"lr": 0.01} if name == "SGD" else {}
        one, other = getattr(fc.optim, name)([p], **options), getattr(torch.optim, name)([q], **options)
        for value, optimizer in ((p, one), (q, other)):
            (value**2).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9)


class TestTraining:
    def test_ten_steps_of_a_network(self, rng):
        """The same first weights, the same images: the same weights after ten steps of Adam in float64."""
        x, labels = rng.random((8, 1, 12, 12)), rng.integers(0, 5, 8)
        net = fc.nn.Sequential(
            fc.nn.Conv2d(1, 4, 3, padding=1, dtype="float64"), fc.nn.BatchNorm2d(4, dtype="float64"), fc.nn.ReLU(),
            fc.nn.MaxPool2d(2), fc.nn.Conv2d(4, 6, 3, dtype="float64"), fc.nn.Tanh(), fc.nn.AvgPool2d(2),
            fc.nn.Flatten(), fc.nn.Linear(24, 5, dtype="float64"),
        )  # fmt: skip
        twin = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(4, 6, 3), torch.nn.Tanh(), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
            torch.nn.Linear(24, 5),
        ).double()  # fmt: skip
        twin.load_state_dict({name: torch.tensor(value) for name, value in net.state_dict().items()})
        ours, theirs = fc.optim.Adam(net.parameters()), torch.optim.Adam(twin.parameters())
        for _ in range(10):
            ours.zero_grad()
            fc.nn.CrossEntropyLoss()(net(x), labels).backward()
            ours.step()
            theirs.zero_grad()
            torch.nn.CrossEntropyLoss()(twin(torch.tensor(x)), torch.tensor(labels)).backward()
            theirs.step()
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-7, atol=1e-9)
