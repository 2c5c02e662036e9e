"""The emulated GPU: NumPy arrays between guard zones, kernels run by emulator.h in a chosen order of threads."""

import ctypes
import math
from functools import partial

import numpy as np

from .build import library

GUARD = 256  # bytes before and after every array
GUARD_BYTE = 0xA5
GRID = (2**31 - 1, 2**16 - 1, 2**16 - 1)
SHARED = 99 << 10  # bytes of a block at most, declared and given at the launch: on sm_86, sm_89 and sm_120
SHARED_DECLARED = 48 << 10
OUTCOMES = {
    1: "threads wait at a barrier that others do not reach",
    2: "wrote beyond the shared memory that the launch asked for",
}


class EmulatedDevice:
    """Runs the GPU backend's kernels on the CPU.

    Fresh memory holds NaN; a kernel that writes beyond an array, that gets arguments of other types than it declares,
    or whose threads wait for each other for ever, raises AssertionError. `order` permutes the threads of a block:
    "forward", "backward" or a seed. `flags` are the compiler's, beside the usual ones. Where `known` kernels are given,
    another one fails: the tests that compile every listed kernel for every GPU would not see it.
    """

    name = "cuda-emu"
    processors = 2
    architecture = 90

    def __init__(self, order="forward", flags=(), known=None):
        self.order = order
        self.known = known
        self.flags = flags
        self._captured = None

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        memory = np.full(size + 2 * GUARD, GUARD_BYTE, np.uint8)
        memory[GUARD : GUARD + size] = 0xFF
        return memory[GUARD : GUARD + size].view(dtype).reshape(tuple(shape))

    def asarray(self, a, dtype=None):
        return np.asarray(a, dtype)

    def to_numpy(self, a):
        return a.copy()

    def copy(self, to, a):
        if self._captured is not None:
            self._captured.append(partial(self.copy, to, a))
        else:
            to[...] = a

    def address(self, a):
        return a.ctypes.data

    def capture(self, runs):
        """Launches and copies are listed in place of a CUDA graph, with the arguments that they have now."""
        self._captured = captured = []
        try:
            for run in runs:
                captured.append(run.call) if run.kind == "arrays" else run.call()
        finally:
            self._captured = None
        return lambda: [again() for again in captured]

    def synchronize(self):
        pass

    def launch(self, kernel, grid, block, args, shared=0):
        if self._captured is not None:
            self._captured.append(partial(self.launch, kernel, grid, block, args, shared))
            return
        assert self.known is None or kernel in self.known, f"no family's variants() lists {kernel}"
        built = library(kernel, self.flags)
        values = [_c_value(a) for a in args]
        _check_parameters(kernel, getattr(built, f"parameters_{kernel.name}"), args)
        grid, block = (tuple(size) + (1,) * (3 - len(size)) for size in (grid, block))
        threads = math.prod(block)
        assert 1 <= threads <= 1024, f"{kernel.name}: block {block}"
        assert all(1 <= n <= most for n, most in zip(grid, GRID, strict=True)), f"{kernel.name}: grid {grid}"
        assert shared % 16 == 0, f"{kernel.name}: {shared} bytes of shared memory"
        declared = built.declared_shared()
        assert declared <= SHARED_DECLARED, f"{kernel.name} declares {declared} bytes of shared memory"
        assert declared + shared <= SHARED, f"{kernel.name}: {declared} + {shared} bytes of shared memory"
        pointers = (ctypes.c_void_p * len(args))(*(ctypes.addressof(v) for v in values))
        three = ctypes.c_uint * 3
        at = three()
        order = np.ascontiguousarray(self._order(threads), np.int32)
        run = getattr(built, f"launch_{kernel.name}")
        outcome = run(three(*grid), three(*block), ctypes.c_size_t(shared), pointers, order.ctypes, at)
        assert not outcome, f"{kernel.name}: block {tuple(at)}: {OUTCOMES[outcome]}"
        for i, a in enumerate(args):
            assert _guards_intact(a), f"{kernel.name}: wrote beyond its argument {i}, shape {a.shape}"

    def _order(self, threads):
        if self.order == "forward":
            return np.arange(threads)
        if self.order == "backward":
            return np.arange(threads)[::-1]
        return np.random.default_rng(self.order).permutation(threads)


def _c_value(a):
    if a is None or isinstance(a, np.ndarray):
        return ctypes.c_void_p(None if a is None else a.ctypes.data)
    if isinstance(a, np.void):
        return ctypes.create_string_buffer(a.tobytes(), a.dtype.itemsize)
    scalar = np.int32(a) if type(a) is int else a
    return np.ctypeslib.as_ctypes_type(scalar.dtype)(scalar.item())


def _check_parameters(kernel, parameters, args):
    sizes = (ctypes.c_int * 64)()
    count = parameters(sizes)
    assert count == len(args), f"{kernel.name} takes {count} arguments, got {len(args)}"
    for i, a in enumerate(args):
        if a is None:
            assert sizes[i] < 0, f"{kernel.name}: argument {i} is None, the kernel declares no pointer"
            continue
        size = -a.itemsize if isinstance(a, np.ndarray) else 4 if type(a) is int else a.dtype.itemsize
        assert size == sizes[i], f"{kernel.name}: argument {i} has {size} bytes, the kernel declares {sizes[i]}"


def _guards_intact(a):
    root = a
    while getattr(root, "base", None) is not None:
        root = root.base
    if not isinstance(root, np.ndarray) or root.dtype != np.uint8 or root.size < 2 * GUARD:
        return True
    if root is a or root.ctypes.data + GUARD > a.ctypes.data:
        return True  # not one of ours
    return bool((root[:GUARD] == GUARD_BYTE).all() and (root[-GUARD:] == GUARD_BYTE).all())
