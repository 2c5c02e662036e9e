"""Gradients of every operation against finite differences, and the rules of the tape."""

import numpy as np
import pytest
from cases import CONV_CASES, POOL_CASES, distinct, names

import fastconv as fc
from fastconv import functional as F

SMALL_CONV = [case for case in CONV_CASES if np.prod(case.x) + np.prod(case.w) < 400]
SMALL_POOL = [case for case in POOL_CASES if np.prod(case.x) < 300]
AVERAGES = [c for c in SMALL_POOL if c.dilation == (1, 1)]


@pytest.fixture(autouse=True)
def on_backend(backend):
    with fc.use(backend.name):
        yield


def values(rng, *shape):
    return rng.standard_normal(shape)


class TestGradients:
    @pytest.mark.parametrize("case", SMALL_CONV, ids=names(SMALL_CONV))
    def test_conv2d(self, case, rng):
        def f(x, w, b):
            padding = case.padding
            return F.conv2d(x, w, b, case.stride, padding, case.dilation, case.groups)

        assert fc.gradcheck(f, values(rng, *case.x), values(rng, *case.w), values(rng, case.w[0]))

    @pytest.mark.parametrize("case", SMALL_POOL, ids=names(SMALL_POOL))
    def test_max_pool2d(self, case, rng):
        """Values a whole apart, so that no step of a finite difference changes which one is largest."""

        def f(x):
            return F.max_pool2d(x, case.kernel, case.stride, case.padding, case.dilation, case.ceil_mode)

        assert fc.gradcheck(f, distinct(rng, case.x, "float64"))

    @pytest.mark.parametrize("case", AVERAGES, ids=names(AVERAGES))
    def test_avg_pool2d(self, case, rng):
        def f(x):
            return F.avg_pool2d(x, case.kernel, case.stride, case.padding, case.ceil_mode, case.count_include_pad)

        assert fc.gradcheck(f, values(rng, *case.x))

    @pytest.mark.parametrize("pool", [F.global_avg_pool2d, F.global_max_pool2d])
    def test_global_pooling(self, pool, rng):
        assert fc.gradcheck(pool, values(rng, 2, 3, 4, 5))

    def test_linear(self, rng):
        assert fc.gradcheck(F.linear, values(rng, 3, 5), values(rng, 4, 5), values(rng, 4))
        assert fc.gradcheck(F.linear, values(rng, 3, 5), values(rng, 4, 5))

    @pytest.mark.parametrize("activation", [F.relu, F.leaky_relu, F.sigmoid, F.tanh])
    @pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4, 5)])
    def test_activations(self, activation, shape, rng):
        x = values(rng, *shape)
        assert fc.gradcheck(activation, x + 0.1 * np.sign(x))

    def test_leaky_relu_of_another_slope(self, rng):
        x = values(rng, 3, 4)
        assert fc.gradcheck(lambda x: F.leaky_relu(x, 0.3), x + 0.1 * np.sign(x))

    def test_dropout_with_its_own_seed(self, rng):
        assert fc.gradcheck(lambda x: F.dropout(x, 0.4, seed=5), values(rng, 2, 3, 4, 5))

    @pytest.mark.parametrize(("shape", "k", "axis"), [((3, 7), 3, -1), ((2, 3, 4, 5), 2, 3), ((2, 5, 3), 5, 1)])
    def test_k_max_pool(self, shape, k, axis, rng):
        assert fc.gradcheck(lambda x: F.k_max_pool(x, k, axis), distinct(rng, shape, "float64"))

    @pytest.mark.parametrize("shape", [(3, 7), (2, 6, 3, 2), (2, 1, 2, 2)])
    @pytest.mark.parametrize("options", [(5, 0.5, 0.75, 2.0), (2, 1.0, 0.5), (1,), (20, 3.0, 2.0, 0.1)])
    def test_local_response_norm(self, shape, options, rng):
        assert fc.gradcheck(lambda x: F.local_response_norm(x, *options), values(rng, *shape))

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_cross_entropy(self, reduction, rng):
        labels = np.array([2, 0, 4, 4])
        assert fc.gradcheck(lambda x: F.cross_entropy(x, labels, reduction), values(rng, 4, 5))

    def test_softmax(self, rng):
        assert fc.gradcheck(F.softmax, values(rng, 4, 5))

    @pytest.mark.parametrize("axis", [0, 1, 3, -2])
    def test_concat(self, axis, rng):
        sizes = [[2, 3, 4, 5] for _ in range(3)]
        for i, size in enumerate(sizes):
            size[axis] = i + 1
        assert fc.gradcheck(lambda *t: F.concat(t, axis), *(values(rng, *size) for size in sizes))

    def test_flatten_reshape_and_transpose(self, rng):
        x = values(rng, 2, 3, 4, 5)
        assert fc.gradcheck(F.flatten, x)
        assert fc.gradcheck(lambda t: t.reshape(6, -1), x)
        assert fc.gradcheck(lambda t: t.transpose(1, 3, 0, 2), x)
        assert fc.gradcheck(lambda t: t.transpose(), x)

    @pytest.mark.parametrize(
        "f",
        [
            lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
            lambda a, b: 2.0 - a * 3.0 + 1.0 / b, lambda a, b: -a + b, lambda a, b: a * a * b + a,
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        ("a", "b"), [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,)), ((2, 3, 4, 5), (1, 3, 1, 1))]
    )
    def test_arithmetic_with_broadcasting(self, f, a, b, rng):
        assert fc.gradcheck(f, values(rng, *a), 2 + rng.random(b))

    @pytest.mark.parametrize("exponent", [2, 3.0, 0.5, -1, 1, 0])
    def test_power(self, exponent, rng):
        assert fc.gradcheck(lambda x: x**exponent, 1 + rng.random((3, 4)))

    def test_matrix_product(self, rng):
        assert fc.gradcheck(lambda a, b: a @ b, values(rng, 3, 4), values(rng, 4, 2))

    @pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), -1])
    @pytest.mark.parametrize("keepdims", [False, True])
    def test_sum_and_mean(self, axis, keepdims, rng):
        x = values(rng, 2, 3, 4)
        assert fc.gradcheck(lambda t: t.sum(axis, keepdims), x)
        assert fc.gradcheck(lambda t: t.mean(axis, keepdims), x)

    def test_a_whole_network(self, rng):
        """Two convolutions, a pool and a classifier, all parameters at once."""
        labels = np.array([1, 0])

        def f(x, w1, b1, w2, b2, w3, b3):
            y = F.max_pool2d(F.tanh(F.conv2d(x, w1, b1, padding=1)), 2)
            y = F.sigmoid(F.conv2d(y, w2, b2))
            return F.cross_entropy(F.linear(F.flatten(y), w3, b3), labels)

        shapes = [(2, 1, 8, 8), (3, 1, 3, 3), (3,), (4, 3, 3, 3), (4,), (3, 16), (3,)]
        assert fc.gradcheck(f, *(values(rng, *shape) for shape in shapes))


