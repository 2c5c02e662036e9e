"""Plans for the tiled convolution kernel: regions, runs, blocks and chunks, made once for a geometry."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.conv2d.tiles import SLICES
from ...kernels.cpu.micro import LISTED, PACKED, RELU, ROWS, STREAM, best_width, block_of
from ...kernels.cpu.pack import pack, packed_size, pad
from ...kernels.cpu.simd import VECTOR_BYTES
from ..launch import lasting, launch, prepare
from ..workspace import scratch
from .conv2d_regions import Lines, Region, margins, regions_of
from .conv2d_runs import Run, in_bytes, list_steps, runs_of

Array = npt.NDArray[Any]
Pads = tuple[int, int, int, int]  # rows above and below, columns left and right

WEIGHT_BYTES = 600_000  # of packed filters that stay in the second-level cache while a chunk passes over them
CHUNK_FLOPS = 6e7  # of a chunk, where the work is enough for FEW_CHUNKS of them
LEAST_FLOPS = 1e6
STREAMED_BYTES = 24e6  # an output beyond this is not in the caches any more when it is read: it is written past them
FEW_CHUNKS = 32
TILE_COST = 8  # of a tile beside its products, in steps of the reduction
SHARES = 8  # that regions are cut into, so that all threads have equally much of each
WORTH_PADDING = 1.1  # times the tiles that are spent rather than a padded copy
SHORT_RUN = 32  # steps: a filter's row that is shorter goes into a list of all steps,
LISTED_VECTORS = 3  # where blocks are so wide that the few rows leave registers for it


@dataclass(frozen=True)
class Map:
    """A channels-last map in G groups of channels."""

    H: int
    W: int
    G: int
    channels: int  # of one group

    @property
    def C(self) -> int:
        return self.G * self.channels

    def steps(self, row: int, column: int, item: int) -> tuple[int, int, int]:
        """Bytes to the next image, `row` rows down, `column` columns on."""
        line = self.W * self.C * item
        return self.H * line, row * line, column * self.C * item


@dataclass(frozen=True)
class Pass:
    """A forward or a backward-data pass over N images: what is read and written, and the lines of pixels.

    w_steps: elements of w from a tap's row to the next, from a tap to the next, from a channel of the target to the
    next, from one of the source to the next.
    """

    N: int
    source: Map
    target: Map
    rows: Lines
    columns: Lines
    w_steps: tuple[int, int, int, int]

    @property
    def regions(self) -> list[Region]:
        return regions_of(self.rows, self.columns)

    def padded(self) -> tuple[Pass, Pads]:
        """The same pass over a source with zeros around it, so that every tap lies inside; and how many zeros."""
        (top, bottom), (left, right), s = margins(self.rows), margins(self.columns), self.source
        source = Map(s.H + top + bottom, s.W + left + right, s.G, s.channels)
        rows = [line.padded(top, bottom) for line in self.rows]
        columns = [line.padded(left, right) for line in self.columns]
        return Pass(self.N, source, self.target, rows, columns, self.w_steps), (top, bottom, left, right)

    def tiles(self, MR: int) -> int:
        """Tiles of MR pixels times their taps."""
        return sum(-(-self.N * region.pixels // MR) * region.taps for region in self.regions)


@dataclass(frozen=True)
class TilePlan:
    """The arguments of `conv2d_tiles` that do not change from call to call, and how x and w are made ready for it.

    places: of the steps of listed runs, or nothing. widths: vectors of a whole block and of the last one. taps: element
    of a group's w where each packed tap starts. pads: of zeros in a copy of x; none where x is read as it is.
    """

    regions: Array
    runs: Array
    places: Array
    pieces: Array
    starts: Array
    p: tuple[tuple[int, ...], ...]
    widths: tuple[int, int]
    taps: Array
    pack: tuple[int, int, int, int, int]
    pads: Pads

    @property
    def slices(self) -> int:
        """Parts of the reduction that y is added up from."""
        return self.regions.shape[1] - SLICES - 1

    def run(self, y: Array, x: Array, w: Array, bias: Array | None = None, relu: bool = False) -> None:
        """Fill y; y, x and w contiguous."""
        _, _, (G, columns, _, _), (_, group_bytes, _) = self.p
        lanes = VECTOR_BYTES // y.itemsize
        start = bias if bias is not None and columns % lanes == 0 else _padded_bias(bias, G, columns, y.dtype)
        packed = lasting("conv2d filters", (G, group_bytes // w.itemsize), w.dtype)
        if packed.size:
            for group, filters in enumerate(w.reshape(G, -1)):
                prepare(pack, packed[group], filters, self.taps, self.pack)
        walk = LISTED if len(self.places) else PACKED
        micro = tuple(block_of(walk, y.itemsize, width) for width in self.widths)
        launch(
            kernels.conv2d_tiles, y.reshape(-1), with_margins(x, self.pads).reshape(-1), packed.reshape(-1),
            start.reshape(-1), self.regions, self.runs, self.places, self.pieces, self.starts,
            (*self.p, self._act(y, relu), micro),
        )  # fmt: skip

    def _act(self, y: Array, relu: bool) -> int:
        """What is done with results: the micro-kernel's number."""
        whole = y.ctypes.data % VECTOR_BYTES == 0 and self.p[2][1] * y.itemsize % VECTOR_BYTES == 0
        stream = whole and y.nbytes > STREAMED_BYTES and self.slices == 1
        return RELU * relu + STREAM * stream


