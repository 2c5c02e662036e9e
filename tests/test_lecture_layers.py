"""The lectures' layers, against the same formulas in NumPy and against the network's own gradient."""

import numpy as np
import pytest
import reference

import fastconv as fc
from fastconv.lectures import Affine, Convolution, Pooling, Relu, Sigmoid, SoftmaxWithLoss, col2im, im2col


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_im2col_and_col2im_have_the_lectures_shapes(rng):
    x = rng.standard_normal((10, 3, 7, 7))
    assert im2col(x, 5, 5, stride=1, pad=0).shape == (90, 75)
    assert im2col(x[:1], 5, 5).shape == (9, 75)
    assert np.array_equal(im2col(x, 5, 5)[0], x[0, :, :5, :5].reshape(-1))
    col = rng.standard_normal((90, 75))
    assert col2im(col, (10, 3, 7, 7), 5, 5).shape == (10, 3, 7, 7)
    assert (col2im(col, x.shape, 5, 5) * x).sum() == pytest.approx((col * im2col(x, 5, 5)).sum())


def test_convolution_is_the_matrix_product_of_the_lectures(rng):
    x, W, b = rng.standard_normal((2, 3, 7, 7)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
    layer = Convolution(W, b, stride=2, pad=1)
    out = layer.forward(x)
    by_hand = (layer.col @ layer.col_W + b).reshape(2, 4, 4, -1).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(out, by_hand)
    dout = rng.standard_normal(out.shape)
    dx = layer.backward(dout)
    rows = dout.transpose(0, 2, 3, 1).reshape(-1, 4)
    np.testing.assert_allclose(layer.db, rows.sum(0))
    np.testing.assert_allclose(layer.dW, (layer.col.T @ rows).transpose(1, 0).reshape(4, 3, 3, 3))
    np.testing.assert_allclose(dx, col2im(rows @ layer.col_W.T, x.shape, 3, 3, 2, 1))


def test_pooling_keeps_the_place_of_each_maximum(rng):
    x = rng.standard_normal((2, 3, 6, 6))
    layer = Pooling(2, 2, stride=2)
    out = layer.forward(x)
    windows = im2col(x, 2, 2, 2).reshape(-1, 4)  # rows n, oh, ow, c
    assert np.array_equal(layer.arg_max, windows.argmax(1))
    assert np.array_equal(out.transpose(0, 2, 3, 1).reshape(-1), windows.max(1))
    dx = layer.backward(np.ones_like(out))
    assert np.array_equal(dx != 0, np.isin(x, out))


def test_padding_never_wins_a_maximum():
    layer = Pooling(3, 3, stride=2, pad=1)
    assert (layer.forward(np.full((1, 1, 4, 4), -5.0)) == -5).all()


def test_affine_flattens_and_shapes_back(rng):
    x, W, b = rng.standard_normal((5, 2, 3, 3)), rng.standard_normal((18, 4)), rng.standard_normal(4)
    layer = Affine(W, b)
    flat = x.reshape(5, -1)
    np.testing.assert_allclose(layer.forward(x), flat @ W + b)
    dout = rng.standard_normal((5, 4))
    np.testing.assert_allclose(layer.backward(dout), (dout @ W.T).reshape(x.shape))
    np.testing.assert_allclose(layer.dW, flat.T @ dout)
    np.testing.assert_allclose(layer.db, dout.sum(0))
    with pytest.raises(fc.ShapeError, match="expects 18 inputs"):
        layer.forward(rng.standard_normal((5, 17)))


def test_activations(rng):
    x, dout = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    relu, sigmoid = Relu(), Sigmoid()
    assert np.array_equal(relu.forward(x), np.maximum(x, 0))
    assert np.array_equal(relu.backward(dout), dout * (x > 0))
    np.testing.assert_allclose(sigmoid.forward(x), 1 / (1 + np.exp(-x)))
    np.testing.assert_allclose(sigmoid.backward(dout), dout * sigmoid.out * (1 - sigmoid.out))


def test_softmax_with_loss_takes_numbers_and_one_hot(rng):
    x, t = rng.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    loss, prob = reference.softmax_cross_entropy(x, t)
    for labels in (t, np.eye(3)[t]):
        layer = SoftmaxWithLoss()
        assert layer.forward(x, labels) == pytest.approx(float(loss))
        np.testing.assert_allclose(layer.y, prob)
        np.testing.assert_allclose(layer.backward(), (prob - np.eye(3)[t]) / 4)


def test_float32_images_and_float64_weights_promote(rng):
    layer = Convolution(rng.standard_normal((2, 1, 3, 3)), np.zeros(2))
    assert layer.forward(rng.random((1, 1, 5, 5), dtype="float32")).dtype == np.float64


@pytest.mark.parametrize(
    "layer", [Convolution(np.zeros((1, 1, 1, 1)), np.zeros(1)), Pooling(2, 2), Affine(np.eye(2), np.zeros(2)), Relu()]
)
def test_backward_before_forward_says_so(layer):
    with pytest.raises(fc.ShapeError, match="call forward before backward"):
        layer.backward(np.zeros((1, 1, 1, 1)))


def test_a_chain_of_layers_gives_the_networks_own_gradient(rng):
    net = fc.models.SimpleConvNet((1, 10, 10), {"filter_num": 3, "filter_size": 3}, hidden_size=5, weight_init_std="he")
    p = net.params
    chain = [
        Convolution(p["W1"], p["b1"]),
        Relu(),
        Pooling(2, 2, 2),
        Affine(p["W2"], p["b2"]),
        Relu(),
        Affine(p["W3"], p["b3"]),
    ]
    x, t = rng.random((4, 1, 10, 10), dtype="float32"), np.array([1, 2, 3, 4])
    out = x
    for layer in chain:
        out = layer.forward(out)
    last = SoftmaxWithLoss()
    assert last.forward(out, t) == pytest.approx(net.loss(x, t), rel=1e-5)
    dout = last.backward()
    for layer in reversed(chain):
        dout = layer.backward(dout)
    grads = net.gradient(x, t)
    for i, layer in enumerate((chain[0], chain[3], chain[5]), start=1):
        np.testing.assert_allclose(layer.dW, grads[f"W{i}"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.db, grads[f"b{i}"], rtol=1e-4, atol=1e-6)


def test_convolution_has_the_lectures_attributes(rng):
    """W b stride pad, and after a pass x col col_W dW db, with their shapes."""
    W, b = rng.standard_normal((4, 3, 5, 5)), np.zeros(4)
    layer = Convolution(W, b, stride=2, pad=1)
    assert (layer.W is W, layer.b is b, layer.stride, layer.pad) == (True, True, 2, 1)
    assert (layer.x, layer.dW, layer.db) == (None, None, None)
    default = Convolution(W, b)
    assert (default.stride, default.pad) == (1, 0)
    x = rng.standard_normal((10, 3, 7, 7))
    out = layer.forward(x)
    layer.backward(np.ones_like(out))
    assert out.shape == (10, 4, 3, 3)
    np.testing.assert_array_equal(layer.x, x)
    assert (layer.col.shape, layer.col_W.shape) == ((90, 75), (75, 4))
    assert (layer.dW.shape, layer.db.shape) == (W.shape, b.shape)


def test_pooling_has_the_lectures_attributes(rng):
    """pool_h pool_w stride pad, and after a pass x and arg_max; 2x2 windows at stride 2 keep the channels."""
    layer = Pooling(pool_h=2, pool_w=2, stride=2)
    assert (layer.pool_h, layer.pool_w, layer.stride, layer.pad) == (2, 2, 2, 0)
    assert Pooling(2, 2).stride == 1
    x = np.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 5, 2, 3]], "float32")[None, None]
    assert layer.forward(x)[0, 0].tolist() == [[6, 8], [5, 3]]
    assert layer.arg_max.tolist() == [3, 3, 3, 3]
    np.testing.assert_array_equal(layer.x, x)
    dx = layer.backward(np.array([[[[10, 20], [30, 40]]]], "float32"))
    assert dx[0, 0].tolist() == [[0, 0, 0, 0], [0, 10, 0, 20], [0, 0, 0, 0], [0, 30, 0, 40]]


def test_affine_and_softmax_with_the_lectures_backward_of_1(rng):
    """The last layer's backward takes dout=1, and its gradient is (y - t) / N."""
    last = SoftmaxWithLoss()
    last.forward(np.array([[0.3, 2.9, 4.0]]), np.array([[0, 0, 1]]))
    np.testing.assert_allclose(last.backward(dout=1), [[0.01821127, 0.24519181, 0.73659691 - 1]], rtol=1e-5)


def test_lists_of_numbers_are_taken():
    layer = Convolution([[[[2.0]]]], [1.0])
    assert layer.forward([[[[1, 2], [3, 4]]]]).tolist() == [[[[3, 5], [7, 9]]]]
    assert Affine([[1.0], [2.0]], [3.0]).forward([[1, 1]]).tolist() == [[6]]
    assert Relu().forward([-1.0, 2.0]).tolist() == [0, 2]