class TestGradcheckItself:
    def test_finds_a_wrong_gradient(self, rng):
        class Wrong(fc.autograd.function.Function):
            def forward(self, be, x):
                return x * 2.0

            def backward(self, be, dy):
                return (dy * 2.01,)

        with pytest.raises(AssertionError, match=r"input 0 of shape \(3,\), 3 of 3 derivatives differ"):
            fc.gradcheck(Wrong.apply, values(rng, 3))

    def test_finds_a_gradient_that_is_not_a_number(self, rng):
        class NotANumber(fc.autograd.function.Function):
            def forward(self, be, x):
                return x * 2.0

            def backward(self, be, dy):
                return (dy * np.nan,)

        with pytest.raises(AssertionError, match="derivatives differ"):
            fc.gradcheck(NotANumber.apply, values(rng, 3))

    def test_finds_a_missing_gradient(self, rng):
        with pytest.raises(AssertionError, match=r"input 1 .* derivatives differ"):
            fc.gradcheck(lambda a, b: a * b.detach(), values(rng, 3), values(rng, 3))

    def test_leaves_its_inputs_as_they_were(self, rng):
        x = values(rng, 3, 4)
        before = x.copy()
        fc.gradcheck(F.tanh, x)
        np.testing.assert_array_equal(x, before)


