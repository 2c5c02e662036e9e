"""Where PyTorch computes, in which precision, and the GPU's own ways to time and to replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Place:
    """Where tensors lie and as what: float32, or half of it where the precision is a half one."""

    device: str
    dtype: torch.dtype

    def tensor(self, a: np.ndarray, memory: torch.memory_format = torch.preserve_format) -> torch.Tensor:
        t = torch.from_numpy(a)
        t = t.to(self.device, self.dtype if t.is_floating_point() else t.dtype)
        return t.contiguous(memory_format=memory) if t.ndim == 4 and memory != torch.preserve_format else t


def place(device: str, precision: str) -> Place:
    """The place for a precision, PyTorch's switches set for it."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = getattr(torch, precision) if precision in ("float16", "bfloat16") else torch.float32
    return Place("cuda" if device == "gpu" else device, dtype)


def elapsed(run: Callable[[], Any], calls: int) -> float:
    """Seconds on the GPU for so many calls, by CUDA events."""
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    for _ in range(calls):
        run()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1e3


def as_graph(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The step captured once, after some runs on a stream of its own, and replayed (PyTorch's notes on CUDA graphs)."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return value

    return replay