def _padded_bias(bias: Array | None, G: int, columns: int, dtype: Any) -> Array:
    """For each group the bias, or zeros, in whole vectors."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    start = lasting("conv2d start", (G, -(-columns // lanes) * lanes), dtype)
    prepare(start.fill, 0)
    if bias is not None:
        prepare(np.copyto, start[:, :columns], bias.reshape(G, columns))
    return start


def with_margins(x: Array, pads: Pads) -> Array:
    """x [N, H, W, C] with zeros around it, in scratch memory; x itself where there are none to add."""
    if not any(pads):
        return x
    N, H, W, C = x.shape
    top, bottom, left, right = pads
    padded = scratch("conv2d padded", (N, H + top + bottom, W + left + right, C), x.dtype)
    launch(pad, padded, x, (top, left))
    return padded


def tile_plan(p: Pass, item: int, merged: bool = False) -> TilePlan:
    """Cut a pass.

    merged: whether a filter's row shall be one run, which takes a padded copy of x, unless all steps are listed.
    """
    widths = _widths(p.target.channels, item)
    MR = ROWS[widths[0]]
    listed = _worth_listing(p, widths)
    over_zeros, pads = p.padded()
    if any(pads) and ((merged and not listed) or p.tiles(MR) > WORTH_PADDING * over_zeros.tiles(MR)):
        return _cut(over_zeros, pads, item, widths, listed)
    return _cut(p, (0, 0, 0, 0), item, widths, listed)


def _widths(channels: int, item: int) -> tuple[int, int]:
    """Vectors of a whole block and of the last one."""
    width = best_width(channels, item)
    vectors = -(-channels * item // VECTOR_BYTES)
    return width, vectors - (-(-vectors // width) - 1) * width


def _worth_listing(p: Pass, widths: tuple[int, int]) -> bool:
    """Whether the steps of a pixel's runs shall be listed, so that all of them are one run."""
    row = max(len(line.taps) for line in p.columns) * p.source.channels
    return row < SHORT_RUN and max(len(line.taps) for line in p.rows) > 1 and min(widths) >= LISTED_VECTORS


