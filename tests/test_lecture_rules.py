"""The rules and formulas that the lectures state, each with a number that can be checked by hand."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import functional as F
from fastconv import nn
from fastconv.geometry import Conv2dGeometry

IMAGE = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]], "float32")[None, None]
FILTER = np.array([[2, 0, 1], [0, 1, 2], [1, 0, 2]], "float32")[None, None]


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        fc.manual_seed(0)
        yield


def whole(rng, *shape):
    return rng.integers(-4, 5, shape).astype("float32")


class TestConvolution:
    def test_the_filter_is_not_turned(self):
        """Cross-correlation: a filter with its one in the top left corner picks the pixel up and left."""
        corner = np.zeros((1, 1, 3, 3), "float32")
        corner[..., 0, 0] = 1
        assert F.conv2d(IMAGE, corner).numpy()[0, 0].tolist() == [[1, 2], [0, 1]]

    def test_the_bias_is_added_to_its_filters_map(self):
        y = F.conv2d(IMAGE, np.concatenate([FILTER, FILTER]), np.array([3, -1], "float32")).numpy()[0]
        assert y.tolist() == [[[18, 19], [9, 18]], [[14, 15], [5, 14]]]

    def test_each_image_of_a_batch_goes_its_own_way(self, rng):
        """(N, C, H, W), and (N, H, W, C) after transpose(0, 3, 1, 2)."""
        x, w = whole(rng, 10, 7, 6, 3), whole(rng, 4, 3, 3, 3)
        batch = x.transpose(0, 3, 1, 2)
        assert batch.shape == (10, 3, 7, 6)
        together = F.conv2d(batch, w, padding=1).numpy()
        alone = [F.conv2d(image[None], w, padding=1).numpy() for image in batch]
        np.testing.assert_array_equal(together, np.concatenate(alone))

    def test_one_filter_of_one_number_on_one_map_only_scales(self):
        """A 1x1x1 filter on 6x6x1 is pointless; it is over depth that 1x1 filters compute something."""
        image = np.arange(36, dtype="float32").reshape(1, 1, 6, 6)
        np.testing.assert_array_equal(F.conv2d(image, np.full((1, 1, 1, 1), 2, "float32")).numpy(), 2 * image)

    def test_a_bottleneck_needs_fewer_multiplications(self):
        """28x28x192 to 32 maps by 5x5 filters: 120 million; through 16 maps of 1x1 first: 12 million."""
        straight = Conv2dGeometry.from_shapes((1, 192, 28, 28), (32, 192, 5, 5), padding="same").multiplications
        narrow = Conv2dGeometry.from_shapes((1, 192, 28, 28), (16, 192, 1, 1)).multiplications
        wide = Conv2dGeometry.from_shapes((1, 16, 28, 28), (32, 16, 5, 5), padding="same").multiplications
        assert straight == 120_422_400
        assert narrow + wide == 2_408_448 + 10_035_200

    def test_three_3x3_need_fewer_parameters_than_one_7x7_of_the_same_field(self):
        channels = 16
        stack = [nn.Conv2d(channels, channels, 3, bias=False) for _ in range(3)]
        assert sum(layer.weight.size for layer in stack) == 27 * channels**2
        assert nn.Conv2d(channels, channels, 7, bias=False).weight.size == 49 * channels**2
        x = np.zeros((1, channels, 9, 9), "float32")
        assert nn.Sequential(*stack)(x).shape == nn.Conv2d(channels, channels, 7)(x).shape

    def test_a_stride_in_place_of_pooling(self):
        """All-convolutional: strides halve the maps as pools would, averages take the place of the FC layers."""
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 10, 3, stride=2, padding=1), nn.ReLU(),
            nn.GlobalAvgPool2d(), nn.Flatten(),
        )  # fmt: skip
        assert [row.shape for row in fc.summary(net, (3, 32, 32)).rows if row.parameters] == [(8, 16, 16), (10, 8, 8)]
        assert net(np.zeros((2, 3, 32, 32), "float32")).shape == (2, 10)

    @pytest.mark.parametrize("blocks", [1, 2, 3])
    def test_a_typical_network_is_blocks_of_conv_relu_pool_and_a_fully_connected_layer(self, blocks):
        """[conv - relu - pool] x N - FC; with N = 2 and two such layers it is LeNet."""
        layers, channels, size = [], 1, 16
        for _ in range(blocks):
            layers += [nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, size = 2 * channels, size // 2
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, 10))
        assert net(np.zeros((2, 1, 16, 16), "float32")).shape == (2, 10)
        assert fc.summary(net, (1, 16, 16)).rows[-2].shape == (2**blocks * (16 // 2**blocks) ** 2,)


class TestPadding:
    def test_any_value_can_fill_the_border(self):
        """The 4x4 example with a border of ones instead of zeros."""
        y = F.conv2d(F.pad(IMAGE, 1, value=1.0), FILTER).numpy()[0, 0]
        zeros = F.conv2d(IMAGE, FILTER, padding=1).numpy()[0, 0]
        assert zeros.tolist() == [[7, 12, 10, 2], [4, 15, 16, 10], [10, 6, 15, 6], [8, 10, 4, 3]]
        # The border adds the filter's weights that lie on it: at the top left 2 + 0 + 1, and 0 + 1 below.
        assert (y - zeros).tolist() == [[4, 3, 3, 7], [3, 0, 0, 5], [3, 0, 0, 5], [5, 3, 3, 6]]

    def test_same_splits_its_zeros_as_evenly_as_it_can(self):
        """13 columns, filter 6, stride 5: 3 windows need 16, so 1 zero to the left and 2 to the right."""
        g = Conv2dGeometry.from_shapes((1, 1, 13, 13), (1, 1, 6, 6), stride=5, padding="same")
        assert (g.OH, g.PH, g.PB, g.OW, g.PW, g.PR) == (3, 1, 2, 3, 1, 2)
        x = np.arange(169, dtype="float32").reshape(1, 1, 13, 13)
        w = np.ones((1, 1, 6, 6), "float32")
        by_hand = F.conv2d(np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2))), w, stride=5)
        np.testing.assert_array_equal(F.conv2d(x, w, stride=5, padding="same").numpy(), by_hand.numpy())

    def test_valid_never_looks_at_the_rows_and_columns_that_are_left_over(self, rng):
        """13, filter 6, stride 5: two windows see 11; the last 2 rows and columns could hold anything."""
        x, w = whole(rng, 1, 2, 13, 13), whole(rng, 3, 2, 6, 6)
        spoilt = x.copy()
        spoilt[:, :, 11:] = spoilt[..., 11:] = np.nan
        y = F.conv2d(spoilt, w, stride=5, padding="valid").numpy()
        np.testing.assert_array_equal(y, F.conv2d(x, w, stride=5, padding="valid").numpy())

    @pytest.mark.parametrize(("stride", "fits"), [(1, True), (2, True), (3, False)])
    def test_sizes_that_must_divide(self, stride, fits):
        """7x7 with 3x3 filters: (7 - 3) / 3 is no whole number."""
        x, w = np.zeros((1, 1, 7, 7), "float32"), np.zeros((1, 1, 3, 3), "float32")
        for f in (lambda: F.conv2d(x, w, stride=stride, strict=True), lambda: F.max_pool2d(x, 3, stride, strict=True)):
            if fits:
                assert f().shape[2] == (7 - 3) // stride + 1
            else:
                with pytest.raises(fc.ShapeError, match="strict sizes were asked for, but the stride leaves 1 over"):
                    f()


class TestFormulas:
    def test_affine(self):
        """y = W . x + b, rows of W the classes' templates."""
        W, b = np.array([[1, 2, 0], [0, -1, 3]], "float32"), np.array([10, 20], "float32")
        assert F.linear(np.array([[1, 2, 3]], "float32"), W, b).numpy().tolist() == [[15, 27]]

    def test_sigmoid_and_tanh(self):
        x = fc.tensor(np.array([-1.0, 0.0, 2.0]))
        np.testing.assert_allclose(F.sigmoid(x).numpy(), [0.26894142, 0.5, 0.88079708], rtol=1e-7)
        np.testing.assert_allclose(F.tanh(x).numpy(), [-0.76159416, 0, 0.96402758], rtol=1e-7)

    def test_softmax_and_its_loss(self):
        """Scores 0.3, 2.9, 4.0 give 1.8 %, 24.5 % and 73.7 %, the example of Saito's book."""
        scores = np.array([[0.3, 2.9, 4.0]])
        np.testing.assert_allclose(F.softmax(scores).numpy(), [[0.01821127, 0.24519181, 0.73659691]], rtol=1e-6)
        for label in ([2], [[0, 0, 1]]):
            loss = F.cross_entropy(scores, np.array(label)).item()
            assert loss == pytest.approx(-np.log(0.73659691), rel=1e-6)

    def test_dropout_of_a_half(self):
        x = np.ones((100, 100), "float32")
        y = F.dropout(x, 0.5, seed=1).numpy()
        assert set(np.unique(y).tolist()) == {0, 2}
        assert 0.47 < (y == 0).mean() < 0.53
        np.testing.assert_array_equal(nn.Dropout(0.5).eval()(x).numpy(), x)

    @pytest.mark.parametrize(
        ("given", "std"),
        [("he", (2 / 4320) ** 0.5), ("relu", (2 / 4320) ** 0.5), ("xavier", (1 / 4320) ** 0.5),
         ("sigmoid", (1 / 4320) ** 0.5), (0.01, 0.01)],
    )  # fmt: skip
    def test_first_weights_of_the_layer_with_4320_inputs(self, given, std):
        network = fc.models.SimpleConvNet(weight_init_std=given)
        assert network.affine1.weight.numpy().std() == pytest.approx(std, rel=0.01)
        assert not network.affine1.bias.numpy().any()


