"""Tables as text: as wide as they are, or row by row on a terminal that is narrower."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WIDEST = 10_000
INDENT = 4
BREAK = " · "


def show(what: Any) -> None:
    """Print a table, or what `rich` prints as one: whole where it fits or where nobody looks, else row by row.

    A terminal narrower than the table would get columns with their words cut to pieces. In a pipe or a file, lines
    are as long as they need to be.
    """
    from rich.console import Console

    table: Table = what if not hasattr(what, "__rich__") else what.__rich__()
    console = Console()
    if not console.is_terminal:
        print(as_text(table))
    elif _whole_width(table) > console.width:
        print(_blocks(table, console.width))
    else:
        console.print(table)


def as_text(table: Table) -> str:
    """The whole table, without colours."""
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=_whole_width(table), color_system=None)
    with console.capture() as text:
        console.print(table)
    return "\n".join(line.rstrip() for line in text.get().splitlines())


def _whole_width(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(width=WIDEST)
    return Measurement.get(console, console.options, table).maximum


def _blocks(table: Table, width: int) -> str:
    """Every row as a line of its first two cells, and below it what its other columns say, by name."""
    titles = [str(column.header).replace("\n", " ") for column in table.columns]
    rows = [list(map(str, cells)) for cells in zip(*(column.cells for column in table.columns), strict=True)]
    if table.show_footer:
        rows.append([str(column.footer) for column in table.columns])
    lines = [] if table.title is None else [str(table.title), ""]
    for row in rows:
        lines.append("  ".join(cell for cell in row[:2] if cell))
        facts = [f"{title} {cell}" for title, cell in zip(titles[2:], row[2:], strict=True) if cell not in ("", "-")]
        lines += _wrapped(facts, width)
    if table.caption is not None:
        lines += ["", *textwrap.wrap(str(table.caption), width)]
    return "\n".join(lines)


def _wrapped(facts: list[str], width: int) -> list[str]:
    """As many facts on a line as fit; a fact is broken only where it is longer than a line."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(BREAK) + len(fact) <= width:
            lines[-1] += BREAK + fact
        else:
            indent = " " * INDENT
            lines += textwrap.wrap(fact, width, initial_indent=indent, subsequent_indent=2 * indent)
    return lines