def _cut(p: Pass, pads: Pads, item: int, widths: tuple[int, int], listed: bool) -> TilePlan:
    s, t, lanes, width = p.source, p.target, VECTOR_BYTES // item, widths[0]
    blocks = -(-t.channels // (width * lanes))
    # Taps are packed phase by phase, each by ascending place: what lies side by side in x does so in w.
    taps = list(product((k for line in p.rows for k, _ in line.taps), (k for line in p.columns for k, _ in line.taps)))
    depth = len(taps) * s.channels
    block_bytes = depth * width * lanes * item
    parts = _parts(s.G * blocks, block_bytes)
    row_step, tap_step, target_step, source_step = p.w_steps
    order = {tap: number for number, tap in enumerate(taps)}
    slices = max(1, -(-block_bytes // WEIGHT_BYTES))
    cuts = [depth * k // slices for k in range(1, slices)]
    runs = [runs_of(region, s.W, (s.C, s.channels), order, cuts) for region in p.regions]
    places = np.empty(0, np.int64)
    if listed and slices == 1:
        places, runs = list_steps(runs)
    pieces, starts = _pieces(p, runs, ROWS[width], 2 * min(t.channels, width * lanes), s.G * blocks, parts)
    return TilePlan(
        _regions(p, runs, cuts, item),
        np.array([in_bytes(runs, w * lanes, item, len(places) > 0) for w in widths], np.int64).reshape(2, -1, 3),
        places * item,
        pieces,
        starts,
        (
            s.steps(p.rows[0].step, p.columns[0].step, item),
            t.steps(p.rows[0].every, p.columns[0].every, item),
            (s.G, t.channels, blocks, parts),
            (s.channels * item, packed_size(depth, t.channels, item) * item, block_bytes),
        ),
        widths,
        np.array([kh * row_step + kw * tap_step for kh, kw in taps], np.int64),
        (t.channels, s.channels, target_step, source_step, width),
        pads,
    )


def _parts(blocks: int, block_bytes: int) -> int:
    """How many that all blocks are dealt out in: one stays in the cache, and halves of them all are equal."""
    parts = -(-blocks // max(1, WEIGHT_BYTES // max(1, block_bytes)))
    return parts + (blocks % parts > 0 and parts % 2 == 0)


def _regions(p: Pass, runs: list[list[Run]], cuts: list[int], item: int) -> Array:
    """The kernel's table of regions."""
    table = np.empty((len(runs), SLICES + len(cuts) + 2), np.int64)
    done = 0
    for n, (region, own) in enumerate(zip(p.regions, runs, strict=True)):
        down, across = region.rows, region.columns
        x0 = down.start * down.line.step * p.source.W + across.start * across.line.step
        y0 = down.written_at * p.target.W + across.written_at
        table[n, :SLICES] = down.size, across.size, x0 * p.source.C * item, y0 * p.target.C * item
        rows = [filters for _, filters, _ in own]
        table[n, SLICES:] = [done, *(done + bisect_left(rows, cut) for cut in cuts), done + len(own)]
        done += len(own)
    return table


def _pieces(p: Pass, runs: list[list[Run]], MR: int, flops: int, blocks: int, parts: int) -> tuple[Array, Array]:
    """Pixels in chunks of about equal work: (region, first and last + 1 pixel) of all pieces; each chunk's first piece.

    flops: of a pixel and a block, for each element of the runs.
    """
    costs = [TILE_COST + sum(length for _, _, length in own) for own in runs]
    tiles = [-(-p.N * region.pixels // MR) for region in p.regions]
    total = sum(cost * count for cost, count in zip(costs, tiles, strict=True))
    work = total * MR * flops * blocks
    chunks = min(work / LEAST_FLOPS, max(FEW_CHUNKS, work / CHUNK_FLOPS))
    chunks = max(1, 2 * round(chunks / parts / 2))
    pieces, starts, spent = [], [0], 0
    for share, n in product(range(SHARES), range(len(tiles))):
        first, last = (tiles[n] * k // SHARES for k in (share, share + 1))
        while first < last:
            room = total * len(starts) / chunks - spent
            until = min(first + max(1, round(room / costs[n])), last)
            pieces.append((n, first * MR, min(until * MR, p.N * p.regions[n].pixels)))
            spent += (until - first) * costs[n]
            first = until
            if spent + costs[n] / 2 > total * len(starts) / chunks and len(starts) < chunks:
                starts.append(len(pieces))
    return np.array(pieces, np.int64), np.array([*starts, len(pieces)], np.int64)
