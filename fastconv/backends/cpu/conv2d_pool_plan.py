"""How the fused convolution and pooling are cut: the arguments of their kernels that follow from the sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ...geometry import Conv2dGeometry, Pool2dGeometry
from ...kernels.cpu.activation import NONE
from ...kernels.cpu.conv2d.pooled_data import filter_row_products
from ...kernels.cpu.conv2d.pooled_gradient import activation_gradient, pool_gradient
from ...kernels.cpu.conv2d.pooled_tile import LANES, pooled_tile
from ...kernels.cpu.conv2d.pooled_weight import weight_of_largest, weight_of_map
from ...kernels.cpu.simd import REGISTERS
from .pointwise import KINDS

ACCUMULATORS = 24 if REGISTERS == 32 else 12
POSITIONS = 30 if REGISTERS == 32 else 14  # of the filter, a vector each, that a block of dw holds
FILTER_BYTES = 384 * 1024  # of a block of filters: it stays in the second-level cache
# A tile reads its block of filters twice, once for each row of a window: from the first-level cache at the speed of the
# products, from the second-level one at half of it. AMD Zen 5, 2 cores, batch 32: the parts take 1.04 to 1.7 times as
# long up to 19 KB, 0.93 to 0.98 times with 18 KB and 16 channels, 0.70 to 0.86 times from 37 KB on.
NEAR_FILTER_BYTES = 20 * 1024
BAND_FLOPS = 2e6  # work of a band
LEAST_FLOPS = 6e5  # of one image that two threads share
BANDS = 32  # parts of forward, each with a place for rows of x
PARTS = 16  # of the images, each with sums of its own: fixed, so that sums do not depend on the threads
IMAGE_BYTES = 512 * 1024  # of an image's pixels as backward reads them: they stay in the second-level cache
GRADIENT_STEPS = 6  # the time of reading a vector of the gradient, in multiply-adds
SUMS_BYTES = 2_400_000  # of private sums that are worth their traffic

# Every size of a tile is code of its own, compiled when it is first needed: few sizes, so that new shapes find theirs.
SIZES = (1, 2, 3, 4, 5, 7, 8, 10, 12)
BLOCKS = ((1, 1), (1, 4), (1, 10), (1, 15), (1, 30), (3, 3), (3, 8), (5, 5), (5, 6))
PIXELS = 12 if REGISTERS == 32 else 5  # of a tile of backward-data


@dataclass(frozen=True)
class ForwardPlan:
    """The arguments of the forward kernel that do not change from call to call, and the elements of its scratch."""

    tile: int
    p: tuple[int, ...]
    packed: int
    start: int
    room: int


@dataclass(frozen=True)
class BackwardPlan:
    """As ForwardPlan, of a backward kernel."""

    forms: tuple[int, ...]
    p: tuple[int, ...]
    sums: int
    packed: int
    room: int


def declines(g: Conv2dGeometry, pool: Pool2dGeometry, kind: str) -> str | None:
    """Why the kernels cannot serve a problem, or None."""
    if (g.SH, g.SW, g.DH, g.DW, g.G) != (1, 1, 1, 1, 1):
        return "stride, dilation and groups go one after the other"
    if (pool.KH, pool.KW, pool.SH, pool.SW, pool.DH, pool.DW) != (2, 2, 2, 2, 1, 1):
        return "only windows of 2 x 2 side by side lie inside a tile"
    if pool.PH or pool.PW or (pool.OH, pool.OW) != (g.OH // 2, g.OW // 2):
        return "windows reach beyond the map"
    if kind == "avg" and (g.OH % 2 or g.OW % 2):
        return "a row or column that no window covers would have to be kept"
    if g.KH * (g.KW + 1) * g.C * 2 * LANES * 4 > FILTER_BYTES:
        return "a block of filters does not stay in the second-level cache"
    return None


def declines_depth(g: Conv2dGeometry) -> str | None:
    """Why convolution and pooling as calls of their own are faster, or None."""
    if _filter_bytes(g) > NEAR_FILTER_BYTES:
        return "a block of filters does not stay in the first-level cache"
    return None


@lru_cache(maxsize=1024)
def forward_plan(
    g: Conv2dGeometry, pool: Pool2dGeometry, kind: str, activation: str | None, keep: bool = True, flat: bool = False
) -> ForwardPlan:
    """How many windows and vectors a tile has, and how many rows of windows a band: all of an image that is turned."""
    neighbours = _neighbours(g)
    vectors = _vectors(g)
    windows = _even_share(pool.OW, ACCUMULATORS * neighbours // (4 * vectors))
    tile = pooled_tile(int(kind == "max"), windows, vectors, neighbours, _act(activation), int(keep))
    rows = max(1, min(pool.OH, int(BAND_FLOPS * g.N * pool.OH / g.flops)))
    if g.N == 1 and g.flops > LEAST_FLOPS:
        rows = min(rows, -(-pool.OH // 2))
    rows, turned = (pool.OH, _pooled(pool)) if flat else (rows, 0)
    parts = min(BANDS, g.N * -(-pool.OH // rows))
    copied = g.PH or g.PW or _pooled_columns(g, pool) > g.W or 2 * pool.OH + g.KH - 1 > g.H
    room = _whole_lines((2 * rows + g.KH - 1) * _pooled_columns(g, pool) * g.C) if copied else 0
    room += _whole_lines(turned)
    p = (*_sizes(g, pool), rows, windows, vectors, neighbours, _kept_item(kind), parts, 4 * room, turned)
    blocks, depth = -(-g.OC // (vectors * LANES)), g.KH * (g.KW + neighbours - 1) * g.C
    return ForwardPlan(tile, p, blocks * depth * vectors * LANES, blocks * vectors * LANES, parts * room)


def declines_backward(g: Conv2dGeometry, pool: Pool2dGeometry, kind: str) -> str | None:
    """Why the backward kernels cannot serve a problem, or None."""
    pixels = (2 * pool.OH + g.KH) * (2 * pool.OW + g.KW)
    if 16 * pixels * g.C > IMAGE_BYTES or 4 * pixels * g.OC > IMAGE_BYTES:
        return "an image does not stay in the second-level cache"
    if 4 * PARTS * g.OC * g.KH * g.KW * g.C > SUMS_BYTES:
        return "private sums cost more than they save"
    return declines(g, pool, kind)


@lru_cache(maxsize=1024)
def backward_plan(
    g: Conv2dGeometry, pool: Pool2dGeometry, kind: str, activation: str | None, needs_dx: bool, flat: bool = False
) -> BackwardPlan:
    """How blocks of filter positions are laid over dw, and tiles of pixels over the map. flat: dy and y lie as rows."""
    neighbours = _neighbours(g)
    columns = (g.KW + neighbours - 1) * g.C
    R, Q = _block(g.KH, columns, POSITIONS)
    pixels, vectors = _even_share(2 * pool.OW, PIXELS), 1 if g.KW * g.C <= LANES else 2
    before, after = _activations(activation, flat and kind == "max")
    forms = (
        pool_gradient(int(kind == "max"), neighbours, after),
        weight_of_map(R, Q),
        filter_row_products(pixels, vectors, g.C) if needs_dx else 0,
        before,
    )
    e_blocks, row = -(-g.KW * g.C // (vectors * LANES)), 0
    room = _image(g, pool) + 2 * pool.OH * (2 * pool.OW // neighbours) * -(-g.OC // LANES) * LANES
    if needs_dx:
        row = _whole_lines(max((g.PW + g.W) * g.C, (e_blocks + 1) * vectors * LANES + 2 * pool.OW * g.C))
        room += e_blocks * row + vectors * LANES
    room += _turned_room(pool, flat)
    sums, p = _sums(g, columns, R, Q, neighbours)
    p = (*_sizes(g, pool), *p, pixels, vectors, _kept_item(kind), 4 * room, 4 * row, flat * _pooled(pool))
    return BackwardPlan(forms, p, sums, e_blocks * vectors * LANES * g.KH * g.OC, p[14] * room)


@lru_cache(maxsize=1024)
def weight_of_largest_plan(
    g: Conv2dGeometry, pool: Pool2dGeometry, activation: str | None, flat: bool = False
) -> BackwardPlan:
    """How blocks of filter positions are laid over dw of a max pooling, straight from the largest pixels."""
    columns, width = g.KW * g.C, max(_pooled_columns(g, pool), g.W) * g.C
    R, Q = _block(g.KH, columns, ACCUMULATORS + 1)
    room = _image(g, pool) + _whole_lines(4 * ((2 * pool.OH + g.KH - 1) * width + LANES))
    room += _turned_room(pool, flat)
    before, after = _activations(activation, flat)
    sums, p = _sums(g, columns, R, Q, 1)
    p = (*_sizes(g, pool), *p, 0, 0, _kept_item("max"), 4 * room, 0, flat * _pooled(pool))
    return BackwardPlan((weight_of_largest(R, Q, after), before), p, sums, 0, p[14] * room)


def _sums(g: Conv2dGeometry, columns: int, R: int, Q: int, neighbours: int) -> tuple[int, tuple[int, ...]]:
    """The elements of all sums of dw, and the numbers that say how they lie."""
    parts, blocks, positions = min(PARTS, g.N), -(-g.OC // LANES), -(-g.KH // R) * -(-columns // Q)
    return parts * blocks * positions * (R * Q + 1) * LANES, (R, Q, neighbours, parts, blocks, positions)


def _activations(activation: str | None, flat: bool) -> tuple[int, int]:
    """The form that takes the activation's gradient before rows are turned, or 0, and what is left for later."""
    before = flat and activation is not None
    return (activation_gradient(_act(activation)), NONE) if before else (0, _act(activation))


