"""Every backend keeps the one contract: the same names, arguments and defaults, and the same effects."""

import inspect

import numpy as np
import pytest
from cases import ConvCase, PoolCase, floats
from checks import is_channels_last, unchanged

from fastconv.backends import select
from fastconv.backends.base import ACTIVATIONS, Backend, Candidate
from fastconv.errors import BackendError, DTypeError, FastconvError, ShapeError

CONTRACT = {name: member for name, member in vars(Backend).items() if inspect.isfunction(member) and name[0] != "_"}
# The contract itself does these by plain calls; a backend may do better.
OPTIONAL = {
    "conv2d_pool_forward", "conv2d_pool_backward", "bind", "repeat", "declines_precision", "declines_fusion",
    "concat", "declines_rows",
}  # fmt: skip
CONV = ConvCase("conv", x=(2, 4, 7, 6), w=(6, 2, 3, 3), stride=(2, 1), padding=(1, 1, 0, 2), groups=2)
POOL = PoolCase("pool", x=(2, 6, 7, 6), kernel=(2, 2), stride=(2, 2))


# method -> (geometry, shape of each array that comes before it)
TAKES = {
    "conv2d_forward": (CONV.geometry, {"x": CONV.x, "w": CONV.w, "b": (6,)}),
    "conv2d_backward_data": (CONV.geometry, {"dy": CONV.geometry.y_shape, "w": CONV.w}),
    "conv2d_backward_weight": (CONV.geometry, {"dy": CONV.geometry.y_shape, "x": CONV.x}),
    "im2col": (CONV.geometry, {"x": CONV.x}),
    "col2im": (CONV.geometry, {"cols": (2 * 4 * 6, 4 * 3 * 3)}),
    "max_pool2d_forward": (POOL.geometry, {"x": POOL.x}),
    "max_pool2d_backward": (POOL.geometry, {"dy": POOL.geometry.y_shape, "argmax": POOL.geometry.y_shape}),
    "avg_pool2d_forward": (POOL.geometry, {"x": POOL.x}),
    "avg_pool2d_backward": (POOL.geometry, {"dy": POOL.geometry.y_shape}),
}
EACH_ARRAY = [(method, name) for method, (_, shapes) in TAKES.items() for name in shapes]


def fitting(backend, shapes):
    """Zeros by name, in the order of the method's arguments."""
    return {name: backend.zeros(shape, "uint8" if name == "argmax" else "float32") for name, shape in shapes.items()}


