"""Calls of the CPU backend prepared for a compiled step: nothing of them is left but their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...kernels.cpu.bound import bound, made_direct
from ..base import Run
from ..host import HostMemory
from ..launch import CannotRecord, record
from ..workspace import Blocks


class CpuBinding(HostMemory):
    """The part of the contract that makes calls cheap to repeat."""

    def bind(
        self, op: str, inputs: Sequence[Any], options: Mapping[str, Any], blocks: Blocks,
        once: list[Callable[[], Any]] | None = None,
    ) -> list[Callable[[], Any]]:  # fmt: skip
        function = getattr(self, op)
        call = partial(function, *inputs, **options)
        if getattr(function, "launches", False) and all(map(_lies_in_order, inputs)):
            try:
                prepared, launches = record(call, blocks, fixed=once is not None)
            except CannotRecord:
                return [call]
            if once is not None:
                once += [bound(*launch) for launch in prepared]
            return [bound(*launch) for launch in launches]
        return [call]

    def repeat(self, runs: Sequence[Run]) -> Callable[[], None]:
        calls = made_direct([run.call for run in runs])
        return super().repeat([replace(run, call=call) for run, call in zip(runs, calls, strict=True)])


def _lies_in_order(item: Any) -> bool:
    """Whether kernels take an array as it is: of any other a call makes a copy, which would be made once only."""
    if not isinstance(item, np.ndarray):
        return True
    lying = item.transpose(0, 2, 3, 1) if item.ndim == 4 else item
    return bool(lying.flags.c_contiguous)
