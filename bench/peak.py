"""The machine's own limits, measured: multiply-adds in registers, and copies of every size from cache to memory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from math import log
from typing import Any

import numpy as np

from fastconv.backends.workspace import release, scratch

FMA_ITERATIONS = 100_000
# Bytes of source and target together: inside L1 and L2, between, and far beyond the last cache.
COPY_SIZES = tuple(2**k for k in (15, 17, 19, 21, 23, 25, 28))
REPEATS = 9


@dataclass(frozen=True)
class Limits:
    """gflops: by threads. copy: GB/s (read and written) by bytes touched, with all threads."""

    gflops: dict[int, float]
    copy: dict[int, float]
    threads: int

    @property
    def peak(self) -> float:
        """GFLOP/s of all threads."""
        return self.gflops[self.threads]

    @property
    def bandwidth(self) -> float:
        """GB/s of a large copy."""
        return self.copy[max(self.copy)]

    def bandwidth_of(self, size: int) -> float:
        """GB/s of a copy that touches `size` bytes, between the measured ones by the logarithm."""
        sizes = sorted(self.copy)
        return float(np.interp(log(max(size, 1)), [log(s) for s in sizes], [self.copy[s] for s in sizes]))

    def least_seconds(self, flops: int, size: int) -> float:
        """The least time for so many operations on so many bytes: the roofline."""
        return max(flops / (self.peak * 1e9), size / (self.bandwidth_of(size) * 1e9))

    def share(self, flops: int, size: int, seconds: float) -> float:
        """What part of the limit was reached, 1 at best."""
        return self.least_seconds(flops, size) / seconds

    def better(self, other: Limits) -> Limits:
        """The higher of two measurements: a busy machine shows less than it has."""
        return Limits(
            {t: max(v, other.gflops[t]) for t, v in self.gflops.items()},
            {s: max(v, other.copy[s]) for s, v in self.copy.items()},
            self.threads,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Limits:
        gflops, copy = ({int(k): v for k, v in data[name].items()} for name in ("gflops", "copy"))
        return Limits(gflops, copy, data["threads"])


def measure(threads: int) -> Limits:
    """Measure with one thread and with `threads`; takes about half a second after compilation."""
    from fastconv.kernels.cpu import peak

    gflops = {t: _gflops(peak, t) for t in sorted({1, threads})}
    copy = {size: _copy(peak, size, threads) for size in COPY_SIZES}
    release()
    return Limits(gflops, copy, threads)


def _gflops(peak: Any, threads: int) -> float:
    sums = np.empty(threads, np.float32)
    best = _quickest(lambda: peak.fma_loop(sums, FMA_ITERATIONS, 0.5, 1.0))
    return threads * peak.FLOPS * FMA_ITERATIONS / best / 1e9


def _copy(peak: Any, size: int, threads: int) -> float:
    pieces = 2 ** (threads - 1).bit_length()  # each a power of two, so made of whole vectors
    x, y = (scratch(f"bench copy {name}", (size // 8,), "float32") for name in "xy")
    x.fill(1)
    y.fill(0)
    times = max(1, 2**23 // size)
    best = min(_quickest(partial(peak.copy, y, x, pieces, times, past_caches)) for past_caches in (False, True))
    return size * times / best / 1e9


def _quickest(run: Callable[[], Any]) -> float:
    run()
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure_gpu() -> Limits:
    """The GPU's: one figure for float32 multiply-adds, copies from the size of its last cache on."""
    from fastconv.backends.gpu.measure import copy_bandwidth, fma_peak

    return Limits({1: fma_peak()}, {size: copy_bandwidth(size) for size in (2**21, 2**25, 2**30)}, 1)


if __name__ == "__main__":
    device, threads = sys.argv[1:]
    print(json.dumps((measure_gpu() if device == "gpu" else measure(int(threads))).as_json()))
