"""Impossible inputs: a typed error that names the operation, the rule and every shape, on every backend.

The cases of PyTorch's own list (error inputs of conv2d, max_pool2d and avg_pool2d in
torch/testing/_internal/common_methods_invocations.py) are among them.
"""

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import errors
from fastconv import functional as F
from fastconv.backends import select
from fastconv.backends.gpu import GpuBackend

IMAGES, FILTERS = (2, 4, 9, 8), (6, 4, 3, 3)


def array(spec):
    """Zeros of a shape, or of (shape, dtype)."""
    if spec is None or isinstance(spec, np.ndarray):
        return spec
    shape, dtype = spec if len(spec) == 2 and isinstance(spec[1], str) else (spec, "float32")
    return np.zeros(shape, dtype)


CONV2D = [
    ("x_float64", [(IMAGES, "float64"), FILTERS], {}, fc.DTypeError, "float64 and float32 cannot be mixed"),
    ("bias_float64", [IMAGES, FILTERS, ((6,), "float64")], {}, fc.DTypeError, "float32 and float64 cannot be mixed"),
    ("whole_numbers", [(IMAGES, "int64"), (FILTERS, "int64")], {}, fc.DTypeError, "x int64, w int64"),
    ("x_whole_numbers", [(IMAGES, "int32"), FILTERS], {}, fc.DTypeError, "x int32, w float32"),
    ("half_precision", [(IMAGES, "float16"), (FILTERS, "float16")], {}, fc.DTypeError, "x float16"),
    ("complex", [(IMAGES, "complex64"), (FILTERS, "complex64")], {}, fc.DTypeError, "x complex64"),
    ("x_without_batch", [(4, 9, 8), FILTERS], {}, fc.ShapeError, "x and w must have 4 axes, x has 3"),
    ("w_with_three_axes", [IMAGES, (6, 4, 3)], {}, fc.ShapeError, "w has 3"),
    ("channels", [(2, 1, 9, 8), FILTERS], {}, fc.ShapeError, "w expects 4 input channels, x has 1"),
    ("bias_length", [IMAGES, FILTERS, (5,)], {}, fc.ShapeError, r"b must have shape \(6,\)"),
    ("bias_axes", [IMAGES, FILTERS, (1, 6)], {}, fc.ShapeError, r"b must have shape \(6,\)"),
    ("stride_negative", [IMAGES, FILTERS], {"stride": -1}, fc.ArgumentError, "stride"),
    ("stride_zero", [IMAGES, FILTERS], {"stride": (1, 0)}, fc.ArgumentError, "stride"),
    ("stride_fraction", [IMAGES, FILTERS], {"stride": 1.5}, fc.ArgumentError, "stride must be .*got 1.5"),
    ("stride_nan", [IMAGES, FILTERS], {"stride": float("nan")}, fc.ArgumentError, "stride must be .*got nan"),
    ("padding_negative", [IMAGES, FILTERS], {"padding": -1}, fc.ArgumentError, "padding must not be negative"),
    ("padding_nan", [IMAGES, FILTERS], {"padding": float("nan")}, fc.ArgumentError, "padding must be .*got nan"),
    ("padding_word", [IMAGES, FILTERS], {"padding": "FULL"}, fc.ArgumentError, "got 'FULL'"),
    ("dilation_negative", [IMAGES, FILTERS], {"dilation": (-1, 1)}, fc.ArgumentError, "dilation"),
    ("dilation_zero", [IMAGES, FILTERS], {"dilation": 0}, fc.ArgumentError, "dilation"),
    ("dilation_none", [IMAGES, FILTERS], {"dilation": None}, fc.ArgumentError, "dilation must be .*got None"),
    ("groups_zero", [IMAGES, FILTERS], {"groups": 0}, fc.ArgumentError, "groups must be at least 1, got 0"),
    ("groups_negative", [IMAGES, FILTERS], {"groups": -1}, fc.ArgumentError, "groups must be at least 1, got -1"),
    ("filters_fewer_than_groups", [IMAGES, (1, 2, 3, 3)], {"groups": 2}, fc.ShapeError, "groups=2 must divide"),
    ("filters_not_of_groups", [IMAGES, (3, 2, 3, 3)], {"groups": 2}, fc.ShapeError, "groups=2 must divide"),
    ("kernel_beyond_input", [IMAGES, (6, 4, 10, 3)], {}, fc.ShapeError, "kernel covers 10 along H"),
    ("dilated_beyond_input", [IMAGES, FILTERS], {"dilation": 4}, fc.ShapeError, "kernel covers 9 along W"),
    ("dilation_overflows", [IMAGES, FILTERS], {"dilation": 2**31 - 1}, fc.ShapeError, "kernel covers 4294967295"),
    ("padding_overflows", [IMAGES, FILTERS], {"padding": 2**40}, fc.ShapeError, r"2\^31"),
    ("products_overflow", [IMAGES, FILTERS], {"padding": 2**29}, fc.ShapeError, "too large"),
    ("empty_batch", [(0, 4, 9, 8), FILTERS], {}, fc.ShapeError, "an empty batch cannot be computed"),
    ("empty_height", [(2, 4, 0, 8), FILTERS], {}, fc.ShapeError, "H must be at least 1"),
    ("no_filters", [IMAGES, (0, 4, 3, 3)], {}, fc.ShapeError, "OC must be at least 1"),
    ("rows_left_over", [IMAGES, FILTERS], {"stride": (1, 2), "strict": True}, fc.ShapeError, "leaves 1 over along W"),
]

