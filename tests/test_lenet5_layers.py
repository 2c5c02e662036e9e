"""The layers of LeNet-5 of 1998 by their equations: subsampling, the table of connections, RBF units, the loss."""

import copy

import numpy as np
import pytest
import reference
from checks import assert_exact, assert_within, sum_bound
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import functional as F
from fastconv import nn

TABLE = ((0, 2), (1,), (2, 1, 0))


@pytest.fixture(autouse=True)
def on_backend(backend):
    fc.manual_seed(0)
    with fc.use(backend.name):
        yield


def whole(rng, *shape, dtype="float32"):
    return rng.integers(-4, 5, shape).astype(dtype)


def set_to(parameter, values):
    """`parameter` of a module with these values; returns them."""
    parameter.data[...] = parameter.backend.asarray(values)
    return values


def window_sums(x, kernel, stride):
    return reference.avg_pool2d(x, kernel, stride) * (kernel[0] * kernel[1])


def gradcheck(layer, x):
    """Of the layer's input and of all its parameters, in float64."""
    own = dict(layer.own_parameters())

    def call(x, *values):
        twin = copy.copy(layer)
        for name, value in zip(own, values, strict=True):
            setattr(twin, name, value)
        return twin(x)

    return fc.gradcheck(call, x, *(p.numpy() for p in own.values()))