class TestMemory:
    """Backward keeps the forward values; remedies are a smaller mini-batch, a stride and fewer layers."""

    @staticmethod
    def bytes_of_a_step(batch=16, stride=1, layers=3):
        convs = [nn.Conv2d(4, 4, 3, stride=stride if i == 0 else 1, padding=1) for i in range(layers)]
        net = nn.Sequential(*(m for conv in convs for m in (conv, nn.Tanh())), nn.GlobalAvgPool2d(), nn.Flatten())
        step = fc.compile(net, nn.CrossEntropyLoss(), fc.optim.SGD(net.parameters()))
        x, t = np.zeros((batch, 4, 32, 32), "float32"), np.zeros(batch, "int64")
        return step.prepare(x, t).arena_bytes, fc.compile(net).prepare(x).arena_bytes

    def test_training_keeps_what_inference_forgets(self):
        training, inference = self.bytes_of_a_step(layers=6)
        one_map = 16 * 4 * 32 * 32 * 4
        assert training >= 6 * one_map
        assert inference <= 3 * one_map

    def test_the_three_remedies(self):
        whole, _ = self.bytes_of_a_step()
        assert self.bytes_of_a_step(batch=8)[0] < 0.6 * whole
        assert self.bytes_of_a_step(stride=2)[0] < 0.5 * whole
        assert self.bytes_of_a_step(layers=1)[0] < 0.7 * whole
