"""Two runs of the suite, row by row.

Absolute times of shared machines mean nothing, so what counts is the ratio to a peer that was timed beside us in each
run; without a peer in both runs the share of the machine's limit stands in.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .measure import Row
from .peers import ENGINE
from .report import amount, title_of
from .results import Results, geometric_mean

NOISE = 0.05  # a change below this is not coloured


@dataclass(frozen=True)
class Change:
    """gain: how many times better the row is now. against: the peer, or the machine's limit."""

    key: str
    before: str
    now: str
    gain: float
    against: str


def changes(old: Results, new: Results) -> list[Change]:
    """The rows that both runs have, the greatest loss first."""
    before = {row.work.key: row for row in old.rows if ENGINE in row.timings}
    found = []
    for row in new.rows:
        if row.work.key in before and ENGINE in row.timings:
            found.append(_change(old, before[row.work.key], new, row))
    return sorted(found, key=lambda change: change.gain)


def _change(old: Results, was: Row, new: Results, row: Row) -> Change:
    before, now = was.timings[ENGINE].median, row.timings[ENGINE].median
    gain, against = before / now, "time"
    peer = next((p for p in new.peers() if p in was.timings and p in row.timings), None)
    if peer:
        gain, against = row.ratio(peer) / was.ratio(peer), title_of(peer)
    elif row.work.unit == "s" and (row.work.flops or row.work.bytes):
        shares = [r.limits.share(row.work.flops, row.work.bytes, seconds) for r, seconds in ((new, now), (old, before))]
        gain, against = shares[0] / shares[1], "limit"
    return Change(row.work.key, amount(before, row.work.unit), amount(now, row.work.unit), gain, against)


def show(old: Results, new: Results, console: Console) -> None:
    """The changes as a table, with their geometric mean."""
    found = changes(old, new)
    if not found:
        console.print("the two runs have no row in common")
        return
    table = Table(title="Against the earlier run (above 1: better now)", title_justify="left", title_style="bold")
    table.add_column("row", overflow="fold")
    for name in ("before", "now", "gain", "measured by"):
        table.add_column(name, justify="right")
    for c in found:
        style = "red" if c.gain < 1 - NOISE else "green" if c.gain > 1 + NOISE else ""
        table.add_row(c.key, c.before, c.now, Text(f"{c.gain:.2f}", style=style), c.against)
    console.print(table)
    console.print(f"geometric mean of {len(found)} rows: {geometric_mean(c.gain for c in found):.3f}", highlight=False)