POOL2D = [
    ("x_without_batch", [(4, 9, 8)], {"kernel_size": 2}, fc.ShapeError, "x must have 4 axes, it has 3"),
    ("whole_numbers", [(IMAGES, "int64")], {"kernel_size": 2}, fc.DTypeError, "x int64"),
    ("padding_negative", [IMAGES], {"kernel_size": 2, "padding": -1}, fc.ArgumentError, "padding must not be negative"),
    ("padding_of_the_kernel", [IMAGES], {"kernel_size": 2, "padding": 2}, fc.ArgumentError, "in the padding only"),
    ("padding_beyond_kernel", [IMAGES], {"kernel_size": (2, 3), "padding": (0, 4)}, fc.ArgumentError, "padding only"),
    ("stride_zero", [IMAGES], {"kernel_size": 2, "stride": 0}, fc.ArgumentError, "stride"),
    ("stride_negative", [IMAGES], {"kernel_size": 2, "stride": -2}, fc.ArgumentError, "stride"),
    ("kernel_zero", [IMAGES], {"kernel_size": 0}, fc.ShapeError, "kernel must be at least 1 x 1"),
    ("kernel_fraction", [IMAGES], {"kernel_size": 2.5}, fc.ArgumentError, "kernel must be .*got 2.5"),
    ("kernel_beyond_input", [IMAGES], {"kernel_size": 9}, fc.ShapeError, "kernel covers 9 along W"),
    ("empty_batch", [(0, 4, 9, 8)], {"kernel_size": 2}, fc.ShapeError, "an empty batch cannot be computed"),
    ("empty_channels", [(2, 0, 9, 8)], {"kernel_size": 2}, fc.ShapeError, "C must be at least 1"),
    ("empty_width", [(2, 4, 9, 0)], {"kernel_size": 2}, fc.ShapeError, "W must be at least 1"),
    ("rows_left_over", [IMAGES], {"kernel_size": 2, "strict": True}, fc.ShapeError, "leaves 1 over along H"),
]

