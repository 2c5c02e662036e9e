"""The worked examples of the five lecture documents, with exactly their numbers.

B1 to B21 are the examples in the order in which the project's mission lists them; where a document contradicts itself
the test says which value is followed and why.
"""

import numpy as np
import pytest

import fastconv as fc
from fastconv import functional as F
from fastconv import nn
from fastconv.backends import select
from fastconv.geometry import Conv2dGeometry, Pool2dGeometry

IMAGE_5X5 = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
IDENTITY = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
EDGES = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
IMAGE_7X7 = [
    [int(digit) for digit in row]
    for row in ["1230123", "0123012", "3012301", "2301230", "1230123", "0123012", "3012301"]
]
IMAGE_4X4 = [[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]]
FILTER = [[2, 0, 1], [0, 1, 2], [1, 0, 2]]


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


def image(rows):
    """One map as (1, 1, H, W)."""
    return np.array(rows, "float32")[None, None]


def conv(rows, filter_rows, **options):
    """The map that one filter makes of one map."""
    return F.conv2d(image(rows), image(filter_rows), **options).numpy()[0, 0].tolist()


def zeros(*shape):
    return np.zeros(shape, "float32")


def output_size(n, kernel, **options):
    """The rows of a convolution over n x n."""
    return Conv2dGeometry.from_shapes((1, 1, n, n), (1, 1, kernel, kernel), **options).OH


def parameters(module):
    return sum(p.size for p in module.parameters())


class TestConvolution:
    def test_b1_cross_over_5x5(self):
        assert conv(IMAGE_5X5, CROSS) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]

    def test_b2_identity_filter(self):
        assert conv(IMAGE_5X5, IDENTITY) == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
        assert conv(IMAGE_5X5, IDENTITY, stride=2) == [[1, 1], [0, 1]]

    def test_b3_7x7_at_stride_1_and_2(self):
        whole = conv(IMAGE_7X7, FILTER)
        assert np.shape(whole) == (5, 5)
        assert whole[0] == [15, 16, 17, 6, 15]
        assert conv(IMAGE_7X7, FILTER, stride=2) == [[15, 17, 15], [17, 15, 17], [15, 17, 15]]

    def test_b4_4x4(self):
        assert conv(IMAGE_4X4, FILTER) == [[15, 16], [6, 15]]

    def test_b5_4x4_padded(self):
        assert conv(IMAGE_4X4, FILTER, padding=1) == [[7, 12, 10, 2], [4, 15, 16, 10], [10, 6, 15, 6], [8, 10, 4, 3]]

    def test_b6_three_channels_make_one_map_and_n_filters_n_maps(self):
        assert F.conv2d(zeros(1, 3, 4, 4), zeros(1, 3, 3, 3)).shape == (1, 1, 2, 2)
        assert F.conv2d(zeros(1, 3, 4, 4), zeros(7, 3, 3, 3)).shape == (1, 7, 2, 2)

    def test_b6_channels_are_summed(self):
        x = np.concatenate([image(IMAGE_4X4)] * 3, axis=1)
        w = np.concatenate([image(FILTER)] * 3, axis=1)
        assert F.conv2d(x, w).numpy()[0, 0].tolist() == [[45, 48], [18, 45]]

    def test_b7_sizes_of_5x5_with_3x3(self):
        """The document writes (5 - 3 + 2 * 0) / 1 + 1 = 2; the value 2 belongs to stride 2, with stride 1 it is 3."""
        assert output_size(5, 3, stride=1, padding=0) == 3
        assert output_size(5, 3, stride=2, padding=0) == 2
        assert output_size(5, 3, stride=2, padding=1) == 3
        assert output_size(5, 3, stride=1, padding=1) == 5

    def test_a39_edge_filter(self):
        """The scanned digits 7 and 1 of the edge filter are -1: its sum is 0, so a plain area gives 0."""
        assert np.sum(EDGES) == 0
        assert conv(np.full((4, 4), 5), EDGES) == [[0, 0], [0, 0]]
        assert conv(IMAGE_5X5, EDGES) == [[3, 2, 3], [-4, 2, 2], [-4, 3, 3]]

    def test_a39_the_red_channel_by_a_1x1x3_filter(self):
        rng = np.random.default_rng(0)
        x = rng.random((1, 3, 4, 5), dtype="float32")
        w = np.array([1, 0, 0], "float32").reshape(1, 3, 1, 1)
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), x[:, :1])

    def test_a39_vertical_lines(self):
        vertical = np.zeros((7, 7))
        vertical[:, 3] = 1
        assert conv(np.tile([0, 0, 0, 1, 0, 0, 0, 0], (8, 1)), vertical) == [[7, 0], [7, 0]]
        assert conv(np.tile([0, 0, 0, 1, 0, 0, 0, 0], (8, 1)).T, vertical) == [[1, 1], [1, 1]]

    def test_a5_neuron_formula(self):
        """z[i, j, k] = b[k] + sum over u, v, k' of x[i*sh + u, j*sw + v, k'] * w[u, v, k', k]."""
        rng = np.random.default_rng(1)
        x, w, b = rng.integers(-4, 5, (6, 7, 2)), rng.integers(-4, 5, (3, 2, 2, 4)), rng.integers(-4, 5, 4)
        sh, sw = 2, 3
        z = F.conv2d(
            x.transpose(2, 0, 1)[None].astype("float32"), w.transpose(3, 2, 0, 1).astype("float32"),
            b.astype("float32"), stride=(sh, sw),
        ).numpy()  # fmt: skip
        for k, i, j in np.ndindex(z.shape[1:]):
            window = x[i * sh : i * sh + 3, j * sw : j * sw + 2]
            assert z[0, k, i, j] == b[k] + (window * w[..., k]).sum()


