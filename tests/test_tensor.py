"""A tensor in a user's hands: picking elements, asking for numbers, values that are none."""

import operator

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


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda t: t * 0.5, [0.5, 1.0, 1.5]),
        (lambda t: 0.5 * t, [0.5, 1.0, 1.5]),
        (lambda t: t - 0.5, [0.5, 1.5, 2.5]),
        (lambda t: 3.5 - t, [2.5, 1.5, 0.5]),
        (lambda t: t / 2, [0.5, 1.0, 1.5]),
        (lambda t: 3 / t, [3.0, 1.5, 1.0]),
        (lambda t: t / t, [1.0, 1.0, 1.0]),
        (lambda t: t + fc.tensor([0.25, 0.5, 0.75]), [1.25, 2.5, 3.75]),
        (lambda t: t.mean(), 2.0),
    ],
)
@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_whole_numbers_with_fractions_become_fractions(made, expected, dtype):
    y = made(fc.tensor(np.array([1, 2, 3], dtype)))
    assert y.dtype == "float32"
    assert y.tolist() == expected


def test_whole_numbers_among_themselves_stay_whole():
    t = fc.tensor([1, 2, 3])
    assert [y.tolist() for y in (t + 1, 2 * t, -t, t - t, t.sum())] == [[2, 3, 4], [2, 4, 6], [-1, -2, -3], [0] * 3, 6]
    assert (t + 1).dtype == "int64"
    assert fc.tensor(np.array([200, 200], "uint8")).sum().item() == 400


def test_numbers_that_bytes_cannot_hold_make_whole_numbers_of_64_bits():
    t = fc.tensor(np.array([1, 200], "uint8"))
    assert [y.tolist() for y in (-t, t - 300, 300 - t)] == [[-1, -200], [-299, -100], [299, 100]]
    assert [y.tolist() for y in (t > -1, t == 456, t != [1, -56])] == [[True] * 2, [False] * 2, [False, True]]
    assert (t + 1).dtype == "uint8"


@pytest.mark.parametrize("exponent", [np.float64(2), np.array(2.0), np.int64(2), 2, 2.0])
def test_a_power_keeps_the_type_of_fractions(exponent):
    y = fc.tensor([1.0, 3.0]) ** exponent
    assert (y.dtype, y.tolist()) == (np.dtype("float32"), [1.0, 9.0])


def test_a_root_or_a_negative_power_of_whole_numbers_is_float32():
    t = fc.tensor([1, 4])
    for y, expected in ((t**0.5, [1.0, 2.0]), (t**-1, [1.0, 0.25])):
        assert (y.dtype, y.tolist()) == (np.dtype("float32"), expected)
    assert (t**2).dtype == "int64"


@pytest.mark.parametrize("exponent", [fc.tensor([1.0, 2.0]), [1, 2], np.ones(2), "2", None])
def test_a_power_takes_one_number(exponent):
    with pytest.raises(fc.ArgumentError, match="power: the exponent must be a number, got"):
        fc.tensor([1.0, 2.0]) ** exponent


def test_bytes_of_a_picture_over_255_are_float32():
    """The lectures' `data.transpose(0, 3, 1, 2) / 255.` of CIFAR-10's bytes."""
    data = np.arange(2 * 4 * 4 * 3, dtype="uint8").reshape(2, 4, 4, 3)
    x = fc.tensor(data.transpose(0, 3, 1, 2)) / 255.0
    assert (x.shape, x.dtype) == ((2, 3, 4, 4), np.dtype("float32"))
    np.testing.assert_array_equal(x.numpy(), data.transpose(0, 3, 1, 2) / np.float32(255))


def test_comparisons_are_element_by_element(rng):
    a, b = rng.integers(0, 3, (4, 5)), rng.integers(0, 3, (1, 5))
    for relation in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        for other in (fc.tensor(b), b, 1, 0.5):
            expected = relation(a, np.asarray(other))
            np.testing.assert_array_equal(relation(fc.tensor(a), other).numpy(), expected)
    with pytest.raises(fc.ShapeError, match=r"compare: shapes \(4, 5\) and \(3,\) do not fit together"):
        fc.tensor(a) == np.zeros(3)  # noqa: B015


def test_accuracy_by_comparison():
    scores, labels = fc.tensor([[1.0, 2.0], [4.0, 3.0], [0.0, 1.0], [5.0, 6.0]]), np.array([1, 0, 1, 0])
    right = scores.argmax(1) == labels
    assert right.tolist() == [True, True, True, False]
    assert (right.sum().item(), right.mean().item()) == (3, 0.75)


def test_a_tensor_is_equal_to_nothing_that_holds_no_numbers_and_a_key_by_identity():
    x = fc.tensor([1.0, 1.0], requires_grad=True)
    assert (x == None) is False  # noqa: E711
    assert (x != "x") is True
    assert not (x > 0).requires_grad
    assert {x: 1, fc.tensor([1.0, 1.0]): 2}[x] == 1


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


@pytest.mark.parametrize("other", [None, "1"])
def test_arithmetic_with_what_is_no_number_is_refused(other):
    x = fc.tensor([1.0, 2.0])
    for f in (lambda: x + other, lambda: other * x, lambda: x / other):
        with pytest.raises(fc.DTypeError, match=r"takes tensors, arrays and numbers, got .* beside shape \(2,\)"):
            f()


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(fc.ShapeError, match=r"mean: there is nothing in shape \(0,\)"):
        fc.tensor([]).mean()


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


def test_a_comparison_of_values_cannot_be_compiled():
    class Net(fc.nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y * (y > 0)

    with pytest.raises(fc.UnsupportedError, match="may not compare"):
        fc.compile(Net(2, 2))(np.ones((1, 2), "float32"))
