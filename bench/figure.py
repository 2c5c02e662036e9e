"""A run of the suite as a picture: a roofline with every layer in it, and the ratios to the peers by class."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import machine
from .measure import ONE_THREAD, Row
from .peers import ENGINE
from .report import title_of
from .results import ClassMean, Results, class_means

# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = {
    ENGINE: "#D55E00", "torch": "#0072B2", "jax": "#009E73", "numpy": "#999999",
    "torch-fused": "#56B4E9", "torch-compile": "#CC79A7", ONE_THREAD: "#E69F00",
    "onnxruntime": "#F0E442", "torch-graph": "#000000",
}  # fmt: skip
MARKERS = {"conv2d_forward": "o", "conv2d_backward_data": "^", "conv2d_backward_weight": "s", "matmul": "D"}
SPAN = -4, 5  # powers of two that the bars show: longer ones end there and carry their number
NAMES = {
    "conv2d_forward": "convolution forward", "conv2d_backward_data": "convolution, input gradient",
    "conv2d_backward_weight": "convolution, filter gradient", "matmul": "matrix product", "pooling": "pooling",
    "pointwise": "pointwise", "norm": "normalisation", "update": "optimizer",
    "training_step": "training step", "inference": "inference", "startup": "start-up",
    "memory": "memory", "runs": "whole runs",
}  # fmt: skip


def missing() -> str | None:
    """Why no picture can be drawn, or None."""
    return None if find_spec("matplotlib") else "matplotlib is not installed: pip install fastconv[plot]"


def draw(results: Results, path: Path) -> None:
    """Write the picture; its format follows the file's name."""
    from matplotlib.figure import Figure

    means = [m for peer in results.peers() if peer != ONE_THREAD for m in class_means(results.rows, peer)]
    classes = list(dict.fromkeys((m.group, m.kind) for m in means))
    figure = Figure(figsize=(15, max(7.5, 1.6 + 0.17 * len(means) + 0.09 * len(classes))), layout="constrained")
    roof, ratios = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _roofline(roof, results)
    _ratios(ratios, means, classes)
    figure.suptitle(f"fastconv on {machine.title(results.machine)}  ({results.machine['date']})")
    figure.savefig(path, dpi=110)


def _roofline(axes: Any, results: Results) -> None:
    limits = results.limits
    rows = [row for row in results.rows if row.work.group in MARKERS]
    slowest = min((row.work.flops / t.median / 1e9 for row in rows for t in row.timings.values()), default=1)
    for contestant in (*[p for p in results.peers() if p != ONE_THREAD][::-1], ENGINE):
        for group, marker in MARKERS.items():
            points = [_point(row, contestant) for row in rows if row.work.group == group and contestant in row.timings]
            if points:
                axes.scatter(
                    *zip(*points, strict=True), marker=marker, s=34, color=COLOURS[contestant],
                    alpha=0.9 if contestant == ENGINE else 0.5, linewidths=0, zorder=3 if contestant == ENGINE else 2,
                )  # fmt: skip
    intensities = np.geomspace(0.25, 1500, 200)
    roof = np.minimum(limits.peak, intensities * limits.bandwidth)
    axes.plot(intensities, roof, color="black", linewidth=1.8)
    ridge = limits.peak / limits.bandwidth
    axes.text(0.9 * ridge, limits.peak, f"{limits.peak:.0f} GFLOP/s, all threads", ha="right", va="center")
    one = limits.gflops[1]
    if one < limits.peak:
        axes.axhline(one, color="black", linewidth=0.8, linestyle=":")
        axes.text(0.28, one * 1.04, f"{one:.0f} GFLOP/s, one thread", fontsize=8)
    axes.text(
        0.5, 0.56 * limits.bandwidth, f"{limits.bandwidth:.0f} GB/s, memory", ha="center",
        rotation=np.degrees(np.arctan(limits.bandwidth)), rotation_mode="anchor", transform_rotates_text=True,
    )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=(0.25, 1500),
        ylim=(0.7 * min(slowest, 0.28 * limits.bandwidth), limits.peak * 4),
        xlabel="operations for each byte that must be moved", ylabel="GFLOP/s", title="Roofline: every layer and pass",
    )  # fmt: skip
    axes.grid(alpha=0.25)
    drawn = [c for c in (ENGINE, *results.peers()) if c != ONE_THREAD and any(c in row.timings for row in rows)]
    _legend(axes, drawn, {row.work.group for row in rows})


def _point(row: Row, contestant: str) -> tuple[float, float]:
    work = row.work
    return work.flops / work.bytes, work.flops / row.timings[contestant].median / 1e9


def _legend(axes: Any, contestants: list[str], groups: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", color=COLOURS[c], label=title_of(c)) for c in contestants
    ] + [
        Line2D([], [], marker=m, linestyle="", color="black", markerfacecolor="none", label=NAMES[g])
        for g, m in MARKERS.items() if g in groups
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", fontsize=9)


def _ratios(axes: Any, means: list[ClassMean], classes: list[tuple[str, str]]) -> None:
    places, ticks = _places(means, classes)
    ends = [_length(value) for m in means for value in (m.mean, m.worst)]
    for m, y in zip(means, places, strict=True):
        length, worst = _length(m.mean), _length(min(m.mean, m.worst))
        axes.barh(y, length, 0.9, color=COLOURS[m.peer], zorder=2)
        if m.rows > 1:
            axes.plot([worst] * 2, [y - 0.45, y + 0.45], color="black", linewidth=1, zorder=3)
        ahead = length >= 0
        x = length + 0.08 if ahead else worst - 0.08
        axes.text(x, y, f"{m.mean:.2f}", ha="left" if ahead else "right", va="center", fontsize=7)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(ticks, [f"{NAMES.get(g, g)}: {k}" for g, k in classes], fontsize=8)
    axes.set_ylim(max(places, default=0) + 1.2, -1.2)
    powers = range(SPAN[0], SPAN[1] + 1)
    axes.set_xticks(powers, [f"{2**p}" if p >= 0 else f"1/{2**-p}" for p in powers])
    axes.set_xlim(min([-0.5, *ends]) - 0.6, max([0.5, *ends]) + 0.6)
    axes.set_xlabel("peer's time / fastconv's: right of 1 fastconv is ahead\n(mean of the class; black: its worst row)")
    axes.set_title("Ratios to the peers")
    axes.grid(axis="x", alpha=0.25)
    peers = list(dict.fromkeys(m.peer for m in means))
    for peer in peers:
        axes.barh([0], [0], color=COLOURS[peer], label=title_of(peer))
    if peers:
        axes.legend(loc="upper right", fontsize=9)


def _length(ratio: float) -> float:
    return float(np.clip(np.log2(ratio), *SPAN))


def _places(means: list[ClassMean], classes: list[tuple[str, str]]) -> tuple[list[float], list[float]]:
    """Where each bar stands, those of a class side by side, and the middle of each class."""
    places, ticks, top = [0.0] * len(means), [], 0.0
    for key in classes:
        own = [i for i, m in enumerate(means) if (m.group, m.kind) == key]
        for i in own:
            places[i], top = top, top + 1
        ticks.append(sum(places[i] for i in own) / len(own))
        top += 0.5
    return places, ticks
