"""Calls of the CPU backend prepared for a compiled step: nothing of them is left but their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ...kernels.cpu.bound import bound
from ..host import HostMemory
from ..launch import CannotRecord, record
from ..workspace import Blocks


class CpuBinding(HostMemory):
    """The part of the contract that makes calls cheap to repeat."""

    def bind(
        self, op: str, inputs: Sequence[Any], options: Mapping[str, Any], blocks: Blocks
    ) -> list[Callable[[], Any]]:
        function = getattr(self, op)
        call = partial(function, *inputs, **options)
        if getattr(function, "launches", False):
            try:
                return [bound(kernel, arguments) for kernel, arguments in record(call, blocks)]
            except CannotRecord:
                pass
        return [call]