class TestPooling:
    ROWS = ((1, 1, 2, 4), (5, 6, 7, 8), (3, 2, 1, 0), (1, 5, 2, 3))

    def test_b8_maximum_of_2x2(self):
        assert F.max_pool2d(image(self.ROWS), 2, 2).numpy()[0, 0].tolist() == [[6, 8], [5, 3]]

    def test_a21_average_of_2x2(self):
        assert F.avg_pool2d(image(self.ROWS), 2, 2).numpy()[0, 0].tolist() == [[3.25, 5.25], [2.75, 1.5]]

    def test_a20_alexnet_pools_overlap(self):
        assert F.max_pool2d(zeros(1, 96, 55, 55), 3, 2).shape == (1, 96, 27, 27)
        assert F.max_pool2d(zeros(1, 256, 13, 13), 3, 2).shape == (1, 256, 6, 6)

    def test_a19_pooling_has_no_parameters_and_keeps_the_channels(self):
        assert parameters(nn.MaxPool2d(2, 2)) == 0
        assert nn.MaxPool2d(2, 2)(zeros(1, 7, 4, 4)).shape == (1, 7, 2, 2)


class TestSizes:
    def test_b9_ten_5x5_filters_over_32x32x3(self):
        layer = nn.Conv2d(3, 10, 5, stride=1, padding=2)
        assert (36 - 5) // 1 + 1 == output_size(32, 5, padding=2) == 32
        assert layer(zeros(1, 3, 32, 32)).shape == (1, 10, 32, 32)
        assert parameters(layer) == 10 * (5 * 5 * 3 + 1) == 760

    def test_b10_same_of_13_at_stride_5(self):
        assert output_size(13, 5, stride=5, padding="same") == 3
        assert output_size(13, 6, stride=5, padding="same") == 3

    def test_a8_valid_drops_rows_and_columns(self):
        assert output_size(13, 6, stride=5, padding="valid") == 2

    def test_a4_sizes_that_must_divide(self):
        with pytest.raises(fc.ShapeError, match="stride leaves 2 over along H"):
            output_size(13, 6, stride=5, strict=True)

    def test_b11_150x100_rgb_with_200_maps(self):
        g = Conv2dGeometry.from_shapes((1, 3, 150, 100), (200, 3, 5, 5), padding="same")
        assert (g.OH, g.OW) == (150, 100)
        assert g.OH * g.OW == 15_000
        assert parameters(nn.Conv2d(3, 200, 5, padding="same")) == (5 * 5 * 3 + 1) * 200 == 15_200
        assert g.multiplications == 225_000_000
        assert g.multiplications // (g.OH * g.OW * g.OC) == 75

    def test_b12_fully_connected_blow_up(self):
        layer = nn.Linear(100 * 100, 1000, bias=False)
        assert parameters(layer) == 10_000_000
        assert layer.multiplications((1, 10_000), (1, 1000)) == 10_000_000

    def test_b13_image_sizes(self):
        assert F.flatten(zeros(1, 3, 32, 32)).shape == (1, 3072)
        assert F.flatten(zeros(1, 3, 480, 640)).shape == (1, 921_600)
        photograph = (1377, 2000, 3)  # lalaland.jpg as it is read: rows, columns, colours
        g = Conv2dGeometry.from_shapes((1, 3, *photograph[:2]), (1, 3, 7, 7), padding="same")
        assert g.y_shape == (1, 1, 1377, 2000)

    def test_b15_first_convolution_of_alexnet(self):
        """227x227x3 (the document's 227x227x227 is a slip): 55x55 maps, 34,848 weights."""
        layer = nn.Conv2d(3, 96, 11, stride=4)
        assert layer.weight.size == 11 * 11 * 3 * 96 == 34_848
        assert Conv2dGeometry.from_shapes((1, 3, 227, 227), layer.weight.shape, stride=4).y_shape == (1, 96, 55, 55)
        assert parameters(nn.MaxPool2d(3, 2)) == 0

    def test_c7_alexnet_sizes(self):
        sizes = [227]
        for n, kernel, stride, padding in (
            (96, 11, 4, "valid"), (96, 3, 2, "pool"), (256, 5, 1, "same"), (256, 3, 2, "pool"), (384, 3, 1, "same"),
            (384, 3, 1, "same"), (256, 3, 1, "same"), (256, 3, 2, "pool"),
        ):  # fmt: skip
            x = (1, n, sizes[-1], sizes[-1])
            if padding == "pool":
                sizes.append(Pool2dGeometry.from_shape(x, kernel, stride=stride).OH)
            else:
                g = Conv2dGeometry.from_shapes(x, (n, n, kernel, kernel), stride=stride, padding=padding)
                sizes.append(g.OH)
        assert sizes == [227, 55, 27, 27, 13, 13, 13, 13, 6]

    def test_b16_maps_of_5x5_over_32x32x3(self):
        assert F.conv2d(zeros(1, 3, 32, 32), zeros(1, 3, 5, 5)).shape == (1, 1, 28, 28)
        for filters in (1, 6, 11):
            assert nn.Conv2d(3, filters, 5)(zeros(1, 3, 32, 32)).shape == (1, filters, 28, 28)

    def test_b17_alphago_keeps_19x19(self):
        """19x19x48 in, 19x19 out: every layer keeps the size, and one 1x1 filter makes the map of moves."""
        net = nn.Sequential(nn.Conv2d(48, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 1, 1))
        assert net(zeros(1, 48, 19, 19)).shape == (1, 1, 19, 19)

    def test_b18_flatten_5x5x16(self):
        assert F.flatten(zeros(1, 16, 5, 5)).shape == (1, 400)
        assert nn.Flatten()(zeros(2, 16, 5, 5)).shape == (2, 400)

    @pytest.mark.parametrize("kernel", [1, 3, 5, 7, 11])
    def test_b19_half_the_kernel_keeps_the_size(self, kernel):
        assert output_size(20, kernel, padding=(kernel - 1) // 2) == 20

    def test_b21_resnet_stem_leaves_56x56(self):
        stem = nn.Sequential(nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, padding=1))
        assert stem(zeros(1, 3, 224, 224)).shape == (1, 4, 56, 56)

    def test_a40_three_3x3_see_as_far_as_one_7x7(self):
        """One pixel of the result of three 3x3 convolutions depends on exactly 7x7 pixels of the input."""
        x = fc.tensor(zeros(1, 1, 9, 9) + 1, requires_grad=True)
        y = x
        for _ in range(3):
            y = F.conv2d(y, np.ones((1, 1, 3, 3), "float32"))
        assert y.shape == (1, 1, 3, 3)
        gradient = zeros(1, 1, 3, 3)
        gradient[0, 0, 0, 0] = 1
        y.backward(gradient)
        assert (x.grad.numpy()[0, 0] != 0).tolist() == np.pad(np.ones((7, 7), bool), ((0, 2), (0, 2))).tolist()

    def test_a18_pointwise_convolution_is_a_layer_per_pixel(self):
        """Meaningful over depth: each pixel's channels go through one fully connected layer."""
        rng = np.random.default_rng(2)
        x = rng.integers(-4, 5, (1, 32, 6, 6)).astype("float32")
        w = rng.integers(-4, 5, (8, 32, 1, 1)).astype("float32")
        pixels = x.transpose(0, 2, 3, 1).reshape(36, 32)
        expected = F.linear(pixels, w.reshape(8, 32)).numpy().reshape(1, 6, 6, 8).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(F.conv2d(x, w).numpy(), expected)

    def test_a41_two_groups_are_two_convolutions_of_half_the_channels(self):
        rng = np.random.default_rng(3)
        x = rng.integers(-4, 5, (1, 8, 6, 6)).astype("float32")
        w = rng.integers(-4, 5, (6, 4, 3, 3)).astype("float32")
        halves = [F.conv2d(x[:, :4], w[:3]).numpy(), F.conv2d(x[:, 4:], w[3:]).numpy()]
        np.testing.assert_array_equal(F.conv2d(x, w, groups=2).numpy(), np.concatenate(halves, axis=1))


