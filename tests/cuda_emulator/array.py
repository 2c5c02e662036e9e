"""The emulated GPU with arrays like CuPy's: NumPy's memory behind the part of CuPy's interface that the engine uses.

They behave as CuPy's do where those are not like NumPy's: none becomes a NumPy array by itself or meets one in a
function, what is taken out of an array is an array of no axes, and results of arithmetic, deep copies too, lie in C
order whatever the operands' order was (CuPy's user guide, "Differences between CuPy and NumPy").
"""

import numbers
from types import SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .device import EmulatedDevice

SAME = ("dtype", "flags", "item", "itemsize", "nbytes", "ndim", "shape", "size", "strides", "tolist")
MADE = ("argmax", "astype", "copy", "reshape", "sum", "transpose", "view")
PLAIN = (numbers.Number, np.generic, np.dtype, type, str, slice, type(Ellipsis), type(None))


class CupyLikeDevice(EmulatedDevice):
    """The emulated device as the backend of the tests."""

    def empty(self, shape, dtype):
        return DeviceArray(super().empty(shape, dtype))

    def asarray(self, a, dtype=None):
        if isinstance(a, DeviceArray):
            return a.astype(dtype or a.dtype, copy=False)
        return DeviceArray(super().asarray(a, dtype))

    def to_numpy(self, a):
        return a.get()

    def address(self, a):
        return a.data.ptr

    def launch(self, kernel, grid, block, args, shared=0):
        args = tuple(a.host if isinstance(a, DeviceArray) else a for a in args)
        super().launch(kernel, grid, block, args, shared)


class DeviceArray(NDArrayOperatorsMixin):
    """host: the NumPy array that holds it; base: the array of which it is a view."""

    def __init__(self, host, base=None):
        self.host = host
        self.base = base

    def __getattr__(self, name):
        if name in SAME:
            return getattr(self.host, name)
        if name not in MADE:
            raise AttributeError(f"DeviceArray has no {name!r}; does CuPy's ndarray?")
        function = getattr(self.host, name)
        return lambda *args, **options: self._seen(function(*_hosts(args), **_hosts(options)))

    def _seen(self, host):
        """A result as an array: a view of this one where it has its memory."""
        shown = np.may_share_memory(host, self.host)
        return self if host is self.host else DeviceArray(np.asarray(host), _owner(self) if shown else None)

    @property
    def T(self):
        return self._seen(self.host.T)

    @property
    def data(self):
        return SimpleNamespace(ptr=self.host.ctypes.data)

    def get(self):
        return self.host.copy()

    def fill(self, value):
        self.host.fill(_hosts(value))

    def __getitem__(self, key):
        key = _hosts(key)
        found = self.host[key]
        if isinstance(found, np.generic):  # NumPy's copy of an element; CuPy shows it in its place
            found = self.host[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return self._seen(found)

    def __setitem__(self, key, value):
        self.host[_hosts(key)] = _hosts(value)

    def __len__(self):
        return len(self.host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.host)

    def __float__(self):
        return float(self.host)

    def __int__(self):
        return int(self.host)

    def __deepcopy__(self, memo):
        return DeviceArray(self.host.copy())

    def __repr__(self):
        return f"DeviceArray({self.host!r})"

    def __array__(self, *_, **__):
        raise TypeError("CuPy refuses to turn an array of the GPU into one of NumPy unasked")

    def __array_ufunc__(self, function, method, *args, **options):
        return _computed(getattr(function, method)(*_hosts(args), **_hosts(options)), options)

    def __array_function__(self, function, types, args, options):
        return _computed(function(*_hosts(args), **_hosts(options)), options)


def _owner(a):
    return a if a.base is None else a.base


def _hosts(x):
    """The NumPy arrays behind arguments; TypeError for what CuPy refuses."""
    if isinstance(x, DeviceArray):
        return x.host
    if isinstance(x, tuple | list):
        return type(x)(map(_hosts, x))
    if isinstance(x, dict):
        return {name: _hosts(value) for name, value in x.items()}
    if isinstance(x, PLAIN):
        return x
    raise TypeError(f"CuPy takes no {type(x).__name__} beside its arrays")


def _computed(result, options):
    """What a function of NumPy gave: `out` itself, an array in C order, or something else than arrays."""
    if options.get("out") is not None:
        out = options["out"]
        return out[0] if isinstance(out, tuple) else out
    return DeviceArray(np.array(result, order="C")) if isinstance(result, np.ndarray | np.generic) else result