LABELS = ((3,), "int64")
OTHERS = [
    (F.linear, "inputs", [(2, 5), (3, 4)], {}, fc.ShapeError, "w expects 4 inputs, x has 5"),
    (F.linear, "bias", [(2, 5), (3, 5), (4,)], {}, fc.ShapeError, r"b must have shape \(3,\)"),
    (F.linear, "images", [(2, 5, 1, 1), (3, 5)], {}, fc.ShapeError, "flatten images first"),
    (F.linear, "one_row", [(5,), (3, 5)], {}, fc.ShapeError, "x and w must have 2 axes"),
    (F.linear, "empty_batch", [(0, 5), (3, 5)], {}, fc.ShapeError, "the batch is empty"),
    (F.linear, "mixed", [(2, 5), ((3, 5), "float64")], {}, fc.DTypeError, "float32 and float64 cannot be mixed"),
    (F.linear, "whole_numbers", [((2, 5), "int64"), ((3, 5), "int64")], {}, fc.DTypeError, "x int64"),
    (F.cross_entropy, "labels_fewer", [(3, 4), np.array([0, 1])], {}, fc.ShapeError, "one label per row"),
    (F.cross_entropy, "labels_floats", [(3, 4), np.array([0.0, 1, 2])], {}, fc.DTypeError, "must be whole numbers"),
    (F.cross_entropy, "logits_of_images", [(3, 4, 1, 1), LABELS], {}, fc.ShapeError, r"logits must be \(N, classes\)"),
    (F.cross_entropy, "logits_row", [(4,), LABELS], {}, fc.ShapeError, r"logits must be \(N, classes\)"),
    (F.cross_entropy, "logits_whole", [((3, 4), "int64"), LABELS], {}, fc.DTypeError, "logits int64"),
    (F.cross_entropy, "empty_batch", [(0, 4), ((0,), "int64")], {}, fc.ShapeError, "the batch is empty"),
    (F.cross_entropy, "no_classes", [(3, 0), LABELS], {}, fc.ShapeError, "logits"),
    (F.cross_entropy, "reduction", [(3, 4), LABELS], {"reduction": "max"}, fc.ArgumentError, "got 'max'"),
    (F.softmax, "row", [(4,)], {}, fc.ShapeError, r"must be \(N, classes\)"),
    (F.softmax, "empty_batch", [(0, 4)], {}, fc.ShapeError, r"\(N, classes\)"),
    (F.relu, "whole_numbers", [((3,), "int64")], {}, fc.DTypeError, "int64"),
    (F.leaky_relu, "slope_negative", [(3,)], {"negative_slope": -0.1}, fc.ArgumentError, "slope must be .*got -0.1"),
    (F.leaky_relu, "slope_zero", [(3,)], {"negative_slope": 0.0}, fc.ArgumentError, "slope must be .*got 0.0"),
    (F.leaky_relu, "slope_nan", [(3,)], {"negative_slope": float("nan")}, fc.ArgumentError, "slope must be .*got nan"),
    (F.dropout, "one", [(3,)], {"p": 1.0}, fc.ArgumentError, "p must be at least 0 and below 1, got 1.0"),
    (F.dropout, "negative", [(3,)], {"p": -0.5}, fc.ArgumentError, "got -0.5"),
    (F.dropout, "nan", [(3,)], {"p": float("nan")}, fc.ArgumentError, "got nan"),
    (F.dropout, "whole_numbers", [((3,), "int64")], {}, fc.DTypeError, "int64"),
]


def check(function, arrays, options, error, message):
    """The call fails with `error`; its text says the message, the operation and the shape of every array."""
    arrays = [array(a) for a in arrays]
    with pytest.raises(error, match=message) as raised:
        function(*arrays, **options)
    text = str(raised.value)
    assert text.startswith(("conv2d: ", "pool2d: ", function.__name__ + ": ", "softmax_cross_entropy: ")), text
    if error is fc.ShapeError:
        for a in arrays:
            assert a is None or str(a.shape) in text, text


def cases(table):
    return pytest.mark.parametrize(
        ("arrays", "options", "error", "message"), [row[1:] for row in table], ids=[row[0] for row in table]
    )


