"""Matrix products on tensor cores: when, and how they are launched; the loops are in kernels/cuda/gemm_mma.cu.

Which precision runs is the user's choice: `fc.set_precision`, or `algorithm=` of one convolution. "tf32x3" gives
float32-grade results from three products of split numbers, on request only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...kernels.cuda.source import Kernel
from ..base import Array
from ..precision import PRECISIONS, get_precision
from . import tiles
from .counting import require_countable
from .linear import KINDS, GpuLinear
from .memory import kernel_of

OLDEST = 80  # compute capability, as in sm_80
NUMBERS = {"tf32": 0, "tf32x3": 1, "bfloat16": 2, "float16": 3}  # as in mma.cuh
STEP = 32  # of the reduction, between two barriers
STAGES = 3  # tiles in shared memory at a time
LARGE = tiles.Tile(128, 128, STEP, 8, 8, 4.0)
WIDE = tiles.Tile(128, 128, STEP, 8, 16, 4.0)  # for 16 bits: twice the columns a warp, half the reads of shared memory
TALL = tiles.Tile(128, 64, STEP, 8, 8, 3.6)
SMALL = tiles.Tile(64, 64, STEP, 8, 4, 2.6)
FUSED = (None, "relu")  # activations of the epilogue; others are a pass of their own


class GpuLinearMma(GpuLinear):
    """Products of float32 matrices in the precision that stands; what is to be strict is the portable kernels' work."""

    def declines_precision(self, precision: str) -> str | None:
        return None if precision == "float32" else self._declines_units()

    def _declines_units(self) -> str | None:
        """Why these kernels cannot run on this GPU, or None."""
        architecture = self._device.architecture
        if architecture >= OLDEST:
            return None
        return f"its tensor cores begin with sm_{OLDEST} and this GPU is sm_{architecture}"

    def _precision(self, dtype: Any) -> str | None:
        """What products of such arrays are to be computed in on tensor cores, or None."""
        precision = get_precision()
        return None if precision == "float32" or dtype != np.float32 or self._declines_units() else precision

    def _gemm(
        self, c: Array, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False,
        bias: Array | None = None, sums: Array | None = None, activation: str | None = None,
    ) -> None:  # fmt: skip
        precision = self._precision(c.dtype)
        if precision is None or c.size == 0:
            super()._gemm(
                c, a, b, trans_a=trans_a, trans_b=trans_b, bias=bias, sums=sums, activation=activation
            )  # fmt: skip
            return
        M, N, K = c.shape[0], c.shape[1], a.shape[0 if trans_a else 1]
        require_countable("matmul", (M, N, K), f"{(M, K)} times {(K, N)}")
        pack = self._pack(a, b) if (M if trans_a else K) % 4 == 0 and (K if trans_b else N) % 4 == 0 else 1
        cut = self._cut_for_units(precision, M, N, K, pack)

        def launch(c: Array, sums: Array | None, bias: Array | None, part: int, kind: int) -> None:
            self._launch_on_units(
                "gemm_mma", "gemm_mma", (cut.tile.count(M, N), 1, cut.parts), cut.tile,
                (c, sums, a, b, bias, M, N, K, cut.depth, np.int64(part)),
                precision=precision, PACK=pack, KIND=kind, TRANS_A=int(trans_a), TRANS_B=int(trans_b),
            )  # fmt: skip

        bias = None if bias is None else self._ordered(bias)
        self._activated(c, activation, lambda fused: self._whole_or_in_parts(launch, cut, c, sums, bias, fused))

    def _activated(self, y: Array, activation: str | None, run: Callable[[str | None], None]) -> None:
        """run(the activation of its epilogue) for `y`, contiguous; and after it, the activation that epilogues lack."""
        run(activation if activation in FUSED else None)
        if activation is not None and activation not in FUSED:
            flat = y.reshape(-1)
            self.activation_forward(activation, flat, out=flat)

    def _pack(self, *arrays: Array) -> int:
        """Floats in an asynchronous copy, where sizes come in fours."""
        return 4 if self._aligned(*arrays) else 1

    def _cut_for_units(
        self, precision: str, M: int, N: int, K: int, pack: int, *, products: int = 1, whole: bool = False
    ) -> tiles.Plan:
        return tiles.cheapest(
            unit_tiles(precision, pack), M, N, K,
            products=products, itemsize=4, processors=self._device.processors, whole=whole,
        )  # fmt: skip

    def _launch_on_units(
        self, file: str, name: str, grid: tuple[int, ...], tile: tiles.Tile, args: tuple[Any, ...], *,
        precision: str, **defines: int,
    ) -> None:  # fmt: skip
        """Start a kernel of *_mma.cu; `precision` is a key of NUMBERS."""
        constants = unit_constants(precision, tile, **defines)
        self._launch(file, name, grid, (tile.threads,), args, dtype="float32", shared=shared_bytes(tile), **constants)


def shared_bytes(tile: tiles.Tile) -> int:
    """What a block keeps in the shared memory that its launch gives."""
    return STAGES * (tile.BM + tile.BN) * STEP * 4


def unit_constants(precision: str, tile: tiles.Tile, **defines: int) -> dict[str, int]:
    """What a kernel of *_mma.cu is specialised by."""
    return {"PRECISION": NUMBERS[precision], "BM": tile.BM, "BN": tile.BN, **defines}


def unit_tiles(precision: str, pack: int) -> tuple[tiles.Tile, ...]:
    """The tiles that there are kernels for; pack: floats in an asynchronous copy, 4 or 1."""
    if pack == 1:
        return (SMALL,)
    if precision == "tf32x3":
        return LARGE, SMALL
    return LARGE if precision == "tf32" else WIDE, TALL, SMALL


def unit_variants(precisions: Iterable[str]) -> list[dict[str, int]]:
    """Every set of constants, but for what one kernel alone is specialised by."""
    return [
        unit_constants(precision, tile, PACK=pack)
        for precision in precisions
        for pack in (4, 1)
        for tile in unit_tiles(precision, pack)
    ]


def variants() -> list[Kernel]:
    """Every kernel that this family can ask for."""
    return [
        kernel_of(
            "gemm_mma", "gemm_mma", "float32", TRANS_A=trans_a, TRANS_B=trans_b, KIND=KINDS.index(kind), **constants
        )
        for constants in unit_variants(PRECISIONS[1:])
        for trans_a in (0, 1)
        for trans_b in (0, 1)
        for kind in (FUSED if (trans_a, trans_b) == (0, 1) else [None])
    ]
