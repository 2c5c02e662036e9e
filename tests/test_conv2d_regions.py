"""The regions of the tiled convolution: every output once, with the taps that lie inside the image and no other."""

import numpy as np
import pytest
from cases import conv_cases
from hypothesis import given

from fastconv.backends import select

pytestmark = pytest.mark.skipif(
    select.available()["cpu"] != "ready", reason="the cpu backend is not ready: " + select.available()["cpu"]
)


def taps_of_each_output(line):
    """Walked through one by one: where each output is written, and the taps inside."""
    return {
        line.first + o * line.every: {k for k, place in line.taps if 0 <= o * line.step + place < line.length}
        for o in range(line.size)
    }


def taps_by_stretches(line):
    found = {}
    for stretch in line.stretches():
        for o in range(stretch.size):
            place = stretch.written_at + o * line.every
            assert place not in found
            found[place] = {k for k, _ in stretch.taps}
    return found


@given(case=conv_cases())
def test_stretches_hold_every_output_with_its_taps(case):
    from fastconv.backends.cpu.conv2d_regions import backward_data_lines, forward_lines

    g = case.geometry
    for lines, size in zip(forward_lines(g) + backward_data_lines(g), (g.OH, g.OW, g.H, g.W), strict=True):
        written = {}
        for line in lines:
            assert taps_by_stretches(line) == taps_of_each_output(line)
            written |= taps_of_each_output(line)
        assert sorted(written) == list(range(size))


def test_margins_hold_every_tap(rng):
    from fastconv.backends.cpu.conv2d_regions import Line

    line = Line(size=7, first=0, every=1, step=2, length=9, taps=((0, -3), (1, 0), (2, 3)))
    before, after = line.margins
    assert (before, after) == (3, 7)
    whole = line.padded(before, after)
    assert [(s.start, s.size, len(s.taps)) for s in whole.stretches()] == [(0, 7, 3)]


def test_chunks_hold_every_pixel_once():
    from fastconv.backends.cpu.conv2d_plan import Map, Pass, tile_plan
    from fastconv.backends.cpu.conv2d_regions import forward_lines
    from fastconv.geometry import Conv2dGeometry

    g = Conv2dGeometry.from_shapes((5, 64, 23, 19), (96, 64, 3, 3), padding=1)
    p = Pass(g.N, Map(g.H, g.W, 1, 64), Map(g.OH, g.OW, 1, 96), *forward_lines(g), (3 * 64, 64, 9 * 64, 1))
    plan = tile_plan(p, 4)
    counts = np.zeros(len(plan.regions), int)
    ends = {}
    for region, first, last in plan.pieces:
        assert ends.get(region, 0) == first
        ends[region] = last
        counts[region] += last - first
    assert (counts == g.N * plan.regions[:, 0] * plan.regions[:, 1]).all()
    assert counts.sum() == g.N * g.OH * g.OW
    assert plan.starts[0] == 0
    assert plan.starts[-1] == len(plan.pieces)
    assert (np.diff(plan.starts) > 0).all()
