"""Arrays out of a pickle, read without running anything that the file says.

A pickle is a program for a stack machine that can call any Python function. This reader runs the few instructions that
a dict of NumPy arrays consists of, and lists of numbers and texts where they are asked for, and knows the five names
that NumPy's pickles use; everything else is refused. It does not hand the file to `pickle.Unpickler` with a filtered
`find_class`, because that still lets a file of a few hundred bytes claim gigabytes for its memo or hash nested tuples
for hours.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

MAX_INSTRUCTIONS = 100_000
LARGEST = 1 << 30  # of a size in a shape


class Refused(Exception):
    """Something that a dict of arrays has no need of, or instructions that make no sense together."""


def read_pickle(data: bytes, types: Sequence[str], *, lists: bool = False) -> dict[str, Any]:
    """The arrays in a pickled dict by name, of element types among `types` ("f4", "u1", ...).

    lists: admit lists of whole numbers and texts beside them, texts, and the byte strings of Python 2.

    Raises:
        Refused: the pickle is anything else.
    """
    try:
        return _Machine(data, types, lists).run()
    # pickletools and the machine's own stack raise these for instructions that make no sense together.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(f"its instructions make no sense ({type(error).__name__}: {error})") from error


@dataclass
class _Type:
    """A NumPy element type in the making."""

    name: str
    order: str = "="

    def set_state(self, state: Any) -> None:
        """NumPy's (version, byte order, None, None, None, -1, -1, 0): only the byte order may say anything."""
        if not isinstance(state, tuple) or state[2:] != (None, None, None, -1, -1, 0) or state[1] not in "<>=|":
            raise Refused("an element type that is not a plain one")
        self.order = state[1]

    def made(self, types: Sequence[str]) -> np.dtype[Any]:
        if self.name not in types:
            raise Refused(f"arrays of element type {_shown(self.name)}; only {', '.join(types)} are admitted")
        return np.dtype(self.name).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass
class _Array:
    """A NumPy array in the making."""

    shape: Any = ()
    type: Any = None
    fortran: bool = False
    data: Any = field(default=None, repr=False)

    def set_state(self, state: Any) -> None:
        """NumPy's (version, shape, element type, Fortran order, bytes)."""
        _, self.shape, self.type, self.fortran, self.data = state

    def made(self, types: Sequence[str]) -> np.ndarray[Any, Any]:
        if not isinstance(self.type, _Type) or not isinstance(self.data, bytes | bytearray):
            raise Refused("an array without a plain element type and bytes")
        dtype = self.type.made(types)
        shape = self.shape
        if not isinstance(shape, tuple) or len(shape) > 32 or not all(_is_size(n) for n in shape):
            raise Refused("an array whose shape is not a tuple of sizes")
        if prod(shape) * dtype.itemsize != len(self.data):
            raise Refused(f"an array of shape {shape} in {len(self.data)} bytes")
        array = np.frombuffer(self.data, dtype).reshape(shape, order="F" if self.fortran else "C")
        return array.astype(dtype.newbyteorder("="), order="C")


_NDARRAY = "the name numpy.ndarray"  # stands for the class; nothing can be called through it


def _reconstruct(cls: Any, shape: Any, code: Any) -> _Array:
    if cls is not _NDARRAY or shape != (0,):
        raise Refused("an array of another class")
    return _Array()


def _dtype(name: Any, align: Any = False, copy: Any = True) -> _Type:
    return _Type(name)


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> _Array:
    if order not in ("C", "F") or axes not in ((), (None,)):
        raise Refused(f"an array in the order {_shown(order)}")
    return _Array(shape, dtype, order == "F", data)


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1":
        raise Refused(f"bytes encoded as {_shown(encoding)}")
    return bytes(text, "latin1")


def _is_size(n: Any) -> bool:
    return type(n) is int and 0 <= n <= LARGEST


def _shown(value: Any) -> str:
    """For a message: a string, cut; of anything else the type, because its repr may be endless."""
    return repr(value[:60]) if isinstance(value, str) else type(value).__name__


_FUNCTIONS = (_reconstruct, _dtype, _frombuffer, _encode)
_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"{package}.multiarray", "_reconstruct"): _reconstruct for package in ("numpy.core", "numpy._core")},
    **{(f"{package}.numeric", "_frombuffer"): _frombuffer for package in ("numpy.core", "numpy._core")},
}


