"""A run of the suite as tables in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import machine
from .measure import ONE_THREAD, Row
from .peers import CONTESTANTS, ENGINE
from .results import ClassMean, Results, class_means
from .work import GROUPS

BUSY = 0.03  # share of the processors
UNSTEADY = 1.3  # median over minimum of a contestant's rounds


def title_of(contestant: str) -> str:
    """How a contestant is called in tables and pictures."""
    return CONTESTANTS[contestant].title if contestant in CONTESTANTS else contestant


def show(results: Results, console: Console) -> None:
    """Machine, a table for each group, means by class, what is missing and what failed.

    A ratio with ~ comes from rounds that differ much.
    """
    for line in machine_lines(results):
        console.print(line, highlight=False)
    if (results.others or 0) > BUSY:
        console.print(
            f"other programs took {results.others:.0%} of the processors meanwhile: the figures are spoilt",
            style="yellow",
        )
    for group, title in GROUPS.items():
        rows = [row for row in results.rows if row.work.group == group]
        if rows:
            console.print(_group_table(results, rows, title))
    means = [m for peer in results.peers() for m in class_means(results.rows, peer)]
    if means:
        console.print(_means_table(means))
    for peer, reason in results.missing.items():
        console.print(f"without {title_of(peer)}: {reason}", style="yellow", highlight=False, markup=False)
    for error in results.errors:
        console.print(f"failed: {error}", style="bold red", highlight=False, markup=False)


def machine_lines(results: Results) -> list[str]:
    """The machine, its measured limits and the versions."""
    m, limits = results.machine, results.limits
    on_gpu = results.settings.get("device") == "gpu"
    if on_gpu:
        gflops, how = f"{limits.peak:.0f} GFLOP/s in float32", f"precision {results.settings['precision']}"
    else:
        gflops = ", ".join(f"{v:.0f} GFLOP/s with {t} thread{'s' * (t > 1)}" for t, v in limits.gflops.items())
        how = f"{limits.threads} threads"
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return [
        machine.title(m),
        f"Measured limits: {gflops}; copies {limits.bandwidth:.0f} GB/s in memory",
        f"{m['system']}, Python {m['python']}, {versions}; {how}; {m['date']}",
    ]


def duration(seconds: float) -> str:
    """With three digits, in the unit that suits."""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * scale >= 0.9995:
            return f"{_three(seconds * scale)} {unit}"
    return f"{_three(seconds * 1e9)} ns"


def amount(value: float, unit: str) -> str:
    """A figure in a row's unit: seconds or bytes."""
    return duration(value) if unit == "s" else f"{_three(value / 1e6)} MB"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def rates(results: Results, row: Row) -> tuple[str, str, str]:
    """GFLOP/s, GB/s and share of the machine's limit of our figure; empty where the row counts neither."""
    work, timing = row.work, row.timings.get(ENGINE)
    if timing is None or not (work.flops or work.bytes) or work.unit != "s":
        return "", "", ""
    share = results.limits.share(work.flops, work.bytes, timing.median)
    return (
        _three(work.flops / timing.median / 1e9) if work.flops else "",
        _three(work.bytes / timing.median / 1e9) if work.bytes else "",
        f"{share:.0%}",
    )


def _group_table(results: Results, rows: list[Row], title: str) -> Table:
    peers = [p for p in results.peers() if any(p in row.timings for row in rows)]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("work", overflow="fold", min_width=18)
    for name in ("fastconv", "GFLOP/s", "GB/s", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("how", no_wrap=True)
    for peer in peers:
        table.add_column(title_of(peer), justify="right", no_wrap=True)
        table.add_column("x", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(results, row, peers))
    return table


def _cells(results: Results, row: Row, peers: list[str]) -> list[str | Text]:
    ours = row.timings.get(ENGINE)
    first = f"{row.work.title}  [dim]{row.work.shape}[/dim]" if row.work.shape else row.work.title
    cells: list[str | Text] = [first, amount(ours.median, row.work.unit) if ours else row.declined.get(ENGINE, "")]
    cells += [*rates(results, row), (ours.note or ours.variant) if ours else ""]
    for peer in peers:
        timing, ratio = row.timings.get(peer), row.ratio(peer)
        cells.append(amount(timing.median, row.work.unit) if timing else "-")
        cells.append(_coloured(ratio, peer, "~" if _unsteady(row, peer) else ""))
    return cells


def _unsteady(row: Row, peer: str) -> bool:
    return any(row.timings[n].median > UNSTEADY * row.timings[n].minimum for n in (ENGINE, peer) if n in row.timings)


def _coloured(ratio: float | None, peer: str, mark: str = "") -> Text:
    if ratio is None:
        return Text("")
    behind = ratio < 1 and peer != ONE_THREAD
    return Text(f"{mark}{ratio:.2f}", style="red" if behind else "green")


def _means_table(means: list[ClassMean]) -> Table:
    table = Table(
        title="Geometric means of the ratios (peer's time / ours: above 1 fastconv is ahead)",
        title_justify="left", title_style="bold", header_style="bold",
    )  # fmt: skip
    for name in ("group", "class", "peer"):
        table.add_column(name)
    for name in ("rows", "mean", "worst"):
        table.add_column(name, justify="right")
    table.add_column("worst row", overflow="fold")
    for m in means:
        worst = Text(f"{m.worst:.2f}", style="red" if m.worst < 1 else "green")
        table.add_row(m.group, m.kind, title_of(m.peer), str(m.rows), _coloured(m.mean, m.peer), worst, m.worst_row)
    return table
