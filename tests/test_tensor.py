"""A tensor in a user's hands: picking elements, asking for numbers, values that are none."""

import numpy as np
import pytest

import fastconv as fc


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


@pytest.mark.parametrize(
    "key", [0, -1, slice(1, None), (0, 2), (slice(None), 1), (..., 0), (None, 1), (slice(None, None, 2),)]
)
def test_picking_is_numpys_and_has_a_gradient(key, rng):
    a = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(fc.tensor(a)[key].numpy(), a[key])
    assert fc.gradcheck(lambda x: x[key] * x[key], a)


def test_picking_images_keeps_their_logical_order(rng):
    a = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(fc.tensor(a)[1:, ::2].numpy(), a[1:, ::2])
    assert [row.shape for row in fc.tensor(a)] == [(3, 4, 5)] * 2


@pytest.mark.parametrize("key", [[0, 1], np.array([0, 1]), np.array([True, False, True]), "a", 1.0])
def test_picking_by_arrays_is_refused(key):
    with pytest.raises(fc.ArgumentError, match="takes whole numbers and slices"):
        fc.tensor(np.ones((3, 4)))[key]


def test_argmax_and_turning(rng):
    a = rng.standard_normal((3, 4))
    x = fc.tensor(a, requires_grad=True)
    assert x.argmax(1).tolist() == a.argmax(1).tolist()
    assert x.argmax().item() == a.argmax()
    assert x.argmax(1).dtype == "int64"
    assert not x.argmax().requires_grad
    np.testing.assert_array_equal(x.T.numpy(), a.T)


def test_as_python_numbers():
    assert fc.tensor([[1.5, 2.0]]).tolist() == [[1.5, 2.0]]
    assert int(fc.tensor(3)) == 3
    assert f"{fc.tensor([2.0]):.2f}" == "2.00"
    assert f"{fc.tensor([1.0, 2.0])}".startswith("tensor(")


def test_truth_is_that_of_the_one_element():
    assert not fc.tensor([0.0])
    assert fc.tensor([2.0])
    with pytest.raises(fc.ArgumentError, match=r"shape \(2,\) is neither true nor false"):
        bool(fc.tensor([0.0, 1.0]))


@pytest.mark.parametrize("value", [1j, ["a"], np.array([None]), np.ones(2, "complex64")])
def test_what_is_no_real_number_is_refused(value):
    with pytest.raises(fc.DTypeError, match="tensors hold real numbers"):
        fc.tensor(value)


def test_a_condition_on_values_cannot_be_compiled():
    class Net(fc.nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y if y.sum() else -y

    with pytest.raises(fc.UnsupportedError, match="may not look at values"):
        fc.compile(Net(2, 2))(np.ones((1, 2), "float32"))