def arguments(function):
    """(name, kind, default) of each argument but self."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(p.name, p.kind, p.default) for p in parameters]


class TestSignatures:
    def test_contract_is_small(self):
        assert len(set(CONTRACT) - OPTIONAL) <= 36, "a method per layer is how god classes begin"

    def test_every_method_is_abstract_and_says_what_it_returns(self):
        for name, method in CONTRACT.items():
            assert (name in Backend.__abstractmethods__) != (name in OPTIONAL), name
            assert inspect.getdoc(method), name
            assert inspect.signature(method).return_annotation is not inspect.Signature.empty, name

    @pytest.mark.parametrize("name", CONTRACT)
    def test_arguments_have_the_same_names_kinds_and_defaults(self, backend, name):
        assert arguments(getattr(type(backend), name)) == arguments(CONTRACT[name])

    def test_every_method_is_there_and_none_beside(self, backend):
        public = {name for name in dir(type(backend)) if name[0] != "_"}
        assert public == set(CONTRACT) | {"name"}
        assert not type(backend).__abstractmethods__

    def test_knows_its_name(self, backend):
        assert select.get(backend.name) is backend


class TestArrays:
    def test_shapes_and_types_of_fresh_arrays(self, backend):
        for dtype in ("float32", "float64", "int64", "int32", "uint8"):
            for shape in ((), (3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)):
                for a in (backend.empty(shape, dtype), backend.zeros(shape, dtype)):
                    assert tuple(a.shape) == shape
                    assert a.dtype == dtype
                assert not backend.to_numpy(backend.zeros(shape, dtype)).any()
        assert backend.empty((2,)).dtype == backend.zeros((2,)).dtype == "float32"

    def test_four_axes_lie_channels_last(self, backend, rng):
        values = floats(rng, (2, 3, 4, 5))
        for a in (backend.empty((2, 3, 4, 5)), backend.zeros((2, 3, 4, 5)), backend.asarray(values)):
            assert is_channels_last(a)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 1, 1, 1), (2, 1, 3, 1)])
    def test_there_and_back(self, backend, shape, rng):
        values = np.asarray(rng.standard_normal(shape))
        for given in (values, values.astype("float32"), np.asfortranarray(values)):
            back = backend.to_numpy(backend.asarray(given))
            assert isinstance(back, np.ndarray)
            assert back.dtype == given.dtype
            np.testing.assert_array_equal(back, given)

    def test_conversion_of_the_type(self, backend):
        assert backend.asarray([1, 2], "float64").dtype == "float64"
        np.testing.assert_array_equal(backend.to_numpy(backend.asarray([1.5, 2.5], "float32")), [1.5, 2.5])

    def test_an_array_of_its_own_is_taken_as_it_is(self, backend, rng):
        a = backend.asarray(floats(rng, (2, 3, 4, 5)))
        b = backend.asarray(a)
        b[...] = 7
        assert (backend.to_numpy(a) == 7).all()

    def test_synchronize_returns_nothing(self, backend):
        assert backend.synchronize() is None


class TestEffects:
    def test_a_chain_of_calls_changes_no_input(self, backend, rng):
        """Forward and backward through convolution, activation, pooling and loss: what goes in comes out the same."""
        x, w, b = (backend.asarray(floats(rng, shape)) for shape in (CONV.x, CONV.w, (6,)))
        with unchanged(backend, x, w, b):
            y = backend.conv2d_forward(x, w, b, CONV.geometry)
            pool = PoolCase("pool", x=tuple(y.shape), kernel=(2, 2), stride=(2, 2)).geometry
            with unchanged(backend, y):
                z = backend.activation_forward("relu", y)
                p, argmax = backend.max_pool2d_forward(z, pool)
            dp = backend.asarray(floats(rng, tuple(p.shape)))
            with unchanged(backend, dp, argmax, z):
                dz = backend.max_pool2d_backward(dp, argmax, pool)
                dy = backend.activation_backward("relu", dz, z)
            with unchanged(backend, dy):
                backend.conv2d_backward_data(dy, w, CONV.geometry)
                backend.conv2d_backward_weight(dy, x, CONV.geometry)

    def test_results_do_not_share_memory_with_inputs(self, backend, rng):
        x = backend.asarray(floats(rng, POOL.x))
        one_tap = PoolCase("one_tap", x=POOL.x, kernel=(1, 1), stride=(1, 1)).geometry
        for result in (
            backend.activation_forward("relu", x),
            backend.dropout(x, 0.0, 0),
            backend.max_pool2d_forward(x, one_tap)[0],
            backend.avg_pool2d_forward(x, one_tap),
            backend.max_pool2d_backward(x, backend.zeros(POOL.x, "uint8"), one_tap),
            backend.avg_pool2d_backward(x, one_tap),
        ):
            before = backend.to_numpy(x).copy()
            result[...] = 99
            np.testing.assert_array_equal(backend.to_numpy(x), before)

    def test_two_results_do_not_share_memory(self, backend, rng):
        """Scratch of the backend never leaves it: a later call does not change an earlier result."""
        x, w, b, dy = (backend.asarray(floats(rng, s)) for s in (CONV.x, CONV.w, (6,), CONV.geometry.y_shape))
        labels = backend.asarray(np.array([0, 1]))
        flat = backend.asarray(floats(rng, (2, 5)))

        def everything():
            dw, db = backend.conv2d_backward_weight(dy, x, CONV.geometry)
            y, argmax = backend.max_pool2d_forward(backend.zeros(POOL.x), POOL.geometry)
            loss, prob = backend.softmax_cross_entropy_forward(flat, labels)
            return [
                backend.conv2d_forward(x, w, b, CONV.geometry), backend.conv2d_backward_data(dy, w, CONV.geometry),
                dw, db, y, argmax, backend.im2col(x, CONV.geometry), loss, prob,
                backend.softmax_cross_entropy_backward(prob, labels), backend.matmul(flat, flat, trans_b=True),
            ]  # fmt: skip

        first = everything()
        kept = [backend.to_numpy(a).copy() for a in first]
        for a in everything():
            a[...] = 77
        for a, values in zip(first, kept, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(a), values)


class TestRefusals:
    """What reaches a kernel is checked: shapes against the geometry, and one floating type for all."""

    @pytest.mark.parametrize(("method", "wrong"), EACH_ARRAY)
    def test_shapes_that_do_not_fit_the_geometry(self, backend, method, wrong):
        geometry, shapes = TAKES[method]
        arrays = fitting(backend, shapes)
        arrays[wrong] = backend.zeros((*shapes[wrong][:-1], shapes[wrong][-1] + 1), arrays[wrong].dtype)
        with pytest.raises(ShapeError, match=rf"{wrong} must have shape \(.*, got \("):
            getattr(backend, method)(*arrays.values(), geometry)

    @pytest.mark.parametrize(("method", "wrong"), EACH_ARRAY)
    @pytest.mark.parametrize("dtype", ["float16", "int32", "int64", "bool", "complex64"])
    def test_types_that_are_not_taken(self, backend, method, wrong, dtype):
        geometry, shapes = TAKES[method]
        arrays = fitting(backend, shapes)
        arrays[wrong] = backend.zeros(shapes[wrong], dtype)
        with pytest.raises(DTypeError, match=f"{wrong} .*{dtype}"):
            getattr(backend, method)(*arrays.values(), geometry)

    @pytest.mark.parametrize(("method", "wrong"), [(m, a) for m, a in EACH_ARRAY if m.startswith("conv2d")])
    def test_mixed_types(self, backend, method, wrong):
        geometry, shapes = TAKES[method]
        arrays = fitting(backend, shapes)
        arrays[wrong] = backend.zeros(shapes[wrong], "float64")
        with pytest.raises(DTypeError, match=f"{wrong} .*float64"):
            getattr(backend, method)(*arrays.values(), geometry)

    def test_argmax_outside_the_window(self, backend):
        """A position that no tap has must not lead out of the image: refused, or without effect."""
        pool = POOL.geometry
        dy = backend.asarray(np.ones(pool.y_shape, "float32"))
        argmax = backend.asarray(np.full(pool.y_shape, 255, pool.argmax_dtype))
        try:
            dx = backend.to_numpy(backend.max_pool2d_backward(dy, argmax, pool))
        except FastconvError:
            return
        assert not dx.any()

    def test_unknown_direction_of_explain(self, backend):
        with pytest.raises(FastconvError, match="sideways"):
            backend.explain(CONV.geometry, "sideways")

    def test_unknown_activation(self, backend):
        x, w = backend.zeros(CONV.x), backend.zeros(CONV.w)
        with pytest.raises(FastconvError, match=", ".join(ACTIVATIONS)):
            backend.conv2d_forward(x, w, None, CONV.geometry, activation="swish")

    def test_explain_returns_candidates(self, backend):
        assert all(isinstance(c, Candidate) for c in backend.explain(CONV.geometry))


class TestSelection:
    def test_every_backend_is_ready_or_says_why_not(self):
        states = select.available()
        assert set(states) >= {"cpu", "gpu", "reference"}
        assert states["reference"] == "ready"
        for name, state in states.items():
            if state != "ready":
                with pytest.raises(BackendError, match=f"the {name} backend cannot be used: "):
                    select.get(name)

    def test_unknown_backend(self):
        with pytest.raises(BackendError, match=r"no backend 'tpu'; choose one of cpu, gpu, reference"):
            select.get("tpu")

    def test_chosen_inside_a_block_only(self):
        before = select.current()
        with select.use("reference") as chosen:
            assert select.current() is chosen
            assert chosen.name == "reference"
        assert select.current() is before

    def test_a_failed_choice_changes_nothing(self):
        before = select.current()
        with pytest.raises(BackendError):
            select.use("tpu")
        assert select.current() is before


class TestReshape:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
    @pytest.mark.parametrize(
        ("shape", "to"),
        [((2, 3, 4, 5), (2, 60)), ((2, 60), (2, 3, 4, 5)), ((3, 1, 4, 5), (3, 20)), ((3, 7, 1, 1), (3, 7)),
         ((2, 130, 9, 15), (2, -1)), ((2, 3, 4, 5), (6, 20)), ((2, 3, 4, 5), (2, 5, 4, 3)), ((6, 4), (4, 6)),
         ((24,), (2, 3, 2, 2))],
    )  # fmt: skip
    def test_keeps_the_order_of_the_logical_indices(self, backend, shape, to, dtype):
        values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        expected = values.reshape(to)
        a = backend.asarray(values)
        with unchanged(backend, a):
            y = backend.reshape(a, to)
            out = backend.empty(expected.shape, dtype)
            assert backend.reshape(a, to, out=out) is out
        for result in (y, out):
            np.testing.assert_array_equal(backend.to_numpy(result), expected)
            assert len(expected.shape) != 4 or is_channels_last(result)

    @pytest.mark.parametrize("to", [(2, 59), (-1, 7), (-1, -1), (), (2, -30, 1)])
    def test_refuses_what_does_not_fit(self, backend, to):
        with pytest.raises(ShapeError, match="reshape: 60 elements"):
            backend.reshape(backend.zeros((2, 5, 3, 2)), to)