class TestSubsampling2d:
    def test_is_weight_times_the_sum_plus_bias(self, rng):
        layer, x = nn.Subsampling2d(3), whole(rng, 2, 3, 6, 8)
        weight, bias = set_to(layer.weight, whole(rng, 3)), set_to(layer.bias, whole(rng, 3))
        sums = x.reshape(2, 3, 3, 2, 4, 2).sum((3, 5))
        assert_exact(layer(x).numpy(), sums * weight[:, None, None] + bias[:, None, None], "float32")

    def test_starts_as_average_pooling(self, rng):
        x = whole(rng, 2, 3, 6, 8)
        assert_exact(nn.Subsampling2d(3)(x).numpy(), reference.avg_pool2d(x, (2, 2), (2, 2)), "float32")

    @given(st.integers(1, 9), st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 3)] * 2), st.data())
    def test_any_window_and_stride(self, channels, kernel, stride, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        layer, x = nn.Subsampling2d(channels, kernel, stride), whole(rng, 2, channels, 5, 4)
        weight = set_to(layer.weight, whole(rng, channels))
        terms, column = kernel[0] * kernel[1], weight[:, None, None]
        bound = 4 * sum_bound("float32", terms, window_sums(abs(x), kernel, stride) * abs(column))
        assert_within(layer(x).numpy(), window_sums(x, kernel, stride) * column, bound)

    def test_gradients(self, rng):
        layer = nn.Subsampling2d(2, (2, 3), 2, dtype="float64")
        assert gradcheck(layer, rng.standard_normal((2, 2, 5, 7)))

    def test_two_parameters_a_map_and_a_telling_repr(self):
        layer = nn.Subsampling2d(6)
        assert [p.shape for p in layer.parameters()] == [(6,), (6,)]
        assert repr(layer) == "Subsampling2d(6, kernel_size=2, stride=2)"

    def test_mistakes_are_named(self):
        with pytest.raises(fc.DTypeError, match="weights are float32 or float64, got dtype='float16'"):
            nn.Subsampling2d(3, dtype="float16")
        with pytest.raises(fc.ArgumentError, match="channels and kernel_size must be at least 1, got 0 and 2"):
            nn.Subsampling2d(0)
        with pytest.raises(fc.ShapeError, match="4"):
            nn.Subsampling2d(6)(np.zeros((1, 4, 6, 6), "float32"))


class TestSparseConv2d:
    def layer(self, rng, table=TABLE, in_channels=3, kernel=3, **options):
        """With small whole numbers as parameters, and its filters by their definition."""
        layer = nn.SparseConv2d(in_channels, table, kernel, **options)
        weight = set_to(layer.weight, whole(rng, *layer.weight.shape))
        filters, each = np.zeros((len(table), in_channels, *layer.kernel_size)), iter(weight)
        for i, seen in enumerate(table):
            for c in seen:
                filters[i, c] = next(each)
        set_to(layer.bias, whole(rng, len(table)))
        return layer, filters

    @pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": (1, 2)}])
    def test_is_a_convolution_with_zeros_where_the_table_has_none(self, rng, options):
        layer, filters = self.layer(rng, **options)
        x = whole(rng, 2, 3, 7, 8)
        expected = F.conv2d(x, filters.astype("float32"), layer.bias.numpy(), **options)
        assert_exact(layer.filters().numpy(), filters, "float32")
        assert_exact(layer(x).numpy(), expected.numpy(), "float32")

    def test_each_map_sees_its_own_maps_only(self, rng):
        layer, filters = self.layer(rng)
        x = whole(rng, 2, 3, 5, 5)
        for i, seen in enumerate(TABLE):
            alone = reference.conv2d(x[:, list(seen)], filters[i : i + 1, list(seen)], layer.bias.numpy()[i : i + 1])
            assert_exact(layer(x).numpy()[:, i : i + 1], alone, "float32")

    @given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=6), st.integers(1, 3))
    def test_any_table(self, table, kernel):
        rng = np.random.default_rng(len(table))
        layer, filters = self.layer(rng, [sorted(seen) for seen in table], 5, kernel)
        x, dy = whole(rng, 2, 5, 4, 4), whole(rng, 2, len(table), 5 - kernel, 5 - kernel)
        x = fc.tensor(x, requires_grad=True)
        layer(x).backward(dy)
        dx, dw, db = reference.conv2d_backward(dy, x.numpy(), filters)
        assert_exact(x.grad.numpy(), dx, "float32")
        places = [(i, c) for i, seen in enumerate(table) for c in sorted(seen)]
        assert_exact(layer.weight.grad.numpy(), np.array([dw[place] for place in places]), "float32")
        assert_exact(layer.bias.grad.numpy(), db, "float32")

    def test_gradients(self, rng):
        layer = nn.SparseConv2d(3, TABLE, (2, 3), padding=1, dtype="float64")
        assert gradcheck(layer, rng.standard_normal((2, 3, 4, 4)))

    def test_first_values_lie_within_one_over_the_root_of_a_maps_inputs(self):
        layer = nn.SparseConv2d(9, [range(9), [0]], 5)
        wide, narrow = layer.weight.numpy()[:9], layer.weight.numpy()[9:]
        assert 0.9 / 15 < abs(wide).max() <= 1 / 15
        assert 1 / 15 < abs(narrow).max() <= 1 / 5

    def test_it_saves_only_what_the_table_joins(self):
        layer = nn.SparseConv2d(3, TABLE, 5, bias=False)
        assert {name: value.shape for name, value in layer.state_dict().items()} == {"weight": (6, 5, 5)}
        assert repr(layer) == (
            "SparseConv2d(3, 3 maps of 6 connections, kernel_size=(5, 5), stride=1, padding=0, dilation=1, bias=False)"
        )

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ([[0], []], r"output map 1 must see some of the input maps 0 to 2, each once, got \(\)"),
            ([[0, 3]], r"output map 0 .* got \(0, 3\)"),
            ([[-1]], r"got \(-1,\)"),
            ([[1, 1]], r"each once, got \(1, 1\)"),
            ([], "at least one output map"),
            ([0, 1], r"must list each output map's input maps, got \[0, 1\]"),
            (5, "must list each output map's input maps, got 5"),
        ],
    )
    def test_mistakes_are_named(self, table, message):
        with pytest.raises(fc.ArgumentError, match=message):
            nn.SparseConv2d(3, table, 3)


