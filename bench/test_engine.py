"""The engine's rows under pytest-benchmark: `pytest bench`. Peers take part in `fastconv bench` only, in turn with us.

Compilation and first touches of memory happen before the timed rounds.
"""

from math import ceil

import numpy as np
import pytest

from fastconv.bench.peers import worker

pytest.importorskip("pytest_benchmark", reason="pip install fastconv[bench]")

ROUNDS, SECONDS = 7, 0.005  # of the calls of one round together


def test_work(work, engine, limits, threads, benchmark):
    name, variant = next(iter(engine.prepare(work.request()).items()))
    for values in variant.result():
        assert np.isfinite(values).all()
    benchmark.group = work.group
    benchmark.extra_info |= engine.versions() | {
        "layer": work.title,
        "class": work.kind,
        "threads": threads,
        "algorithm": variant.note or name,
    }
    calls = ceil(SECONDS / worker.warm_up(engine, variant))
    benchmark.pedantic(variant.run, rounds=ROUNDS, iterations=calls)
    if benchmark.stats is not None:  # None with --benchmark-disable
        seconds = benchmark.stats.stats.median
        benchmark.extra_info |= {
            "GFLOP/s": round(work.flops / seconds / 1e9, 2),
            "GB/s": round(work.bytes / seconds / 1e9, 2),
            "share of limit": round(limits.share(work.flops, work.bytes, seconds), 4),
        }
