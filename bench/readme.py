"""The table in the README, between two markers; what stands outside them is left alone."""

from __future__ import annotations

import re
from pathlib import Path

from .peers import ENGINE
from .report import amount, machine_lines, title_of
from .results import Results, class_means, geometric_mean
from .work import GROUPS

END = "<!-- /bench -->"  # of each table
# These rows are shown one by one, the others as means by class.
SINGLE = ("training_step", "inference", "threads", "startup", "memory", "runs")


def begin(device: str = "cpu", precision: str = "float32") -> str:
    """The marker before a device's table, each precision's own."""
    return f"<!-- bench:{device}{'' if precision == 'float32' else ':' + precision} -->"


def rewrite(path: Path, results: Results) -> str:
    """Put the table between the README's markers; gives a line that says what was done.

    A file that is missing, or that has no markers, is not touched.
    """
    if not path.exists():
        return f"{path} does not exist: no table was written"
    where = {name: results.settings[name] for name in ("device", "precision") if name in results.settings}
    text, marker = path.read_text(), begin(**where)
    pattern = re.compile(f"{re.escape(marker)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        return f"{path} has no markers {marker} ... {END}: no table was written"
    table = f"{marker}\n{markdown(results)}\n{END}"
    path.write_text(pattern.sub(lambda _: table, text, count=1))
    return f"the table in {path} was written"


def markdown(results: Results) -> str:
    """Machine, means by class, and whole steps row by row."""
    peers = results.peers()
    lines = [*(line + "  " for line in machine_lines(results)), ""]
    lines += ["Ratios: the peer's time over fastconv's, above 1 fastconv is ahead; mean (worst) over the layers."]
    lines += [
        "Operations are counted as the definition has them: Winograd's algorithm, which needs fewer, passes the limit.",
        "",
    ]
    lines += _table(["work", "layers", "of the limit", *map(title_of, peers)], _class_rows(results, peers))
    lines += [""]
    lines += _table(["whole steps", "fastconv", *map(title_of, peers)], _single_rows(results, peers))
    return "\n".join(lines)


def _class_rows(results: Results, peers: list[str]) -> list[list[str]]:
    means = {(m.group, m.kind, m.peer): m for peer in peers for m in class_means(results.rows, peer)}
    found: dict[tuple[str, str], list[float]] = {}
    for row in results.rows:
        if row.work.group not in SINGLE and ENGINE in row.timings:
            share = results.limits.share(row.work.flops, row.work.bytes, row.timings[ENGINE].median)
            found.setdefault((row.work.group, row.work.kind), []).append(share)
    rows = []
    for (group, kind), shares in found.items():
        cells = [f"{GROUPS[group]}: {kind}", str(len(shares)), f"{geometric_mean(shares):.0%}"]
        for peer in peers:
            m = means.get((group, kind, peer))
            cells.append(f"{m.mean:.2f} ({m.worst:.2f})" if m else "")
        rows.append(cells)
    return rows


def _single_rows(results: Results, peers: list[str]) -> list[list[str]]:
    rows = []
    for row in results.rows:
        if row.work.group not in SINGLE or ENGINE not in row.timings:
            continue
        cells = [_single_title(row.work), amount(row.timings[ENGINE].median, row.work.unit)]
        for peer in peers:
            ratio = row.ratio(peer)
            cells.append(f"{ratio:.2f} ({amount(row.timings[peer].median, row.work.unit)})" if ratio else "")
        rows.append(cells)
    return rows


def _single_title(work) -> str:
    batch = f", batch {work.sizes['N']}" if set(work.sizes) == {"network", "N"} else ""
    what = "" if work.group in ("startup", "runs") else f"{GROUPS[work.group].split(':')[0]}: "
    layer = work.layer
    if work.operation.startswith("conv2d_"):  # its three passes are rows of their own
        layer = f"{work.network} {layer} {work.operation.removeprefix('conv2d_').replace('_', '-')}"
    return f"{what}{layer}{batch}"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    used = [i for i in range(len(header)) if i < 2 or any(row[i] for row in rows)]
    lines = [[header[i] for i in used], ["---", *("---:" for _ in used[1:])], *([row[i] for i in used] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]