class TestRBF:
    def distances(self, x, centers):
        return ((x[:, None].astype("float64") - centers) ** 2).sum(2)

    def test_is_the_squared_distance_from_each_center(self, rng):
        x, centers = whole(rng, 4, 7), whole(rng, 3, 7)
        assert_exact(nn.RBF(7, 3, centers)(x).numpy(), self.distances(x, centers), "float32")

    def test_given_centers_stay(self, rng):
        centers = whole(rng, 3, 7)
        layer = nn.RBF(7, 3, centers)
        assert not layer.parameters()
        assert repr(layer) == "RBF(7, 3, centers fixed)"
        centers[...] = 9
        assert abs(layer.centers.numpy()).max() < 9

    def test_without_centers_they_start_at_minus_and_plus_1_and_are_trained(self, rng):
        layer = nn.RBF(50, 4)
        centers = layer.centers.numpy()
        assert set(centers.flat) == {-1, 1}
        assert abs(centers.mean()) < 0.3
        assert repr(layer) == "RBF(50, 4, centers trained)"
        x = whole(rng, 2, 50)
        assert_exact(layer(x).numpy(), self.distances(x, centers), "float32")

    def test_gradients(self, rng):
        x = rng.standard_normal((3, 5))
        assert gradcheck(nn.RBF(5, 4, dtype="float64"), x)
        assert gradcheck(nn.RBF(5, 2, rng.standard_normal((2, 5)), dtype="float64"), x)

    def test_mistakes_are_named(self):
        with pytest.raises(fc.ShapeError, match=r"\(out_features, in_features\), \(3, 7\), got \(7, 3\)"):
            nn.RBF(7, 3, np.zeros((7, 3)))
        with pytest.raises(fc.ArgumentError, match=r"RBF: centers must be an array of numbers of shape \(2, 3\)"):
            nn.RBF(3, 2, [[1, 2, 3], [4, 5]])
        with pytest.raises(fc.DTypeError, match="weights are float32 or float64, got dtype='float16'"):
            nn.RBF(3, 2, np.zeros((2, 3)), dtype="float16")
        for x in (np.zeros(3, "float32"), np.zeros((1, 4), "float32")):
            with pytest.raises(fc.ShapeError, match=r"RBF: x must be \(N, 3\), got shape"):
                nn.RBF(3, 2)(x)
        with pytest.raises(fc.ArgumentError, match="both sizes must be at least 1, got 0 and 3"):
            nn.RBF(0, 3)


class TestScaledTanh:
    def test_keeps_1_and_minus_1(self):
        np.testing.assert_allclose(nn.ScaledTanh()(np.array([-1.0, 0.0, 1.0])).numpy(), [-1, 0, 1], atol=2e-5)

    def test_is_its_formula_with_its_derivative(self, rng):
        x = rng.standard_normal((2, 3, 4, 5)) * 3
        np.testing.assert_allclose(F.scaled_tanh(x).numpy(), 1.7159 * np.tanh(2 / 3 * x), rtol=1e-14)
        assert fc.gradcheck(F.scaled_tanh, x)


class TestMAPLoss:
    def penalties(self, rng):
        return rng.uniform(0, 4, (5, 3)), np.array([0, 2, 1, 1, 0])

    @pytest.mark.parametrize("j", [0.1, 2.0])
    def test_is_equation_9(self, rng, j):
        y, labels = self.penalties(rng)
        expected = (y[range(5), labels] + np.log(np.exp(-j) + np.exp(-y).sum(1))).mean()
        assert nn.MAPLoss(j)(-y, labels).item() == pytest.approx(expected, rel=1e-13)
        assert nn.MAPLoss(j)(-y, np.eye(3)[labels]).item() == pytest.approx(expected, rel=1e-13)

    def test_with_a_large_j_it_is_cross_entropy(self, rng):
        y, labels = self.penalties(rng)
        assert F.map_loss(-y, labels, j=100).item() == pytest.approx(F.cross_entropy(-y, labels).item(), rel=1e-13)

    def test_labels_follow_the_scores_to_their_backend(self, rng):
        y, labels = self.penalties(rng)
        elsewhere = fc.tensor(-y).to("reference")
        assert F.map_loss(elsewhere, labels).item() == pytest.approx(F.map_loss(-y, labels).item(), rel=1e-13)

    def test_gradients(self, rng):
        y, labels = self.penalties(rng)
        assert fc.gradcheck(lambda scores: F.map_loss(scores, labels), -y)

    def test_mistakes_are_named(self):
        with pytest.raises(fc.ShapeError, match=r"map_loss: scores must be \(N, classes\), got \(3,\)"):
            F.map_loss(np.zeros(3, "float32"), np.zeros(3, "int64"))
        scores = np.zeros((2, 3), "float32")
        for rubbish in ([0, 3], np.array([9, 0])):  # a device's labels are not waited for
            with fc.use("cpu"), pytest.raises(fc.ArgumentError, match="map_loss: labels must be from 0 to 2, got"):
                F.map_loss(scores, rubbish)
        for labels in (np.eye(4)[[0, 3]], np.eye(2), [0, 1, 2]):
            with pytest.raises(fc.ShapeError, match=r"map_loss: one label per row .* scores \(2, 3\), labels"):
                F.map_loss(scores, labels)
        assert repr(nn.MAPLoss()) == "MAPLoss(j=0.1)"
