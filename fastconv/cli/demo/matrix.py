"""Small matrices as a command line can say them."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError


def matrix(option: str, text: str) -> Any:
    """The rows in "1 2 3 / 4 5 6"; rows of digits alone may be written together, "123/456"; channels after a semicolon.

    Raises:
        ArgumentError: it is no such matrix, or its channels differ in size.
    """
    channels = [_rows(channel) for channel in text.split(";")]
    sizes = {len(row) for channel in channels for row in channel}
    if len(sizes) != 1 or 0 in sizes or len({len(channel) for channel in channels}) != 1:
        raise ArgumentError(f'{option} takes rows of equal length with / between, "1 2 3 / 4 5 6" say, got {text!r}')
    return channels if len(channels) > 1 else channels[0]


def _rows(text: str) -> list[list[float]]:
    """The numbers row by row; nothing where there is anything else."""
    rows = [row.split() for row in text.split("/")]
    if all(len(row) == 1 and row[0].isdigit() for row in rows) and len(rows[0][0]) > 1:
        rows = [list(row[0]) for row in rows]
    try:
        return [[float(word) for word in row] for row in rows]
    except ValueError:
        return []