def _turned_room(pool: Pool2dGeometry, flat: bool) -> int:
    """Room for an image of rows past the activation, and for the same one turned."""
    return 2 * _whole_lines(_pooled(pool)) if flat else 0


def _pooled(pool: Pool2dGeometry) -> int:
    """Elements of an image of the pooled map."""
    return pool.C * pool.OH * pool.OW


def _image(g: Conv2dGeometry, pool: Pool2dGeometry) -> int:
    """Room for the part of an image of x that backward reads."""
    return _whole_lines((2 * pool.OH + g.KH - 1) * _pooled_columns(g, pool) * g.C)


def _sizes(g: Conv2dGeometry, pool: Pool2dGeometry) -> tuple[int, ...]:
    return (g.N, g.C, g.H, g.W, g.OC, g.KH, g.KW, g.PH, g.PW, pool.OH, pool.OW)


def _act(activation: str | None) -> int:
    return NONE if activation is None else KINDS[activation]


def _kept_item(kind: str) -> int:
    """Bytes of an element of what forward keeps."""
    return 1 if kind == "max" else 4


def _pooled_columns(g: Conv2dGeometry, pool: Pool2dGeometry) -> int:
    """Columns of the padded x that the pooled part of the map reads."""
    return 2 * pool.OW + g.KW - 1


