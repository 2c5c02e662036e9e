"""The regions of the tiled convolution: every output once, with the taps that lie inside the image and no other."""

from itertools import pairwise

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


@pytest.mark.parametrize(
    ("C", "OC", "stride", "direction"),
    [(256, 1024, 1, "forward"), (832, 384, 1, "backward_data"), (64, 128, 2, "backward_data")],
)
def test_two_threads_have_equal_halves(C, OC, stride, direction):
    from fastconv.backends.cpu.conv2d_tiles import _backward_data_plan, _forward_plan
    from fastconv.geometry import Conv2dGeometry
    from fastconv.kernels.cpu.conv2d.tiles import SLICES
    from fastconv.kernels.cpu.micro import ROWS

    g = Conv2dGeometry.from_shapes((16, C, 28, 28), (OC, C, 1, 1), stride=stride)
    plan = {"forward": _forward_plan, "backward_data": _backward_data_plan}[direction](g, 4)
    blocks, parts = plan.p[2][2:]
    shares = np.diff([(blocks * part + parts // 2) // parts for part in range(parts + 1)])
    assert shares.sum() == blocks
    lengths = [plan.runs[0, own[SLICES] : own[-1], 2].sum() for own in plan.regions]
    tiles = [
        sum(-(-(last - first) // ROWS[plan.widths[0]]) * (8 + lengths[n]) for n, first, last in plan.pieces[begin:end])
        for begin, end in pairwise(plan.starts)
    ]
    work = np.outer(shares, tiles).ravel()
    assert work[: len(work) // 2].sum() == pytest.approx(work.sum() / 2, rel=0.05)


def test_listed_steps_are_those_of_the_runs():
    from fastconv.backends.cpu.conv2d_runs import list_steps

    runs = [[(5, 0, 3), (40, 3, 2), (60, 9, 2)], [], [(7, 2, 2)]]
    places, listed = list_steps(runs)
    assert places.tolist() == [5, 6, 7, 40, 41, 60, 61, 7, 8]
    assert listed == [[(0, 0, 5), (5, 9, 2)], [], [(7, 2, 2)]]
