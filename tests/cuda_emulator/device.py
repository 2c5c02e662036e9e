"""The emulated GPU: NumPy arrays between guard zones, kernels run by emulator.h in a chosen order of threads."""

import ctypes
import math

import numpy as np

from .build import library

GUARD = 256  # bytes before and after every array
GUARD_BYTE = 0xA5


class EmulatedDevice:
    """Runs the GPU backend's kernels on the CPU.

    Fresh memory holds NaN; a kernel that writes beyond an array, that gets arguments of other types than it declares,
    or whose threads wait for each other for ever, raises AssertionError. `order` permutes the threads of a block:
    "forward", "backward" or a seed.
    """

    name = "cuda-emu"
    xp = np
    processors = 2

    def __init__(self, order="forward"):
        self.order = order

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

    def synchronize(self):
        pass

    def launch(self, kernel, grid, block, args):
        built = library(kernel)
        values = [_c_value(a) for a in args]
        _check_parameters(kernel, built, args)
        grid, block = (tuple(size) + (1,) * (3 - len(size)) for size in (grid, block))
        threads = math.prod(block)
        assert 1 <= threads <= 1024 and math.prod(grid) >= 1, f"{kernel.name}: grid {grid}, block {block}"
        pointers = (ctypes.c_void_p * len(args))(*(ctypes.addressof(v) for v in values))
        stuck = (ctypes.c_uint * 3)()
        three = ctypes.c_uint * 3
        order = np.ascontiguousarray(self._order(threads), np.int32)
        finished = built.emulator_launch(three(*grid), three(*block), pointers, order.ctypes, stuck)
        assert finished, f"{kernel.name}: threads of block {tuple(stuck)} wait at a barrier that others do not reach"
        for i, a in enumerate(args):
            assert _guards_intact(a), f"{kernel.name}: wrote beyond its argument {i}, shape {a.shape}"

    def _order(self, threads):
        if self.order == "forward":
            return np.arange(threads)
        if self.order == "backward":
            return np.arange(threads)[::-1]
        return np.random.default_rng(self.order).permutation(threads)


def _c_value(a):
    if isinstance(a, np.ndarray):
        return ctypes.c_void_p(a.ctypes.data)
    scalar = np.int32(a) if type(a) is int else a
    return np.ctypeslib.as_ctypes_type(scalar.dtype)(scalar.item())


def _check_parameters(kernel, built, args):
    sizes = (ctypes.c_int * 64)()
    count = built.emulator_parameters(sizes)
    assert count == len(args), f"{kernel.name} takes {count} arguments, got {len(args)}"
    for i, a in enumerate(args):
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