class TestTape:
    def test_gradients_add_up_over_uses(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        (x * x + x).backward()
        assert x.grad.numpy().tolist() == [7]

    def test_gradients_add_up_over_backward_passes(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        (x * 2.0).backward()
        (x * 5.0).backward()
        assert x.grad.numpy().tolist() == [7]

    def test_the_same_tensor_on_both_sides(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        (x + x).backward()
        assert x.grad.numpy().tolist() == [2]

    def test_a_diamond(self):
        """b and c both come from a and meet in d: a's gradient waits for both."""
        a = fc.tensor(np.array([2.0]), requires_grad=True)
        b, c = a * 3.0, a * a
        (b * c).backward()
        assert a.grad.numpy().tolist() == [3 * 3 * 4]

    def test_a_long_chain_needs_no_deep_recursion(self):
        x = fc.tensor(np.array([1.0]), requires_grad=True)
        y = x
        for _ in range(5000):
            y = y + 0.001
        y.backward()
        assert x.grad.numpy().tolist() == [1]

    def test_only_what_requires_a_gradient_gets_one(self):
        x, w = fc.tensor(np.ones((2, 3))), fc.tensor(np.ones((4, 3)), requires_grad=True)
        y = F.linear(x, w)
        assert y.requires_grad
        y.sum().backward()
        assert x.grad is None
        assert w.grad.shape == (4, 3)
        assert not F.relu(x).requires_grad

    def test_no_grad_records_nothing(self):
        w = fc.tensor(np.ones(3), requires_grad=True)
        with fc.no_grad():
            assert not (w * 2.0).requires_grad
        assert (w * 2.0).requires_grad

        @fc.no_grad()
        def function():
            return w * 2.0

        assert not function().requires_grad

    def test_no_grad_ends_with_an_error_too(self):
        w = fc.tensor(np.ones(3), requires_grad=True)
        with pytest.raises(RuntimeError, match="inside"), fc.no_grad():
            raise RuntimeError("inside")
        assert (w * 2.0).requires_grad

    def test_detach_cuts(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        (x * x.detach()).backward()
        assert x.grad.numpy().tolist() == [3]

    def test_retain_graph_allows_a_second_pass(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.numpy().tolist() == [12]

    def test_backward_of_a_leaf(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        x.backward()
        assert x.grad.numpy().tolist() == [1]

    def test_gradients_of_two_leaves_are_two_arrays(self):
        """Scaling one gradient in place, as clipping does, leaves the other alone."""
        a, b = (fc.tensor(np.array([1.0, 2.0]), requires_grad=True) for _ in range(2))
        weights = np.array([5.0, 7.0])
        (a + b).backward(weights)
        a.grad.data[...] = 0
        assert b.grad.numpy().tolist() == [5, 7]
        assert weights.tolist() == [5, 7]

    def test_a_step_behind_an_unused_result_is_not_run(self):
        x = fc.tensor(np.array([3.0]), requires_grad=True)
        y, _ = x * 2.0, x / 0.5
        y.backward()
        assert x.grad.numpy().tolist() == [2]

    def test_memory_is_let_go_after_backward(self):
        x = fc.tensor(np.ones(3), requires_grad=True)
        y = (x * x).sum()
        steps = [y.source, y.source.inputs[0].source]
        y.backward()
        assert all(step.released and step.saved == () for step in steps)


class TestTensor:
    def test_types_of_python_numbers_and_arrays(self):
        assert fc.tensor([1.0, 2.0]).dtype == "float32"
        assert fc.tensor([1, 2]).dtype == "int64"
        assert fc.tensor(np.array([1.0])).dtype == "float64"
        assert fc.tensor([1, 2], dtype="float64").dtype == "float64"

    def test_constants_take_the_tensors_type(self):
        x = fc.tensor(np.ones((2, 3), "float32"))
        for y in (x + 1, 1 + x, x * 2.5, 2.5 / x, x - np.ones(3), np.ones(3) - x, x**2):
            assert y.dtype == "float32"
            assert isinstance(y, fc.Tensor)

    def test_arithmetic_is_numpys(self, rng):
        a, b = values(rng, 2, 3), 1 + rng.random((2, 3))
        x, y = fc.tensor(a), fc.tensor(b)
        for actual, expected in (
            (x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (-x, -a), (x**3, a**3),
            (1 - x, 1 - a), (2 / y, 2 / b), (b - x, b - a), (x @ y.transpose(), a @ b.T), (x.sum(), a.sum()),
            (x.sum(0), a.sum(0)), (x.mean(), a.mean()), (x.mean(1, keepdims=True), a.mean(1, keepdims=True)),
        ):  # fmt: skip
            np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)

    def test_reshape_goes_by_logical_indices_whatever_lies_in_memory(self, rng):
        a = values(rng, 2, 3, 4, 5)
        np.testing.assert_array_equal(fc.tensor(a).reshape(6, 20).numpy(), a.reshape(6, 20))
        np.testing.assert_array_equal(F.flatten(fc.tensor(a)).numpy(), a.reshape(2, 60))

    def test_concat_is_numpys(self, rng):
        parts = [values(rng, 2, n, 3, 4) for n in (1, 2, 5)]
        np.testing.assert_array_equal(F.concat(parts).numpy(), np.concatenate(parts, axis=1))

    def test_looks(self):
        x = fc.tensor([1.0, 2.0], requires_grad=True)
        assert "requires_grad=True" in repr(x)
        assert "made by multiply" in repr(x * 2.0)
        assert len(fc.tensor(np.zeros((4, 2)))) == 4
        assert float(fc.tensor([2.5])) == 2.5
        assert np.asarray(x).tolist() == [1, 2]

    def test_to_another_backend(self):
        x = fc.tensor([1.0, 2.0], requires_grad=True)
        y = x.to("reference")
        assert y.backend.name == "reference"
        assert y.requires_grad
        assert y.numpy().tolist() == [1, 2]