class TestFunctions:
    @cases(CONV2D)
    def test_conv2d(self, backend, arrays, options, error, message):
        with fc.use(backend.name):
            check(F.conv2d, arrays, options, error, message)

    @cases(POOL2D)
    @pytest.mark.parametrize("function", [F.max_pool2d, F.avg_pool2d], ids=lambda f: f.__name__)
    def test_pooling(self, backend, function, arrays, options, error, message):
        with fc.use(backend.name), pytest.raises(error, match=message) as raised:
            function(*map(array, arrays), **options)
        if error is not fc.DTypeError:
            assert str(array(arrays[0]).shape) in str(raised.value)

    @pytest.mark.parametrize(
        ("function", "arrays", "options", "error", "message"),
        [(row[0], *row[2:]) for row in OTHERS],
        ids=[f"{row[0].__name__}-{row[1]}" for row in OTHERS],
    )
    def test_others(self, backend, function, arrays, options, error, message):
        with fc.use(backend.name):
            arrays = [array(a) for a in arrays]
            with pytest.raises(error, match=message):
                function(*arrays, **options)

    @pytest.mark.parametrize(("label", "message"), [(4, "from 0 to 3, got 0 to 4"), (-1, "from 0 to 3, got -1 to 1")])
    def test_labels_that_are_no_class(self, backend, label, message):
        """A GPU, which nobody waits for, gives NaN instead."""
        with fc.use(backend.name):
            arguments = array((3, 4)), np.array([0, label, 1])
            if isinstance(backend, GpuBackend):
                assert np.isnan(F.cross_entropy(*arguments).item())
                return
            with pytest.raises(fc.ArgumentError, match=message):
                F.cross_entropy(*arguments)

    @pytest.mark.parametrize("options", [{"padding_mode": "reflect"}, {"device": "cuda"}])
    def test_what_is_possible_elsewhere_but_not_here(self, options):
        with pytest.raises(fc.UnsupportedError, match=next(iter(options))):
            fc.nn.Conv2d(1, 2, 3, **options)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 2, 3), "in_channels"), ((1, 0, 3), "out_channels"), ((3, 4, 3, 1, 0, 1, 2), "groups"),
            ((1, 2, 0), "kernel_size"), ((1, 2, (3, 3, 3)), "kernel_size"), ((1, 2, 2.5), "kernel_size"),
            ((1, 2, -1), "kernel_size"), ((1.5, 2, 3), "in_channels"),
        ],
    )  # fmt: skip
    def test_layers_refuse_impossible_sizes_when_they_are_made(self, arguments, message):
        with pytest.raises(fc.FastconvError, match=f"Conv2d: .*{message}"):
            fc.nn.Conv2d(*arguments)

    @pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-1, 3), (2.5, 3)])
    def test_linear_layer_refuses_impossible_sizes(self, sizes):
        with pytest.raises(fc.FastconvError, match="Linear: "):
            fc.nn.Linear(*sizes)

    def test_dropout_layer_refuses_an_impossible_probability(self):
        for p in (-0.1, 1.0, float("nan")):
            with pytest.raises(fc.ArgumentError, match="Dropout: p must be at least 0 and below 1"):
                fc.nn.Dropout(p)