class TestNetworks:
    def test_b14_parameters_of_lenet5(self):
        """C3's table joins 6 maps to three, 9 to four and 1 to all six of S2; the sum is 60,000 exactly."""
        c1 = parameters(nn.Conv2d(1, 6, 5))
        s2, s4 = parameters(nn.Subsampling2d(6)), parameters(nn.Subsampling2d(16))
        c3 = 6 * parameters(nn.Conv2d(3, 1, 5)) + 9 * parameters(nn.Conv2d(4, 1, 5)) + parameters(nn.Conv2d(6, 1, 5))
        assert c3 == parameters(fc.models.LeNet5Original().c3)
        c5 = parameters(nn.Conv2d(16, 120, 5))
        f6 = parameters(nn.Linear(120, 84))
        assert (c1, s2, c3, s4, c5, f6) == (156, 12, 1516, 32, 48_120, 10_164)
        assert c1 + s2 + c3 + s4 + c5 + f6 == 60_000

    def test_b14_sizes_of_lenet5(self):
        x = fc.tensor(zeros(1, 1, 32, 32))
        shapes = []
        for layer in (
            nn.Conv2d(1, 6, 5), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.AvgPool2d(2, 2), nn.Conv2d(16, 120, 5),
        ):  # fmt: skip
            x = layer(x)
            shapes.append(x.shape[1:])
        assert shapes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1)]

    def test_b20_simple_convnet(self):
        s = fc.summary(fc.models.SimpleConvNet(), (1, 28, 28))
        shapes = [row.shape for row in s.rows]
        assert shapes == [(30, 24, 24), (30, 24, 24), (30, 12, 12), (4320,), (100,), (100,), (10,)]
        assert 30 * 12 * 12 == 4320
        assert s.parameters == 433_890
        assert s.multiplications == 30 * 24 * 24 * 25 + 4320 * 100 + 100 * 10

    def test_c5_c6_lenet5_for_cifar10(self):
        plain = fc.models.LeNet5((3, 32, 32))
        improved = fc.models.LeNet5((3, 32, 32), activation="relu", pooling="max", channels=(32, 64))
        assert fc.summary(plain, (3, 32, 32)).parameters == 62_006
        assert fc.summary(improved, (3, 32, 32)).parameters == 256_830

    def test_c13_keras_network_for_mnist(self):
        """64 - 128 - 128 - 256 - 256 maps, doubled after each pool; 1,413,834 parameters."""
        convolutions = [
            nn.Conv2d(1, 64, 7, padding="same"), nn.Conv2d(64, 128, 3, padding="same"),
            nn.Conv2d(128, 128, 3, padding="same"), nn.Conv2d(128, 256, 3, padding="same"),
            nn.Conv2d(256, 256, 3, padding="same"),
        ]  # fmt: skip
        size = 28 // 2 // 2 // 2
        dense = [nn.Linear(256 * size * size, 128), nn.Linear(128, 64), nn.Linear(64, 10)]
        counts = [parameters(layer) for layer in (*convolutions, *dense)]
        assert counts == [3200, 73_856, 147_584, 295_168, 590_080, 295_040, 8256, 650]
        assert sum(counts) == 1_413_834


