"""Small matrices as a command line can say them."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError


def matrix(option: str, text: str) -> Any:
    """The rows in "1 2 3 / 4 5 6"; rows of digits alone may be written together, "123/456".

    Raises:
        ArgumentError: it is no such matrix.
    """
    rows = [row.split() for row in text.split("/")]
    if all(len(row) == 1 and row[0].isdigit() for row in rows) and len(rows[0][0]) > 1:
        rows = [list(row[0]) for row in rows]
    try:
        numbers = [[float(word) for word in row] for row in rows]
    except ValueError:
        numbers = []
    if len({len(row) for row in numbers}) != 1 or not numbers[0]:
        raise ArgumentError(f'{option} takes rows of equal length with / between, "1 2 3 / 4 5 6" say, got {text!r}')
    return numbers
