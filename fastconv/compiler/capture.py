"""Running a step without computing: the same Python, on symbols instead of arrays, writes down its backend calls.

`Recorder` is a backend like the others, so layers, operations and autograd run on it unchanged. What a step does must
not depend on values: whoever asks a symbol for its numbers gets an UnsupportedError that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.base import Array, Backend
from ..backends.checks import require_reshape
from ..errors import UnsupportedError
from ..random import DrawnSeed
from .plan import Call, Role, Value

Spec = tuple[Sequence[int], Any]


class Symbol:
    """Stands for an array while a step is captured: has its shape and type, and records what is done with it."""

    __array_ufunc__ = None  # numpy_array + symbol is ours to answer

    def __init__(self, recorder: Recorder, value: Value) -> None:
        self.recorder = recorder
        self.value = value
        self.shape = value.shape
        self.dtype = value.dtype
        self.ndim = len(value.shape)
        self.size = value.size

    def __add__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("add", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("subtract", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("subtract", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("multiply", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("divide", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self.recorder.pointwise("divide", other, self)

    def __neg__(self) -> Symbol:
        return self.recorder.pointwise("multiply", self, -1.0)

    def __pow__(self, exponent: float) -> Symbol:
        return self.recorder.pointwise("power", self, exponent)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Symbol:
        """As NumPy's."""
        shape = np.empty(self.shape, "bool").sum(axis=axis, keepdims=keepdims).shape
        return self.recorder.note("sum", (self,), [(shape, self.dtype)], {"axis": axis, "keepdims": keepdims})[0]

    def reshape(self, *shape: Any) -> Symbol:
        """As NumPy's: in the order of the logical indices."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.recorder.reshape(self, wanted)

    def transpose(self, *axes: Any) -> Symbol:
        """As NumPy's."""
        order = tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = order or tuple(reversed(range(self.ndim)))
        shape = tuple(self.shape[i] for i in order)
        return self.recorder.note("transpose", (self,), [(shape, self.dtype)], {"axes": order})[0]

    @property
    def T(self) -> Symbol:
        """All axes reversed."""
        return self.transpose()

    base = None  # what shares memory is the plan's business: nothing that was computed is written again

    def copy(self, order: str = "K") -> Symbol:
        """Itself, for the same reason."""
        return self

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedError(f"compile: a step may not use `{name}` of its arrays; {ADVICE}")

    def __getitem__(self, key: Any) -> Symbol:
        """As NumPy's, for numbers and slices."""
        shape = np.empty(self.shape, "bool")[key].shape
        return self.recorder.note("pick", (self,), [(shape, self.dtype)], {"key": key})[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        raise UnsupportedError(f"compile: a step may not set elements of its arrays; {ADVICE}")

    def __bool__(self) -> bool:
        raise UnsupportedError(f"compile: a step may not depend on values; {ADVICE}")

    __float__ = __int__ = __iter__ = __len__ = __array__ = __bool__

    def _compare(self, other: Any) -> Any:
        raise UnsupportedError(f"compile: a step may not compare its arrays' values; {ADVICE}")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare
    __hash__ = object.__hash__


ADVICE = "run it without compiling (--eager on the command line)"


class Recorder(Backend):
    """A backend that computes nothing and lists the calls that `target` would have to make.

    Its functions of the contract are made from the table _RESULTS at the end of this file.
    """

    def __init__(self, target: Backend) -> None:
        self.target = target
        self.name = target.name
        self.calls: list[Call] = []
        self.phase = "forward"
        self.seeds: dict[int, Seed] = {}

    def enter(self, array: Any, role: Role, name: str = "") -> Symbol:
        """A symbol for an array that exists before the step runs."""
        return Symbol(self, Value(tuple(array.shape), array.dtype, role, name, array))

    def note(
        self, op: str, inputs: Sequence[Any], results: Sequence[Spec | None], options: dict[str, Any] | None = None,
        live: Callable[[], dict[str, Any]] | None = None,
    ) -> list[Any]:  # fmt: skip
        """List a call; returns a symbol for each of its results."""
        outputs = tuple(None if r is None else Value(tuple(r[0]), np.dtype(r[1]), "computed") for r in results)
        plain = tuple(self._plain(i) for i in inputs)
        self.calls.append(Call(op, plain, outputs, options or {}, self.phase, live=live))
        return [None if v is None else Symbol(self, v) for v in outputs]

    def pointwise(self, op: str, a: Any, b: Any) -> Symbol:
        """A NumPy function of two operands that broadcast; computed at once where both are constants."""
        operands = [_constant(v) for v in (a, b)]
        if all(v is not None for v in operands):
            return self.enter(self.target.asarray(getattr(np, op)(*operands)), "constant")
        if op == "multiply":
            for one, other in ((operands[1], a), (operands[0], b)):
                if one is not None and np.ndim(one) == 0 and one == 1:
                    return other
        shape = np.broadcast_shapes(np.shape(_constant(a, a)), np.shape(_constant(b, b)))
        dtype = next(v.dtype for v in (a, b) if isinstance(v, Symbol))
        return self.note(op, (a, b), [(shape, dtype)])[0]

    def reshape(self, a: Any, shape: Sequence[int], *, out: Any = None) -> Any:
        shape = require_reshape(a, shape)
        if a.shape == shape:
            return a
        if _keeps_order(a.shape) and _keeps_order(shape):
            return Symbol(self, Value(shape, a.dtype, a.value.role, a.value.name, alias=a.value))
        return self.note("reshape", (a, shape), [(shape, a.dtype)])[0]

    def concat(self, arrays: Sequence[Any], axis: int, *, out: Any = None) -> Any:
        shape = list(arrays[0].shape)
        shape[axis] = sum(a.shape[axis] for a in arrays)
        return self.note("concat", (arrays,), [(shape, arrays[0].dtype)], {"axis": axis})[0]

    def _plain(self, item: Any) -> Any:
        if isinstance(item, Symbol):
            return item.value
        if isinstance(item, list | tuple):
            return [self._plain(i) for i in item]
        if isinstance(item, np.ndarray):
            return Value(item.shape, item.dtype, "constant", array=self.target.asarray(item))
        return item

    # The contract -----------------------------------------------------------------------------------------------------

    def asarray(self, a: Any, dtype: Any = None) -> Any:
        if isinstance(a, Symbol):
            if dtype is not None and a.dtype != dtype:
                raise UnsupportedError(f"compile: a step may not convert {a.dtype} to {np.dtype(dtype)}; {ADVICE}")
            return a
        return self.enter(self.target.asarray(a, dtype), "constant")

    def to_numpy(self, a: Array) -> Any:
        raise UnsupportedError(f"compile: a step may not look at values; {ADVICE}")

    def empty(self, shape: Sequence[int], dtype: Any = "float32") -> Any:
        raise UnsupportedError(f"compile: a step may not fill arrays piece by piece; {ADVICE}")

    def zeros(self, shape: Sequence[int], dtype: Any = "float32") -> Any:
        return self.enter(self.target.zeros(shape, dtype), "constant")

    def synchronize(self) -> None:
        pass

    def explain(self, g: Any, direction: str = "forward", *, fixed: bool = False) -> Any:
        return self.target.explain(g, direction, fixed=fixed)

    def dropout(self, x: Any, p: float, seed: int, *, out: Any = None) -> Any:
        if not isinstance(seed, DrawnSeed):
            return self.note("dropout", (x, p, seed), [(x.shape, x.dtype)])[0]
        drawn = self.seeds.setdefault(id(seed), Seed(seed))
        return self.note("dropout", (x, p), [(x.shape, x.dtype)], live=lambda: {"seed": drawn.number})[0]


@dataclass
class Seed:
    """One draw of the step's dropout: forward and backward use the same number, each run of the step a new one."""

    number: int


def _constant(value: Any, otherwise: Any = None) -> Any:
    """The number or array behind a constant, else `otherwise`."""
    if not isinstance(value, Symbol):
        return value
    return value.value.array if value.value.role == "constant" and value.value.alias is None else otherwise


def _keeps_order(shape: tuple[int, ...]) -> bool:
    """Whether memory holds the elements in the order of the logical indices: channels-last does for trivial axes."""
    return len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1


def recorder(target: Backend) -> Recorder:
    """A recorder in front of `target`."""
    return _Recorder(target)  # its methods are set from the table


def _recorded(name: str, results: Callable[..., list[Spec | None]]) -> Callable[..., Any]:
    def method(self: Recorder, *args: Any, **options: Any) -> Any:
        made = self.note(name, args, results(*args, **options), options)
        return made[0] if len(made) == 1 else tuple(made)

    method.__name__ = name
    return method


def _matmul(a: Any, b: Any, *, trans_a: bool = False, trans_b: bool = False) -> list[Spec | None]:
    return [((a.shape[1] if trans_a else a.shape[0], b.shape[0] if trans_b else b.shape[1]), a.dtype)]


def _channels(x: Any) -> Spec:
    return (x.shape[1],), x.dtype


def _resized(a: Any, size: int, axis: int) -> tuple[int, ...]:
    return tuple(size if i == axis % a.ndim else n for i, n in enumerate(a.shape))


def _linear_backward(dy: Any, x: Any, w: Any, *, needs_dx: bool = True) -> list[Spec | None]:
    return [(x.shape, x.dtype) if needs_dx else None, (w.shape, w.dtype), (w.shape[:1], w.dtype)]


# What each function of the contract returns; `out` is the plan's own business.
_RESULTS: dict[str, Callable[..., list[Spec | None]]] = {
    "conv2d_forward": lambda x, w, b, g, **_: [(g.y_shape, x.dtype)],
    "conv2d_backward_data": lambda dy, w, g, **_: [(g.x_shape, dy.dtype)],
    "conv2d_backward_weight": lambda dy, x, g, **_: [(g.w_shape, x.dtype), ((g.OC,), x.dtype)],
    "im2col": lambda x, g: [((g.N * g.OH * g.OW, g.C * g.KH * g.KW), x.dtype)],
    "col2im": lambda cols, g: [(g.x_shape, cols.dtype)],
    "max_pool2d_forward": lambda x, g: [(g.y_shape, x.dtype), (g.y_shape, g.argmax_dtype)],
    "max_pool2d_backward": lambda dy, argmax, g: [(g.x_shape, dy.dtype)],
    "avg_pool2d_forward": lambda x, g: [(g.y_shape, x.dtype)],
    "avg_pool2d_backward": lambda dy, g: [(g.x_shape, dy.dtype)],
    "k_max_forward": lambda x, k, axis: [(_resized(x, k, axis), x.dtype), (_resized(x, k, axis), "int32")],
    "k_max_backward": lambda dy, places, size, axis: [(_resized(dy, size, axis), dy.dtype)],
    "matmul": _matmul,
    "linear_forward": lambda x, w, b, **_: [((x.shape[0], w.shape[0]), x.dtype)],
    "linear_backward": _linear_backward,
    "activation_forward": lambda kind, x, **_: [(x.shape, x.dtype)],
    "activation_backward": lambda kind, dy, y, **_: [(y.shape, y.dtype)],
    "batch_norm_statistics": lambda x, *_, **__: [_channels(x), _channels(x)],
    "batch_norm_forward": lambda x, *_, **__: [(x.shape, x.dtype)],
    "batch_norm_backward": lambda dy, x, *_, **__: [(x.shape, x.dtype), _channels(x), _channels(x)],
    "local_response_norm_forward": lambda x, r: [(x.shape, x.dtype)],
    "local_response_norm_backward": lambda dy, x, r: [(x.shape, x.dtype)],
    "softmax_cross_entropy_forward": lambda logits, labels: [((), logits.dtype), (logits.shape, logits.dtype)],
    "softmax_cross_entropy_backward": lambda prob, labels: [(prob.shape, prob.dtype)],
    # Parameters and state change in place; the optimizer itself is called again at every run.
    **{f"{kind}_step": lambda *_, **__: [] for kind in ("sgd", "adagrad", "rmsprop", "adadelta", "adam")},
}

_Recorder = type("_Recorder", (Recorder,), {name: _recorded(name, results) for name, results in _RESULTS.items()})
