"""PyTorch's normalisations.

Batch normalisation on a GPU is PyTorch's own function, which takes cuDNN's kernels where they serve; on the CPU it is
what that function comes to there, with results in memory that is there already.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..inputs import Arrays
from .contestant import Variant


class Normalisation:
    """The rows of the group norm, for a contestant with a `place` and both memory formats."""

    place: Any
    _both: Any
    _in_both_formats: Any

    def batch_norm_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        def prepare(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
            running = torch.zeros_like(bias), torch.zeros_like(bias)
            if self.place.device != "cpu":
                return lambda: [F.batch_norm(x, *running, weight, bias, True, 0.1, 1e-5)]
            out = {"out": torch.empty_like(x)} | {name: torch.empty_like(bias) for name in ("save_mean", "save_invstd")}
            given = (x, weight, bias, *running, True, 0.1, 1e-5)
            return lambda: [torch.ops.aten.native_batch_norm.out(*given, **out)[0]]

        return self._in_both_formats(a, ("x", "weight", "bias"), prepare)

    def batch_norm_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        def prepare(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor):
            if self.place.device != "cpu":
                trained = [t.requires_grad_() for t in (x, weight, torch.zeros_like(weight))]
                y = F.batch_norm(x, None, None, *trained[1:], True, 0.1, 1e-5)
                return lambda: list(torch.autograd.grad(y, trained, dy, retain_graph=True))
            _, *found = torch.ops.aten.native_batch_norm(x, weight, None, None, None, True, 0.1, 1e-5)
            given = (dy, x, weight, None, None, *found, True, 1e-5, [True] * 3)
            return lambda: list(torch.ops.aten.native_batch_norm_backward(*given))

        return self._in_both_formats(a, ("dy", "x", "weight"), prepare)

    def local_response_norm_forward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        return self._both(a, ("x",), lambda x: [F.local_response_norm(x, sizes["size"])])

    def local_response_norm_backward(self, sizes: Arrays, a: Arrays) -> dict[str, Variant]:
        def prepare(dy: torch.Tensor, x: torch.Tensor):
            given = x.requires_grad_()
            y = F.local_response_norm(given, sizes["size"])
            return lambda: list(torch.autograd.grad(y, given, dy, retain_graph=True))

        return self._in_both_formats(a, ("dy", "x"), prepare)