class TestTensors:
    def test_two_backends_in_one_operation(self):
        if select.available()["cpu"] != "ready":
            pytest.skip("the cpu backend is not ready: " + select.available()["cpu"])
        with fc.use("reference"):
            x = fc.tensor(np.zeros((1, 1, 3, 3), "float32"))
        with fc.use("cpu"):
            w = fc.tensor(np.zeros((1, 1, 3, 3), "float32"))
        with pytest.raises(fc.BackendError, match=r"conv2d: .*reference backend .*cpu backend.*\.to\('reference'\)"):
            F.conv2d(x, w)

    def test_gradient_of_whole_numbers(self):
        with pytest.raises(fc.DTypeError, match="only floating tensors can require a gradient, this one is int64"):
            fc.tensor(np.array([1, 2]), requires_grad=True)

    def test_backward_without_a_gradient(self):
        with pytest.raises(fc.ArgumentError, match="requires no gradient"):
            fc.tensor([1.0]).backward()

    def test_backward_of_more_than_one_element(self):
        with pytest.raises(fc.ShapeError, match=r"shape \(2,\) needs a gradient of that shape"):
            (fc.tensor([1.0, 2.0], requires_grad=True) * 2.0).backward()

    def test_backward_with_a_gradient_of_another_shape(self):
        with pytest.raises(fc.ShapeError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
            (fc.tensor([1.0, 2.0], requires_grad=True) * 2.0).backward(np.ones(3))

    def test_backward_twice(self):
        y = (fc.tensor([1.0], requires_grad=True) * 2.0).sum()
        y.backward()
        with pytest.raises(fc.FastconvError, match="retain_graph=True"):
            y.backward()

    def test_item_of_more_than_one_element(self):
        with pytest.raises(fc.ShapeError, match=r"one element, this one has shape \(2,\)"):
            fc.tensor([1.0, 2.0]).item()

    @pytest.mark.parametrize("operator", ["__add__", "__sub__", "__mul__", "__truediv__"])
    def test_shapes_that_do_not_broadcast(self, operator):
        with pytest.raises(fc.ShapeError, match=r"\(2, 3\).*\(4,\)"):
            getattr(fc.tensor(np.zeros((2, 3))), operator)(fc.tensor(np.ones(4)))

    @pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3), (3,))])
    def test_matrix_product(self, a, b):
        with pytest.raises(fc.ShapeError, match="matmul: ") as raised:
            fc.tensor(np.zeros(a)) @ fc.tensor(np.zeros(b))
        assert str(a) in str(raised.value)
        assert str(b) in str(raised.value)

    def test_reshape_transpose_and_concat(self):
        t = fc.tensor(np.zeros((2, 3)))
        with pytest.raises(fc.ShapeError, match=r"reshape: 6 elements of shape \(2, 3\) do not fit \(4,\)"):
            t.reshape(4)
        with pytest.raises(fc.ShapeError, match=r"transpose: axes \(0, 0\)"):
            t.transpose(0, 0)
        with pytest.raises(fc.ShapeError, match=r"concat: .*\(2, 3\), \(2, 4, 1\)"):
            F.concat([t, np.zeros((2, 4, 1))])
        with pytest.raises(fc.ArgumentError, match=r"concat: axis 2 is out of range for shape \(2, 3\)"):
            F.concat([t, t], axis=2)
        with pytest.raises(fc.ArgumentError, match="at least one tensor"):
            F.concat([])

    def test_gradcheck_in_float32(self):
        with pytest.raises(fc.DTypeError, match="input 0 is float32, it must be float64"):
            fc.gradcheck(F.relu, np.zeros(3, "float32"))


class TestOptimizers:
    @pytest.mark.parametrize(
        "make", [fc.optim.SGD, fc.optim.AdaGrad, fc.optim.RMSprop, fc.optim.Adadelta, fc.optim.Adam]
    )
    @pytest.mark.parametrize("options", [{"lr": -0.1}, {"lr": float("nan")}, {"weight_decay": -1.0}])
    def test_impossible_rates(self, make, options):
        with pytest.raises(fc.ArgumentError, match=f"{make.__name__}: {next(iter(options))} must be at least 0"):
            make([fc.nn.Parameter(np.zeros(3))], **options)

    @pytest.mark.parametrize(
        ("make", "options", "message"),
        [
            (fc.optim.SGD, {"momentum": 1.0}, "momentum must be at least 0 and below 1"),
            (fc.optim.SGD, {"nesterov": True}, "nesterov needs a momentum"),
            (fc.optim.Adam, {"betas": (0.9, 1.0)}, r"betas\[1\] must be at least 0 and below 1"),
            (fc.optim.Adam, {"eps": -1e-8}, "eps must be at least 0"),
            (fc.optim.RMSprop, {"alpha": 1.5}, "alpha must be"),
            (fc.optim.Adadelta, {"rho": -0.1}, "rho must be"),
        ],
    )
    def test_impossible_options(self, make, options, message):
        with pytest.raises(fc.ArgumentError, match=f"{make.__name__}: {message}"):
            make([fc.nn.Parameter(np.zeros(3))], **options)

    def test_nothing_to_train(self):
        with pytest.raises(fc.ArgumentError, match="no parameters"):
            fc.optim.SGD([])
        with pytest.raises(fc.ArgumentError, match=r"no parameter has a gradient; call backward\(\) first"):
            fc.optim.SGD([fc.nn.Parameter(np.zeros(3))]).step()


