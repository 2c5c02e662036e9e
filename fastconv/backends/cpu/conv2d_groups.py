"""Plans for convolution in small groups, depthwise included: vectors, pieces without dilation, and how they are cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ...geometry import Conv2dGeometry
from ...kernels.cpu.conv2d import groups as kernels
from ...kernels.cpu.conv2d.groups_forms import filter_walk, product_walk
from ...kernels.cpu.simd import REGISTERS, VECTOR_BYTES
from ..launch import launch, launches
from ..workspace import scratch
from .conv2d_axes import Axis, blocks, phases, thinned

Array = npt.NDArray[Any]

# Deeper groups fill the tiles of conv2d_tiles.py, which take two vectors at a time.
MOST_DEPTH = 64  # channels of a group that are read
FILTER_BYTES = 40 * 1024  # of one vector's filters: they stay in the first-level cache while a walk passes over them
MOST_TAPS = 7  # of a row or column of the filter in a piece: their code is written out
MOST_PIXELS = 7  # of a column that is walked down: divides the widths 7, 14, 28, 56, 112
FILTERS = 9 if REGISTERS == 32 else 3  # vectors of the filter that keep a register; others are read where they are met
SUMS = 24 if REGISTERS == 32 else 9  # of dw that stay in registers
# Neighbours that lie a multiple of so many bytes apart fall on the same lines of the first-level cache. Walks that
# write them stop after some rows, before their stores displace one another; after one row where the phases of a
# strided backward-data leave little to compute for a store. Strided backward-weight reads such neighbours again and
# again.
ALIAS = 2048
BAND, PHASE_BAND, WEIGHT_BAND = 5, 1, 3
PARTS = 8  # of the images, with sums of dw of their own: fixed, so that sums do not depend on the threads
CHUNKS = 16  # pieces of work for the threads, where there is work for so many
CHUNK = 32768  # multiply-adds that are worth a chunk
SPLIT = 4  # vectors of channels at least in a part of them


def declines_forward(g: Conv2dGeometry) -> str | None:
    """Why `forward` does not serve a problem, or None."""
    return declines_weight(g) or _declines_depth(g, g.C // g.G)


def declines_data(g: Conv2dGeometry) -> str | None:
    """Why `backward_data` does not serve a problem, or None."""
    return declines_weight(g) or _declines_depth(g, g.OC // g.G)


def declines_weight(g: Conv2dGeometry) -> str | None:
    """Why `backward_weight` does not serve a problem, or None."""
    return "one group" if g.G == 1 else None


def _declines_depth(g: Conv2dGeometry, depth: int) -> str | None:
    taps = min(g.KH, MOST_TAPS) * min(g.KW, MOST_TAPS)
    if depth > MOST_DEPTH:
        return f"groups of {depth} channels fill tiles"
    if depth > 1 and taps * depth * VECTOR_BYTES > FILTER_BYTES:
        return f"{g.KH} x {g.KW} filters of {depth} channels do not stay in the first-level cache"
    return None


@launches
def forward(y: Array, x: Array, w: Array, b: Array, g: Conv2dGeometry, relu: bool = False) -> None:
    """y = b + conv(x, w), its negative values 0 where `relu` says so; y, x, w channels-last."""
    _run(y, x, w, b, _forward_plan(g, y.itemsize), int(relu))


@launches
def backward_data(dx: Array, dy: Array, w: Array, g: Conv2dGeometry) -> None:
    """dx from dy and w, all channels-last."""
    _run(dx, dy, w, np.empty(0, dx.dtype), _backward_plan(g, dx.itemsize))


def backward_weight(dw: Array, db: Array, dy: Array, x: Array, g: Conv2dGeometry) -> None:
    """dw and db from dy and x, all channels-last."""
    plan = _weight_plan(g, dw.itemsize)
    sums = scratch("conv2d sums", plan.sums, dw.dtype)
    kernels.conv2d_groups_weight(
        dw.reshape(-1), db, sums, dy.reshape(-1), x.reshape(-1), plan.table, plan.pieces, plan.p
    )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The arguments of a kernel that do not change from call to call; sums: the shape of its scratch."""

    table: Array
    pieces: Array
    p: tuple[int, ...]
    origins: Array
    sums: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lanes:
    """How channels lie in vectors, for groups of I channels read and O written.

    together: groups that share a vector, 1 where a vector lies within a group. masked: vectors do not overlap.
    """

    G: int
    I: int
    O: int
    count: int
    masked: bool

    @property
    def together(self) -> int:
        return max(1, self.count // max(self.I, self.O))

    @property
    def form(self) -> tuple[int, int]:
        """I and O of the forms."""
        return (self.I, self.O) if self.together > 1 else (0, 0)

    def vectors(self) -> list[tuple[int, int, int, int, int]]:
        """(first channel of y, of x, lanes in y, in x, first lane that is not in the vector before)."""
        if self.together == 1:
            within = self._spans(self.O, self.count)
            return [(n * self.O + k, n * self.I, lanes, 1, old) for n in range(self.G) for k, lanes, old in within]
        spans = self._spans(self.G, self.together)
        return [(n * self.O, n * self.I, m * self.O, m * self.I, old * self.O) for n, m, old in spans]

    def _spans(self, size: int, most: int) -> list[tuple[int, int, int]]:
        """`size` things in runs of `most`: (first, number, how many the run before has too)."""
        if self.masked:
            return [(k, min(most, size - k), 0) for k in range(0, size, most)]
        starts = [(k, min(k, size - most)) for k in range(0, size, most)]
        return [(first, most, k - first) for k, first in starts]


def _lanes(G: int, I: int, O: int, item: int, apart: bool) -> Lanes:
    """apart: a channel must not be in two vectors."""
    count = VECTOR_BYTES // item
    together = max(1, count // max(I, O))
    if together > 1:
        overlaps = I == O and together * I == count and together <= G
        whole = G % together == 0
    else:
        overlaps = count <= O
        whole = O % count == 0
    return Lanes(G, I, O, count, not overlaps or (apart and not whole))


def _run(y: Array, x: Array, w: Array, b: Array, plan: Plan, act: int = 0) -> None:
    vectors, lanes = plan.origins.shape
    packed = scratch("conv2d filters", (vectors * plan.p[1] * plan.p[2] * lanes,), w.dtype)
    start = scratch("conv2d start", (vectors * lanes,), w.dtype)
    launch(
        kernels.conv2d_groups, y.reshape(-1), x.reshape(-1), w.reshape(-1), b, packed, start,
        plan.table, plan.origins, plan.pieces, (*plan.p, act),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _forward_plan(g: Conv2dGeometry, item: int) -> Plan:
    CG, KG, T = g.C // g.G, g.OC // g.G, g.KH * g.KW
    rows = thinned(0, 1, g.OH, (0, 1, g.KH), -g.PH, g.SH, g.DH, g.H)
    columns = thinned(0, 1, g.OW, (0, 1, g.KW), -g.PW, g.SW, g.DW, g.W)
    sizes = (g.N, g.OH, g.OW, g.OC), (g.H, g.W, g.C)
    return _plan(g, (CG, KG), list(rows), list(columns), sizes, np.arange(g.OC) * T * CG, 1, item)


@lru_cache(maxsize=1024)
def _backward_plan(g: Conv2dGeometry, item: int) -> Plan:
    CG, KG, T = g.C // g.G, g.OC // g.G, g.KH * g.KW
    rows = phases(g.H, g.PH, g.KH, g.SH, g.DH, g.OH)
    columns = phases(g.W, g.PW, g.KW, g.SW, g.DW, g.OW)
    sizes = (g.N, g.H, g.W, g.C), (g.OH, g.OW, g.OC)
    c = np.arange(g.C)
    return _plan(g, (KG, CG), list(rows), list(columns), sizes, c // CG * KG * T * CG + c % CG, T * CG, item)


def _plan(
    g: Conv2dGeometry, groups: tuple[int, int], rows: list[Axis], columns: list[Axis],
    sizes: tuple[tuple[int, ...], tuple[int, ...]], channels: Array, step: int, item: int,
) -> Plan:  # fmt: skip
    """The pieces of forward or backward-data.

    groups: channels of a group that are read and written. sizes: of what is written, (N, I, J, C), and of what is
    read, (H, W, C). channels: where each channel's filters begin in w; step: from input channel to input channel.
    """
    (N, I, J, C), (H, W, CX) = sizes
    pairs = list(product(*([b for axis in axes for b in blocks(axis, MOST_TAPS)] for axes in (rows, columns))))
    lanes = _lanes(g.G, *groups, item, any(r.again or c.again for r, c in pairs))
    depth, tap = groups[0], groups[0] * VECTOR_BYTES
    form = partial(_address, filter_walk, lanes.form, lanes.masked, item)
    kept = lanes.together > 1 and depth > 1
    pieces = [
        _piece(r, c, (C * item, CX * item, J, W), (g.KW * tap, tap), form, FILTERS, kept=kept) for r, c in pairs
    ]  # fmt: skip
    most = max(axis.count for axis in rows)
    aliases = depth == 1 and C * item * columns[0].step % ALIAS == 0
    band = (BAND if len(columns) == 1 else PHASE_BAND) if aliases else most
    work = N * C * depth * sum(r.count * r.taps * c.count * c.taps for r, c in product(rows, columns))
    vectors = lanes.vectors()
    bands, splits = _cut(N, most, len(vectors), work, -(-most // band))
    origins = np.full((len(vectors), lanes.count), -1, np.int64)
    for own, (first, _, count, _, _) in zip(origins, vectors, strict=True):
        own[:count] = channels[first : first + count]
    p = (N, g.KH * g.KW, depth, g.C // g.G, step, I * J * C * item, H * W * CX * item, bands, splits)
    return Plan(_table(vectors, item), np.array(pieces, np.int64), p, origins)


@lru_cache(maxsize=1024)
def _weight_plan(g: Conv2dGeometry, item: int) -> Plan:
    lanes = _lanes(g.G, g.C // g.G, g.OC // g.G, item, False)
    depth, T = lanes.I, g.KH * g.KW
    at_once = depth if lanes.together > 1 else max(n for n in range(1, SUMS // min(g.KW, 3) + 1) if depth % n == 0)
    rows = thinned(0, 1, g.OH, (0, 1, g.KH), -g.PH, g.SH, g.DH, g.H)
    columns = thinned(0, 1, g.OW, (0, 1, g.KW), -g.PW, g.SW, g.DW, g.W)
    wide = [b for axis in columns for b in blocks(axis, min(MOST_TAPS, max(1, SUMS // at_once)))]
    most = max(1, SUMS // at_once // max(c.taps for c in wide))
    form = partial(_address, product_walk, (at_once, lanes.form[1]), lanes.masked, item)
    tap = depth * VECTOR_BYTES
    sizes = g.OC * item, g.C * item, g.OW, g.W
    pieces = [
        _piece(r, c, sizes, (g.KW * tap, tap), form, SUMS, at_once)
        for r, c in product([b for axis in rows for b in blocks(axis, most)], wide)
    ]  # fmt: skip
    aliases = depth > 1 and g.SW > 1 and g.C * item % ALIAS == 0
    bands = min(g.OH, max(-(-PARTS // g.N), -(-g.OH // WEIGHT_BAND) if aliases else 1))
    parts = min(PARTS, g.N * bands)
    vectors = lanes.vectors()
    splits = _splits(len(vectors), CHUNKS // parts)
    p = (g.N, depth, at_once, g.OH * g.OW * g.OC * item, g.H * g.W * g.C * item, bands, splits)
    sums = parts, len(vectors), T * depth + 1, lanes.count
    return Plan(_table(vectors, item), np.array(pieces, np.int64), p, np.empty((0, 0), np.int64), sums)


def _table(vectors: list[tuple[int, int, int, int, int]], item: int) -> Array:
    return np.array([(y * item, x * item, *rest) for y, x, *rest in vectors], np.int64)


def _cut(N: int, rows: int, vectors: int, work: int, bands: int) -> tuple[int, int]:
    """Into how many parts the rows and the vectors of an image go."""
    wanted = min(CHUNKS, work // CHUNK)
    splits = _splits(vectors, -(-wanted // (N * bands)))
    return min(rows, max(bands, -(-wanted // (N * splits)))), splits


def _splits(vectors: int, wanted: int) -> int:
    return max(1, min(wanted, vectors // SPLIT))


def _address(
    walk: Callable[..., Any], groups: tuple[int, int], masked: bool, item: int, pixels: int, *shape: int
) -> int:
    """Where the form for columns of so many pixels is; 0 for none."""
    return walk(pixels, *shape, *groups, masked, item).address if pixels else 0


def _piece(
    r: Axis, c: Axis, sizes: tuple[int, ...], steps: tuple[int, int], form: Callable[..., int], held: int,
    channels: int = 1, kept: bool = False,
) -> tuple[int, ...]:  # fmt: skip
    """A row of the kernels' table.

    sizes: bytes of a pixel of y, of x, pixels of a row of y, of x. steps: of the filter's rows and columns. form: gives
    the address for (pixels, KH, KW, SH, SW). held: how many vectors of a filter with so many `channels` keep registers
    that do not move with the rows. kept: whether the pixels of a row of x are, too.
    """
    y_pixel, x_pixel, y_width, x_width = sizes
    KH, KW = (r.taps, c.taps) if r.taps and c.taps else (0, 0)
    SH = r.stride if KH and r.count > 1 else max(KH, 1)
    SW = c.stride if KH else 1
    moving, held = max(1, -(-KH // SH)), min(held, KH * KW * channels)
    each, more = (moving + SW, KW - SW + 1) if kept else (moving, 0)
    number = -(-c.count // max(1, min(MOST_PIXELS, (REGISTERS - 2 - held - more) // each)))
    pixels = -(-c.count // number)
    narrow = number * pixels - c.count
    shape = KH, KW, SH, SW
    return (
        pixels, form(pixels, *shape), pixels - 1, form(pixels - 1 if narrow else 0, *shape), narrow,
        (r.first * y_width + c.first) * y_pixel, r.step * y_width * y_pixel, c.step * y_pixel, r.count, c.count,
        ((r.residue + r.place * r.lattice) * x_width + c.residue + c.place * c.lattice) * x_pixel,
        r.lattice * x_width * x_pixel, c.lattice * x_pixel, r.place, r.size, c.place, c.size, SH, SW,
        r.tap * steps[0] + c.tap * steps[1], r.tap_step * steps[0], c.tap_step * steps[1], r.again or c.again,
    )  # fmt: skip