def _whole_lines(elements: int) -> int:
    """The next multiple of a cache line's float32."""
    return -(-elements // 16) * 16


def _neighbours(g: Conv2dGeometry) -> int:
    """Pixels that share a vector: two where half of one holds all channels."""
    return 2 if 2 * g.OC <= LANES else 1


def _vectors(g: Conv2dGeometry) -> int:
    """Vectors of channels in a tile of forward."""
    return 1 if g.OC <= LANES else 2


def _filter_bytes(g: Conv2dGeometry) -> int:
    """Of the filters that a tile of forward reads."""
    return g.KH * (g.KW + _neighbours(g) - 1) * g.C * _vectors(g) * LANES * 4


def _even_share(n: int, most: int) -> int:
    """n cut into as few pieces of at most `most` as possible: the size of a piece, or the next one in SIZES below."""
    return max(size for size in SIZES if size <= -(-n // -(-n // most)))


def _block(rows: int, columns: int, most: int) -> tuple[int, int]:
    """The block that covers rows x columns of a filter in the least time: each block reads the gradient again."""
    blocks = [(R, Q) for R, Q in BLOCKS if rows >= R and columns >= Q and most >= R * Q]
    return min(blocks, key=lambda s: -(-rows // s[0]) * -(-columns // s[1]) * (s[0] * s[1] + GRADIENT_STEPS))
