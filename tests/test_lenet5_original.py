"""LeNet-5 of 1998 as a whole: the paper's numbers, what its scores mean, training and files."""

import numpy as np
import pytest
from eager_steps import eager

import fastconv as fc
from fastconv import nn
from fastconv.models.digit_codes import digit_codes
from fastconv.models.lenet5_original import CONNECTIONS


@pytest.fixture(autouse=True)
def seeded(backend):
    fc.manual_seed(0)
    with fc.use(backend.name):
        yield


def images(n, shape=(1, 28, 28)):
    rng = np.random.default_rng(0)
    return rng.random((n, *shape), dtype="float32"), rng.integers(0, 10, n)


class TestThePapersNumbers:
    def test_b14_parameters_layer_by_layer(self):
        rows = fc.summary(fc.models.LeNet5Original((1, 32, 32)), (1, 32, 32)).rows
        counts = {row.name: row.parameters for row in rows if row.parameters}
        assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
        assert sum(counts.values()) == 60_000

    def test_sizes_of_the_maps(self):
        rows = fc.summary(fc.models.LeNet5Original(), (1, 28, 28)).rows
        shapes = {row.name: row.shape for row in rows if not row.name.startswith(("act", "flat"))}
        assert shapes == {
            "c1": (6, 28, 28), "s2": (6, 14, 14), "c3": (16, 10, 10), "s4": (16, 5, 5), "c5": (120,), "f6": (84,),
            "output": (10,),
        }  # fmt: skip

    def test_a42_the_table_of_c3(self):
        assert [len(seen) for seen in CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
        assert [sum(c in seen for seen in CONNECTIONS) for c in range(6)] == [10] * 6
        assert len(set(CONNECTIONS)) == 16
        parameters = 6 * (5 * 5 * 3 + 1) + 9 * (5 * 5 * 4 + 1) + (5 * 5 * 6 + 1)
        assert parameters == sum(p.size for p in fc.models.LeNet5Original().c3.parameters()) == 1516
        assert parameters * 10 * 10 == 151_600  # connections

    def test_a31_the_codes_are_ten_pictures_of_7x12(self):
        codes = digit_codes()
        assert codes.shape == (10, 7 * 12)
        assert set(codes.flat) == {-1, 1}
        one = codes[1].reshape(12, 7)
        assert one[5].tolist() == [-1, -1, -1, 1, 1, -1, -1]
        differing = (codes[:, None] != codes).sum(2) + 84 * np.eye(10)
        assert differing.min() == 10  # between 6 and 8


class TestScores:
    def test_are_minus_the_distances(self, backend):
        net = fc.models.LeNet5Original()
        x, _ = images(3)
        f6 = x
        for layer in list(net.layers.values())[:-1]:
            f6 = layer(f6)
        distances = ((f6.numpy()[:, None].astype("float64") - digit_codes()) ** 2).sum(2)
        np.testing.assert_allclose(net(x).numpy(), -distances, rtol=1e-5)
        assert (backend.to_numpy(net.predict(x)).argmax(1) == distances.argmin(1)).all()

    def test_28x28_is_32x32_with_a_border_of_zeros(self):
        small, large = fc.models.LeNet5Original(), fc.models.LeNet5Original((1, 32, 32))
        large.load_state_dict(small.state_dict())
        x, _ = images(2)
        np.testing.assert_allclose(large(np.pad(x, [(0, 0)] * 2 + [(2, 2)] * 2)).numpy(), small(x).numpy(), rtol=1e-5)

    def test_fewer_digits_and_more_channels(self):
        net = fc.models.LeNet5Original((3, 32, 32), output_size=4, activation="tanh")
        assert net(np.zeros((2, 3, 32, 32), "float32")).shape == (2, 4)

    def test_mistakes_are_named(self):
        with pytest.raises(fc.ArgumentError, match="28x28 or 32x32, input_dim is"):
            fc.models.LeNet5Original((1, 8, 8))
        with pytest.raises(fc.ArgumentError, match="1 to 10 of them, not 11"):
            fc.models.LeNet5Original(output_size=11)
        with pytest.raises(fc.ArgumentError, match="scaled_tanh, tanh, got 'relu'"):
            fc.models.LeNet5Original(activation="relu")


class TestTraining:
    def losses(self, make_step, steps):
        fc.manual_seed(1)
        net = fc.models.LeNet5Original()
        step = make_step(net, nn.MAPLoss(), fc.optim.Adam(net.parameters(), lr=0.002))
        x, t = images(20)
        return np.array([step(x[i % 5 :: 5], t[i % 5 :: 5]).item() for i in range(steps)])

    def test_compiled_steps_are_eager_steps(self, backend):
        steps = 200 if backend.name == "cpu" else 3
        expected, losses = self.losses(eager, steps), self.losses(fc.compile, steps)
        np.testing.assert_allclose(losses, expected, rtol=2e-3, atol=2e-3)
        assert losses[-1] < losses[0]

    def test_one_thread_gives_the_same_bits(self, backend):
        if backend.name != "cpu":
            pytest.skip("threads are the cpu backend's")
        losses, before = self.losses(fc.compile, 20), fc.get_threads()
        fc.set_threads(1)
        try:
            np.testing.assert_array_equal(self.losses(fc.compile, 20), losses)
        finally:
            fc.set_threads(before)

    def test_compiled_prediction_is_the_networks(self):
        net, (x, _) = fc.models.LeNet5Original().eval(), images(3)
        for frozen in (False, True):
            np.testing.assert_allclose(fc.compile(net, frozen=frozen)(x).numpy(), net(x).numpy(), rtol=1e-5)

    def test_gradients_agree_with_finite_differences(self):
        net = fc.models.LeNet5Original()
        x, t = images(2)
        backward = net.gradient(x, t)
        assert {name: net.params[name].shape for name in ("W2", "b2", "W3", "b3")} == {
            "W2": (6,), "b2": (6,), "W3": (60, 5, 5), "b3": (16,),
        }  # fmt: skip
        for name in ("W2", "b3"):  # the others would take minutes
            parameter = net.params.parameter(name)
            for i in (0, 5):
                losses = []
                for move in (0.01, -0.01):
                    parameter.data[i] += move
                    losses.append(net.loss(x, t))
                    parameter.data[i] -= move
                assert backward[name][i] == pytest.approx((losses[0] - losses[1]) / 0.02, rel=0.02, abs=0.02)


def test_a_saved_network_is_built_again(tmp_path):
    net, (x, _) = fc.models.LeNet5Original(activation="tanh"), images(2)
    fc.save(net, tmp_path / "net.safetensors")
    again = fc.load(tmp_path / "net.safetensors")
    assert again.config == net.config
    assert sum(p.size for p in again.parameters()) == 60_000
    np.testing.assert_array_equal(again(x).numpy(), net(x).numpy())


def test_c4_lenet_of_two_convolutions_with_pooling_and_two_full_layers():
    """The lectures' plain LeNet for digits: 2 x (convolution, pooling), 2 fully connected layers."""
    lenet = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 5 * 5, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    x, t = images(8)
    step = fc.compile(lenet, loss=nn.CrossEntropyLoss(), optimizer=fc.optim.Adam(lenet.parameters(), lr=0.01))
    losses = [step(x, t).item() for _ in range(10)]
    assert losses[-1] < losses[0]
