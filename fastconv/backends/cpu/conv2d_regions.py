"""The regions of a convolution: which pixels of the output meet which taps inside the image.

Along one axis the outputs that meet the same taps are neighbours: a stretch. A stretch of rows by one of columns is a
region. Inside it no tap needs a check, and none is multiplied with padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ...geometry import Conv2dGeometry

Taps = tuple[tuple[int, int], ...]  # (number in the filter, place of the input from the output's own)


@dataclass(frozen=True)
class Line:
    """One axis of a pass, or one phase of it.

    Output o < size is written at first + o * every and meets each tap at o * step + place of `length` inputs; taps in
    ascending place.
    """

    size: int
    first: int
    every: int
    step: int
    length: int
    taps: Taps

    def stretches(self) -> list[Stretch]:
        """The outputs, cut where the taps change that lie inside."""
        spans = [(tap, *self._span(tap[1])) for tap in self.taps]
        cuts = sorted({0, self.size, *(o for _, start, end in spans for o in (start, end))})
        return [
            Stretch(self, start, end - start, tuple(tap for tap, begin, stop in spans if begin <= start < stop))
            for start, end in pairwise(cuts)
        ]

    def _span(self, place: int) -> tuple[int, int]:
        """First and last + 1 of the outputs whose tap at `place` lies inside."""
        start = min(max(0, -(place // self.step)), self.size)
        return start, min(max(start, -((place - self.length) // self.step)), self.size)

    @property
    def margins(self) -> tuple[int, int]:
        """How far the taps reach beyond the first and the last input."""
        places = [place for _, place in self.taps] or [0]
        return max(0, -min(places)), max(0, (self.size - 1) * self.step + max(places) + 1 - self.length)

    def padded(self, before: int, after: int) -> Line:
        """The same line over inputs with margins."""
        taps = tuple((k, place + before) for k, place in self.taps)
        return replace(self, length=before + self.length + after, taps=taps)


@dataclass(frozen=True)
class Stretch:
    """`size` outputs of a line from `start` on, and the taps that they meet."""

    line: Line
    start: int
    size: int
    taps: Taps

    @property
    def written_at(self) -> int:
        """Where its first output is written."""
        return self.line.first + self.start * self.line.every


@dataclass(frozen=True)
class Region:
    """Pixels that meet the same taps."""

    rows: Stretch
    columns: Stretch

    @property
    def pixels(self) -> int:
        return self.rows.size * self.columns.size

    @property
    def taps(self) -> int:
        return len(self.rows.taps) * len(self.columns.taps)


Lines = Sequence[Line]


def regions_of(rows: Lines, columns: Lines) -> list[Region]:
    """Every stretch of the rows by every stretch of the columns."""
    across = [stretch for line in columns for stretch in line.stretches()]
    return [Region(down, stretch) for line in rows for down in line.stretches() for stretch in across]


def margins(lines: Lines) -> tuple[int, int]:
    """The widest margins of some lines."""
    each = [line.margins for line in lines]
    return max(before for before, _ in each), max(after for _, after in each)


def forward_lines(g: Conv2dGeometry) -> tuple[Lines, Lines]:
    """The lines of rows and of columns of y."""
    rows = tuple((k, k * g.DH - g.PH) for k in range(g.KH))
    columns = tuple((k, k * g.DW - g.PW) for k in range(g.KW))
    return [Line(g.OH, 0, 1, g.SH, g.H, rows)], [Line(g.OW, 0, 1, g.SW, g.W, columns)]


def backward_data_lines(g: Conv2dGeometry) -> tuple[Lines, Lines]:
    """The lines of rows and of columns of dx: one for each phase of the stride."""
    return _phases(g.H, g.OH, g.KH, g.SH, g.PH, g.DH), _phases(g.W, g.OW, g.KW, g.SW, g.PW, g.DW)


def _phases(size: int, length: int, K: int, S: int, P: int, D: int) -> Lines:
    """dx at i * S + phase meets tap k of dy at i + (phase + P - k * D) / S, where that is whole."""
    lines = []
    for phase in range(min(S, size)):
        taps = [(k, (phase + P - k * D) // S) for k in reversed(range(K)) if (phase + P - k * D) % S == 0]
        lines.append(Line(-(-(size - phase) // S), phase, S, 1, length, tuple(taps)))
    return lines