class _Machine:
    """Runs the instructions that a pickled dict of arrays consists of, `data`."""

    def __init__(self, data: bytes, types: Sequence[str], lists: bool) -> None:
        self.data, self.types, self.lists = data, types, lists
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.room = 2 * len(data)  # bytes that may be made; a name can refer to the same bytes again and again

    def run(self) -> dict[str, Any]:
        """The values by name, arrays made."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.data), start=1):
            if count > MAX_INSTRUCTIONS:
                raise Refused(f"more than {MAX_INSTRUCTIONS} instructions")
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
            elif self.lists and opcode.name in _BYTE_STRINGS:
                self.stack.append(argument)
            elif self.lists and opcode.name in _LIST_ACTIONS:
                _LIST_ACTIONS[opcode.name](self, argument)
            elif opcode.name not in _NOTHING:
                raise Refused(f"the instruction {opcode.name}")
        (result,) = self.stack
        if type(result) is not dict:
            raise Refused("it does not hold a dict of arrays")
        return {name: self._finished(value) for name, value in result.items()}

    def _finished(self, value: Any) -> Any:
        """An array made; a plain value where lists are admitted."""
        if isinstance(value, _Array):
            if self.lists and isinstance(value.data, str):  # a byte string of Python 2
                value.data = bytes(value.data, "latin1")
            return self._take(value).made(self.types)
        items = value if type(value) is list else [value]
        if not self.lists or not all(type(item) in (int, str) for item in items):
            raise Refused("it does not hold a dict of arrays")
        return value

    def _take(self, value: Any) -> Any:
        """`value` itself, after its bytes were counted."""
        self.room -= len(value.data if isinstance(value, _Array) else value)
        if self.room < 0:
            raise Refused("more bytes than the file has")
        return value

    def mark(self) -> None:
        """Begin a group of items."""
        self.marks.append(len(self.stack))

    def group(self) -> list[Any]:
        """The items since the last mark, taken off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        """The last `count` items, taken off the stack."""
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def push_name(self, module: Any, name: Any) -> None:
        """GLOBAL, STACK_GLOBAL: one of the names above."""
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _NAMES:
            raise Refused(f"it asks for {_shown(module)} {_shown(name)}")
        self.stack.append(_NAMES[module, name])

    def call(self) -> None:
        """REDUCE: one of the four functions above."""
        function, arguments = self.last(2)
        if function not in _FUNCTIONS or not isinstance(arguments, tuple):
            raise Refused("it calls something that is no part of an array")
        if function is _encode:
            self._take(arguments[0])
        self.stack.append(function(*arguments))

    def build(self) -> None:
        """BUILD: the contents of an array or an element type."""
        (state,) = self.last(1)
        if not isinstance(self.stack[-1], _Type | _Array):
            raise Refused("it sets the state of something that is no array")
        self.stack[-1].set_state(state)

    def set_items(self, items: list[Any]) -> None:
        """DICT, SETITEM, SETITEMS: names and values in turn."""
        target, names = self.stack[-1], items[::2]
        if type(target) is not dict or not all(type(name) is str for name in names):
            raise Refused("a dict whose keys are not all names")
        target.update(zip(names, items[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS: items at the end of a list."""
        if type(self.stack[-1]) is not list:
            raise Refused("it appends to something that is no list")
        self.stack[-1].extend(items)


def _push_dict(machine: _Machine) -> None:
    items = machine.group()
    machine.stack.append({})
    machine.set_items(items)


_Action = Callable[[_Machine, Any], Any]

# By pickletools' names of the instructions.
_NOTHING = {"PROTO", "FRAME", "STOP"}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_BYTE_STRINGS = {"BINSTRING", "SHORT_BINSTRING"}  # of Python 2; pickletools gives them as Latin-1 texts
_LIST_ACTIONS: dict[str, _Action] = {
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "APPEND": lambda m, _: m.append(m.last(1)),
    "APPENDS": lambda m, _: m.append(m.group()),
}
_ACTIONS: dict[str, _Action] = {
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "MARK": lambda m, _: m.mark(),
    "DICT": lambda m, _: _push_dict(m),
    "SETITEM": lambda m, _: m.set_items(m.last(2)),
    "SETITEMS": lambda m, _: m.set_items(m.group()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.group())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.last(3))),
    "PUT": lambda m, i: m.memo.update({i: m.stack[-1]}),
    "BINPUT": lambda m, i: m.memo.update({i: m.stack[-1]}),
    "LONG_BINPUT": lambda m, i: m.memo.update({i: m.stack[-1]}),
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "GET": lambda m, i: m.stack.append(m.memo[i]),
    "BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "LONG_BINGET": lambda m, i: m.stack.append(m.memo[i]),
    "GLOBAL": lambda m, names: m.push_name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_name(*m.last(2)),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}
