"""Arguments as the lectures, PyTorch and TensorFlow write them: taken with their meaning, or refused in words."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import functional as F
from fastconv import nn, optim

X = np.random.default_rng(0).standard_normal((2, 3, 13, 13)).astype("float32")
W = np.random.default_rng(1).standard_normal((4, 3, 5, 5)).astype("float32")


@pytest.fixture(autouse=True)
def on_reference():
    with fc.use("reference"):
        yield


def test_pytorchs_whole_signature_of_conv2d():
    layer = nn.Conv2d(
        in_channels=3, out_channels=32, kernel_size=3, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", device=None, dtype=None,
    )  # fmt: skip
    assert (layer.weight.shape, layer.bias.shape, layer.weight.dtype) == ((32, 3, 3, 3), (32,), np.dtype("float32"))
    assert nn.Conv2d(3, 6, 5, 1, 0)(X).shape == (2, 6, 9, 9)
    assert nn.Conv2d(3, 6, 5, dtype="float64").weight.dtype == "float64"


def test_the_lectures_other_layers_by_keyword():
    assert nn.Linear(in_features=400, out_features=120, bias=True, device=None, dtype=None).weight.shape == (120, 400)
    assert nn.MaxPool2d(kernel_size=2, stride=2)(X).shape == (2, 3, 6, 6)
    assert nn.AvgPool2d(kernel_size=2, stride=2)(X).shape == (2, 3, 6, 6)


@pytest.mark.parametrize(
    ("padding", "lower", "size"), [("SAME", "same", 3), ("Same", "same", 3), ("VALID", "valid", 2)]
)
def test_tensorflows_paddings_in_capitals(padding, lower, size):
    """13 at stride 5: SAME gives ceil(13 / 5) = 3 and zeros on both sides; VALID drops the rows that do not fit."""
    y = F.conv2d(X, W, stride=5, padding=padding)
    assert y.shape == (2, 4, size, size)
    np.testing.assert_array_equal(y.numpy(), F.conv2d(X, W, stride=5, padding=lower).numpy())
    assert nn.Conv2d(3, 4, 5, stride=5, padding=padding)(X).shape == y.shape
    assert F.max_pool2d(X, 5, 5, padding).shape[2:] == (size, size)


@pytest.mark.parametrize("stride", [(1, 2, 3, 1), [1, 2, 3, 1], np.array([1, 2, 3, 1]), np.array([2, 3]), (2, 3)])
def test_tensorflows_strides_of_four(stride):
    """Batch, height, width, channel; or one or two numbers."""
    np.testing.assert_array_equal(
        F.conv2d(X, W, stride=stride).numpy(), F.conv2d(X, W, stride=1).numpy()[:, :, ::2, ::3]
    )


@pytest.mark.parametrize("stride", [2, [2], (2,), np.array([2]), np.int32(2)])
def test_strides_of_one_element(stride):
    np.testing.assert_array_equal(
        F.conv2d(X, W, stride=stride).numpy(), F.conv2d(X, W, stride=1).numpy()[:, :, ::2, ::2]
    )


def test_a_stride_over_the_batch_is_refused():
    with pytest.raises(fc.ArgumentError, match=r"strides over batch and channels must be 1, got \(2, 1, 1, 1\)"):
        F.conv2d(X, W, stride=(2, 1, 1, 1))


def test_kerass_layer_is_a_convolution_and_an_activation():
    """keras.layers.Conv2D(filters=32, kernel_size=3, strides=1, padding="same", activation="relu")"""
    layer = nn.Sequential(nn.Conv2d(3, 32, kernel_size=3, stride=1, padding="same"), nn.ReLU())
    y = layer(X)
    assert y.shape == (2, 32, 13, 13)
    assert (y.numpy() >= 0).all()


def test_tensorflows_function_after_two_transpositions():
    """tf.nn.conv2d(images, filters, strides=2, padding="SAME"): images [N, H, W, C], filters [KH, KW, C, OC]."""
    rng = np.random.default_rng(2)
    images, filters = rng.integers(-4, 5, (2, 6, 7, 3)), rng.integers(-4, 5, (3, 3, 3, 4))
    y = F.conv2d(
        images.transpose(0, 3, 1, 2).astype("float32"), filters.transpose(3, 2, 0, 1).astype("float32"),
        stride=2, padding="SAME",
    ).numpy().transpose(0, 2, 3, 1)  # fmt: skip
    assert y.shape == (2, 3, 4, 4)
    padded = np.pad(images, ((0, 0), (0, 1), (1, 1), (0, 0)))  # 6 rows need 7, 7 columns need 9
    for n, i, j, k in np.ndindex(y.shape):
        assert y[n, i, j, k] == (padded[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * filters[..., k]).sum()


def test_inplace_changes_nothing():
    x = fc.tensor(X)
    for layer in (nn.ReLU(inplace=True), nn.LeakyReLU(0.01, True), nn.Dropout(0.5, inplace=True)):
        layer(x)
        np.testing.assert_array_equal(x.numpy(), X)


def test_softmax_along_the_classes():
    scores = fc.tensor([[1.0, 2.0, 3.0]])
    for layer in (nn.Softmax(dim=1), nn.Softmax(dim=-1), nn.Softmax()):
        np.testing.assert_array_equal(layer(scores).numpy(), F.softmax(scores).numpy())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 6, 5, padding_mode="reflect"), fc.UnsupportedError, "padding_mode 'reflect'"),
        (lambda: nn.Conv2d(3, 6, 5, device="cuda"), fc.UnsupportedError, r"device='cuda' .* choose one by fc.use"),
        (lambda: nn.Linear(3, 6, device="cuda"), fc.UnsupportedError, r"Linear: device='cuda' .* fc.use"),
        (lambda: nn.Conv2d(3, 6, 5, dtype="float16"), fc.DTypeError, "float32 or float64, got dtype='float16'"),
        (lambda: nn.Linear(3, 6, dtype="int32"), fc.DTypeError, "float32 or float64, got dtype='int32'"),
        (lambda: nn.Linear(3, 6, dtype="half a byte"), fc.DTypeError, "got dtype='half a byte'"),
        (lambda: nn.AvgPool2d(2, divisor_override=3), fc.UnsupportedError, "divisor_override is not implemented"),
        (lambda: nn.MaxPool2d(2, return_indices=True), fc.UnsupportedError, "return_indices is not implemented"),
        (lambda: nn.Softmax(dim=0), fc.UnsupportedError, "only dim=1"),
    ],
)
def test_what_is_not_there_is_refused_in_words(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_to_the_backend_where_it_is_keeps_a_tensor_and_its_gradient():
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    (x * 3.0).to("reference").sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_reshape_as_a_function():
    """torch.reshape(y, (-1, 5 * 5 * 16))"""
    y = np.arange(2 * 16 * 5 * 5, dtype="float32").reshape(2, 16, 5, 5)
    np.testing.assert_array_equal(F.reshape(y, (-1, 5 * 5 * 16)).numpy(), y.reshape(2, 400))


class TestParamGroups:
    @pytest.fixture
    def optimizer(self):
        return optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)

    def test_reads_and_sets_the_rate(self, optimizer):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["momentum"], len(group["params"])) == (0.1, 0.9, 2)
        for g in optimizer.param_groups:
            g["lr"] = 0.05
        assert optimizer.lr == optimizer.param_groups[0]["lr"] == 0.05

    def test_a_group_that_was_kept_follows_the_schedule(self, optimizer):
        (group,) = optimizer.param_groups
        optim.StepLR(optimizer, 1, gamma=0.5).step()
        assert group["lr"] == 0.05
        group.update(lr=0.2, momentum=0.5)
        assert (optimizer.lr, optimizer.momentum) == (0.2, 0.5)

    def test_what_cannot_be_set(self, optimizer):
        with pytest.raises(fc.ArgumentError, match="'rate' cannot be set; what can is lr, weight_decay, momentum"):
            optimizer.param_groups[0]["rate"] = 1
        with pytest.raises(fc.ArgumentError, match="'params' cannot be set"):
            optimizer.param_groups[0]["params"] = []

    def test_schedules_under_pytorchs_module_name(self, optimizer):
        schedule = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1], gamma=0.5)
        assert schedule.get_last_lr() == [0.1]
        schedule.step()
        assert schedule.get_last_lr() == [0.05]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.Adam(p, betas=0.9), r"Adam: betas must be two numbers, .* got 0\.9"),
        (lambda p: optim.AdamW(p, betas=(0.9,)), "AdamW: betas must be two numbers"),
        (
            lambda p: optim.MultiStepLR(optim.SGD(p), 75),
            r"milestones must be a list of epochs, .* got 75",
        ),
        (lambda p: nn.Linear(10**12, 10**12), "are more than any memory holds"),
    ],
)
def test_one_number_where_several_belong_and_sizes_beyond_all_memory(make, message):
    with pytest.raises(fc.ArgumentError, match=message):
        make(nn.Linear(2, 2).parameters())