class TestHierarchy:
    @pytest.mark.parametrize(
        ("error", "builtin"),
        [
            (fc.ShapeError, ValueError), (fc.ArgumentError, ValueError), (fc.DTypeError, TypeError),
            (fc.BackendError, RuntimeError), (fc.UnsupportedError, NotImplementedError), (fc.DataError, ValueError),
        ],
    )  # fmt: skip
    def test_each_is_also_the_builtin_error_one_expects(self, error, builtin):
        assert issubclass(error, fc.FastconvError)
        assert issubclass(error, builtin)

    def test_all_are_public_and_documented(self):
        for name, cls in vars(errors).items():
            if inspect.isclass(cls):
                assert getattr(fc, name) is cls
                assert cls.__doc__


# Whatever comes in, the answer is a result of the promised shape or one of our errors ---------------------------------

shapes = st.lists(st.integers(0, 6), min_size=0, max_size=5).map(tuple)
likely = st.sampled_from(
    [(1, 1, 5, 5), (2, 3, 6, 5), (4, 3, 3, 3), (3, 1, 2, 2), (4, 2, 1, 1), (3,), (4,), (2, 6), (3, 6)]
)
dtypes = st.sampled_from(["float32", "float32", "float32", "float64", "int64", "bool", "float16"])
arrays = st.builds(lambda shape, dtype: np.ones(shape, dtype), likely | shapes, dtypes)
odd = st.sampled_from(
    [
        None,
        "same",
        "valid",
        "",
        1.5,
        float("nan"),
        float("inf"),
        (),
        (1, 2, 3),
        (1, 1, 1, 1),
        (1, 1.0),
        [2, 2],
        b"x",
        {},
    ]
)
pairs = st.tuples(st.integers(-1, 3), st.integers(-1, 3))
options = st.integers(-2, 4) | pairs | st.integers(2**31 - 2, 2**64) | odd


def answers(function, *inputs, **chosen):
    """An array of numbers, or a FastconvError and then None."""
    try:
        y = np.asarray(function(*inputs, **chosen))
    except fc.FastconvError:
        return None
    assert np.isfinite(y).all()
    return y


class TestAnyInput:
    @given(x=arrays, w=arrays, b=st.none() | arrays, stride=options, padding=options, dilation=options, groups=options)
    def test_conv2d(self, backend, x, w, b, stride, padding, dilation, groups):
        with fc.use(backend.name):
            answers(F.conv2d, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)

    @given(x=arrays, kernel=options, stride=options, padding=options, dilation=options, ceil_mode=st.booleans())
    def test_max_pool2d(self, backend, x, kernel, stride, padding, dilation, ceil_mode):
        with fc.use(backend.name):
            answers(F.max_pool2d, x, kernel, stride, padding, dilation, ceil_mode)

    @given(x=arrays, kernel=options, stride=options, padding=options, ceil_mode=st.booleans(), counted=st.booleans())
    def test_avg_pool2d(self, backend, x, kernel, stride, padding, ceil_mode, counted):
        with fc.use(backend.name):
            answers(F.avg_pool2d, x, kernel, stride, padding, ceil_mode, counted)

    @given(x=arrays, w=arrays, b=st.none() | arrays)
    def test_linear(self, backend, x, w, b):
        with fc.use(backend.name):
            y = answers(F.linear, x, w, b)
        assert y is None or (y == x @ w.T + (0 if b is None else b)).all()

    @given(logits=arrays, labels=arrays)
    def test_cross_entropy(self, backend, logits, labels):
        with fc.use(backend.name):
            answers(F.cross_entropy, logits, labels)

    @given(x=arrays, FH=options, FW=options, stride=options, pad=options)
    def test_im2col(self, backend, x, FH, FW, stride, pad):
        with fc.use(backend.name):
            answers(F.im2col, x, FH, FW, stride, pad)

    @given(a=arrays, b=arrays)
    def test_matrix_product(self, backend, a, b):
        with fc.use(backend.name):
            y = answers(lambda a, b: fc.tensor(a) @ fc.tensor(b), a, b)
        assert y is None or (y == a @ b).all()

    @pytest.mark.parametrize("shape", list(itertools.product([0, 1], repeat=4)))
    def test_empty_and_one_pixel_images(self, backend, shape):
        with fc.use(backend.name):
            answers(F.conv2d, np.ones(shape, "float32"), np.ones((1, 1, 1, 1), "float32"))
            answers(F.max_pool2d, np.ones(shape, "float32"), 1)
