"""The device functions of the contract on a GPU, and what every family of kernels needs to launch one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...kernels.cuda.source import C_TYPES, Kernel
from ..base import Array, Backend, Run
from ..checks import require, require_reshape
from .device import Device
from .graph import StepGraph, numbers_place

THREADS = 256  # in a block of an element-by-element kernel
BLOCKS_A_PROCESSOR = 64  # of such a kernel at most: several times what is resident, so that the last ones cost little
WIDEST_ACCESS = 16  # bytes that a thread reads or writes at once
WORDS = 16  # of 8 bytes that scalars.cu takes at a launch
STORE_WORDS = Kernel("scalars", "store_words")


class GpuMemory(Backend):
    """Arrays on a device, channels-last under NCHW shapes."""

    name = "gpu"

    def __init__(self, device: Device) -> None:
        self._device = device
        self.name = device.name

    def asarray(self, a: Any, dtype: Any = None) -> Array:
        if isinstance(a, np.ndarray) and a.ndim == 4:
            a = a.transpose(0, 2, 3, 1).astype(dtype or a.dtype, order="C", copy=False)  # the CPU lays it out
            return self._device.asarray(a).transpose(0, 3, 1, 2)
        a = self._device.asarray(a, dtype)
        if a.ndim == 4:
            return self._channels_last(a).transpose(0, 3, 1, 2)
        return self._contiguous(a)

    def to_numpy(self, a: Array) -> Any:
        if a.ndim != 4:
            return self._device.to_numpy(a)
        return self._device.to_numpy(self._channels_last(a)).transpose(0, 3, 1, 2)

    def empty(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        if len(shape) != 4:
            return self._device.empty(shape, dtype)
        n, c, h, w = shape
        return self._device.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)

    def zeros(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        a = self.empty(shape, dtype)
        a.fill(0)
        return a

    def reshape(self, a: Array, shape: Sequence[int], *, out: Array | None = None) -> Array:
        shape = require_reshape(a, shape)
        if out is None:
            return self.asarray(a.reshape(shape))
        self._result("reshape", out, shape, a.dtype)
        if out.ndim == 4:
            self._device.copy(out, self._contiguous(a).reshape(shape))
        else:
            self._device.copy(out.reshape(a.shape), a)
        return out

    def repeat(self, runs: Sequence[Run]) -> Callable[[], None]:
        return StepGraph(self._device, runs)

    def synchronize(self) -> None:
        self._device.synchronize()

    # For the families of kernels --------------------------------------------------------------------------------------

    def _launch(
        self, file: str, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *,
        dtype: Any, shared: int = 0, **defines: str | int,
    ) -> None:  # fmt: skip
        """Start kernel `name` of FILE.cu with its element type and constants."""
        kernel = kernel_of(file, name, dtype, **defines)
        self._device.launch(kernel, tuple(grid), tuple(block), tuple(args), shared)

    def _launch_flat(
        self, file: str, name: str, n: int, args: Sequence[Any], *, dtype: Any, width: int = 1, **defines: str | int
    ) -> None:
        """Start a kernel that goes over n elements in strides of all its threads, each of which takes `width` at once;
        n is its last argument."""
        if n == 0:
            return
        blocks = min(-(-n // (width * THREADS)), BLOCKS_A_PROCESSOR * self._device.processors)
        self._launch(file, name, (blocks,), (THREADS,), (*args, np.int64(n)), dtype=dtype, shared=0, **defines)

    def _numbers(self, values: Sequence[float], dtype: Any) -> Array:
        """`values` in device memory, for a kernel launched after this; nobody waits for them."""
        words = np.zeros(WORDS, "uint64")
        words.view(dtype)[: len(values)] = values
        record = words.view(f"V{words.nbytes}")[0]

        def store(numbers: Array) -> None:
            self._device.launch(STORE_WORDS, (1,), (32,), (numbers, record, WORDS))

        return numbers_place(lambda: self._device.empty((WORDS,), "uint64"), store).view(dtype)

    def _result(self, op: str, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
        """`out` after a check that the kernel can write to it, or fresh memory."""
        if out is None:
            return self.empty(shape, dtype)
        require(op, "out", out, shape, dtype)
        require_order(out)
        return out

    def _aligned(self, *arrays: Array) -> bool:
        """Whether all arrays begin where accesses of 16 bytes may."""
        return all(self._device.address(a) % WIDEST_ACCESS == 0 for a in arrays)

    def _channels_last(self, a: Array) -> Array:
        """(N, C, H, W) seen as contiguous (N, H, W, C): without a copy where `a` already lies so."""
        return self._contiguous(a.transpose(0, 2, 3, 1))

    def _ordered(self, a: Array) -> Array:
        """`a` with its elements in the order that kernels read: without a copy where they lie so."""
        return self._channels_last(a) if a.ndim == 4 else self._contiguous(a)

    def _contiguous(self, a: Array) -> Array:
        """`a` in the order of its axes and where its elements may begin: itself where it lies so."""
        if a.flags.c_contiguous and self._device.address(a) % a.itemsize == 0:
            return a
        ordered = self._device.empty(a.shape, a.dtype)
        self._device.copy(ordered, a)
        return ordered


def kernel_of(file: str, name: str, dtype: Any, **defines: str | int) -> Kernel:
    """Kernel `name` of FILE.cu for elements of this type."""
    constants = {"ELEMENT": C_TYPES[np.dtype(dtype).name], **defines}
    return Kernel(file, name, tuple(sorted(constants.items())))


def require_order(a: Array) -> None:
    lying = a.transpose(0, 2, 3, 1) if a.ndim == 4 else a
    if not lying.flags.c_contiguous:
        raise ShapeError(f"an array of shape {a.shape} and strides {a.strides} does not lie channels-last in memory")


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [STORE_WORDS]