class TestFormulas:
    def test_a27_relu_and_a28_leaky_relu(self):
        x = fc.tensor(np.array([-2.0, -0.5, 0.0, 3.0]))
        assert F.relu(x).numpy().tolist() == [0, 0, 0, 3]
        np.testing.assert_allclose(F.leaky_relu(x).numpy(), [-0.02, -0.005, 0, 3], rtol=1e-12)

    def test_a14_im2col_of_the_lectures(self):
        x1, x2 = zeros(1, 3, 7, 7), zeros(10, 3, 7, 7)
        assert fc.im2col(x1, 5, 5, stride=1, pad=0).shape == (9, 75)
        assert fc.im2col(x2, 5, 5, stride=1, pad=0).shape == (90, 75)
        assert fc.col2im(fc.im2col(x2, 5, 5, 1, 0), x2.shape, 5, 5, 1, 0).shape == x2.shape

    def test_a15_a16_convolution_through_columns(self):
        """The lectures' forward and backward, line by line, against conv2d and its gradients."""
        rng = np.random.default_rng(4)
        x, W, b = (rng.integers(-4, 5, s).astype("float32") for s in ((2, 3, 7, 7), (4, 3, 5, 5), (4,)))
        to_numpy = select.current().to_numpy
        col = to_numpy(fc.im2col(x, 5, 5, stride=2, pad=1))
        col_W = W.reshape(4, -1).T
        out = (col @ col_W + b).reshape(2, 3, 3, 4).transpose(0, 3, 1, 2)
        tensors = [fc.tensor(a, requires_grad=True) for a in (x, W, b)]
        y = F.conv2d(*tensors, stride=2, padding=1)
        np.testing.assert_array_equal(y.numpy(), out)
        dout = rng.integers(-4, 5, out.shape).astype("float32")
        y.backward(dout)
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, 4)
        dx, dW, db = (t.grad.numpy() for t in tensors)
        np.testing.assert_array_equal(db, rows.sum(axis=0))
        np.testing.assert_array_equal(dW, (col.T @ rows).transpose(1, 0).reshape(4, 3, 5, 5))
        np.testing.assert_array_equal(dx, to_numpy(fc.col2im(rows @ col_W.T, x.shape, 5, 5, stride=2, pad=1)))

    def test_d3_multistep_schedule(self):
        """Stepped at the end of each epoch, as PyTorch does it: epochs 1-75 at 0.001, 76-150 at 0.0005, then 0.00025.

        The document's table (1-74, 75-149, 150-200) is off by one.
        """
        optimizer = fc.optim.SGD([nn.Parameter(np.zeros(1, "float32"))], lr=0.001)
        schedule = fc.optim.MultiStepLR(optimizer, milestones=[75, 150], gamma=0.5)
        rates = []
        for _ in range(200):
            rates.append(optimizer.lr)
            schedule.step()
        assert rates[:75] == [0.001] * 75
        np.testing.assert_allclose(rates[75:150], 0.0005, rtol=1e-12)
        np.testing.assert_allclose(rates[150:], 0.00025, rtol=1e-12)
