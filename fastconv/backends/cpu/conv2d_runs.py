"""The runs of a region: pieces of its reduction that lie evenly in x and in the packed filters."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .conv2d_regions import Region

Run = tuple[int, int, int]  # element of x from a pixel's own place, row of packed w, length
PLACE_BYTES = 8  # of a place in the list that list_steps makes


def runs_of(
    region: Region, W: int, channels: tuple[int, int], order: dict[tuple[int, int], int], cuts: list[int]
) -> list[Run]:
    """The runs of a region, cut at some rows of packed w; those that follow on one another in x and in w are one.

    W: pixels of a row of x. channels: of x, and of a group. order: a tap's number in packed w.
    """
    C, length = channels
    runs: list[Run] = []
    for (kh, row), (kw, column) in product(region.rows.taps, region.columns.taps):
        place, filters, done = (row * W + column) * C, order[kh, kw] * length, 0
        if runs and (place, filters) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            place, filters, done = runs.pop()
        runs.append((place, filters, done + length))
    for cut in cuts:
        runs = [part for run in runs for part in _cut_run(run, cut)]
    return runs


def _cut_run(run: Run, row: int) -> list[Run]:
    place, filters, length = run
    before = row - filters
    if not 0 < before < length:
        return [run]
    return [(place, filters, before), (place + before, row, length - before)]


def list_steps(runs: list[list[Run]]) -> tuple[npt.NDArray[Any], list[list[Run]]]:
    """The element of x of every step, and runs that start at a number in this list: what follows on in w is one."""
    places: list[int] = []
    listed: list[list[Run]] = []
    for own in runs:
        joined: list[Run] = []
        for place, filters, length in own:
            first, row, done = len(places), filters, 0
            if joined and filters == joined[-1][1] + joined[-1][2]:
                first, row, done = joined.pop()
            joined.append((first, row, done + length))
            places.extend(range(place, place + length))
        listed.append(joined)
    return np.array(places, np.int64), listed


def in_bytes(runs: list[list[Run]], width: int, item: int, listed: bool) -> list[Run]:
    """All runs, as offsets in x or in the list of places, and in blocks of `width` columns."""
    step = PLACE_BYTES if listed else item
    return [(place * step, filters * width * item, length) for own in runs for place, filters, length in own]
