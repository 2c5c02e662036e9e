"""One axis of a convolution taken apart into pieces without dilation whose pixels all meet the same taps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Axis:
    """One axis of a piece: its pixels in y, its taps in the filter, and x thinned out to the places that they meet.

    x's places are residue, residue + lattice, ...: `size` of them; the first tap of the first pixel is at the one
    numbered `place`, and each pixel `stride` further.
    """

    first: int
    step: int
    count: int
    tap: int
    tap_step: int
    taps: int
    residue: int
    lattice: int
    size: int
    place: int
    stride: int
    again: bool = False  # whether an earlier piece has the same pixels with other taps


def thinned(
    first: int, step: int, count: int, taps: tuple[int, int, int], place: int, stride: int, dilation: int, size: int
) -> Iterator[Axis]:
    """`count` pixels whose taps (first, step, number of them) lie `dilation` apart: an axis for each residue that
    x's places leave."""
    dilation = dilation if taps[2] > 1 else 1
    common = math.gcd(stride, dilation)
    every = dilation // common
    for k in range(min(every, count)):
        number, residue = divmod(place + k * stride, dilation)
        yield Axis(
            first + k * step, every * step, -(-(count - k) // every), *taps,
            residue, dilation, max(0, -(-(size - residue) // dilation)), number, stride // common,
        )  # fmt: skip


def phases(count: int, pad: int, K: int, S: int, D: int, size: int) -> Iterator[Axis]:
    """The axes of backward-data: pixels of dx that meet the same taps k, those with (pixel + pad - k*D) / S whole."""
    common = math.gcd(S, D)
    for phase in range(min(S, count)):
        met = [k for k in range(K) if (phase + pad - k * D) % S == 0][::-1]
        taps = (met[0], -(S // common), len(met)) if met else (0, 0, 0)
        place = (phase + pad - met[0] * D) // S if met else 0
        yield from thinned(phase, S, -(-(count - phase) // S), taps, place, 1, D // common, size)


def blocks(axis: Axis, most: int) -> Iterator[Axis]:
    """The same pixels with `most` of the taps at a time."""
    parts = max(1, -(-axis.taps // most))
    for k in range(parts):
        done, end = k * axis.taps // parts, (k + 1) * axis.taps // parts
        yield replace(
            axis, tap=axis.tap + done * axis.tap_step, taps=end - done, place=axis.place + done, again=k > 0
        )  # fmt: skip
