"""Backward-weight of one input channel and few filters: vectors lie along the pixels of a row, the reduction itself.

    dw[k, kh, kw] = sum over n, oh, ow:  dy[n, oh, ow, k] * x[n, oh + kh, ow + kw],    db[k] the same with ones for x

6 filters would fill 6 of 16 lanes. So the dy of an image is turned, [OH][K][pixels], and a block of FILTERS by TAPS
sums is kept in registers, each a vector whose lanes are added up once, at the end. The bias is one more tap, which
reads ones.

Ladder (AMD Zen 5, one core, AVX-512, float32, 5x5, 1 to 6 channels, 28 x 28, batch 100, GFLOP/s of 260): blocks by
filters 33, along pixels 77.

x [N, H, W] padded beforehand, stride 1. One chunk owns a group of images; groups are added in their order.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import inner, kernel
from ..parallel import parallel_for
from ..rows import transpose_tile
from ..simd import I64, REGISTERS, VECTOR_BYTES, address, vectors_of

# Sums, the vectors of x and one of dy must fit into the registers.
FILTERS, TAPS = (6, 4) if REGISTERS == 32 else (6, 1)


@intrinsic(prefer_literal=True)
def _pixel_block(typingctx, FILTERS, TAPS, like, sums, dy, x, taps, rows, steps, width):
    """sums[f, t, lanes] += dy[row, f, pixels] * x[row, taps[t] + pixels] over rows and vectors of pixels.

    Addresses and bytes: dy has zeros beyond `width`; taps holds TAPS offsets; steps are a row of dy, a filter of dy and
    a row of x.
    """
    filters, count = FILTERS.literal_value, TAPS.literal_value
    signature = types.void(FILTERS, TAPS, like, sums, dy, x, taps, rows, steps, width)

    def codegen(context, builder, signature, args):
        v = vectors_of(builder, signature.args[2])
        sums, dy, x, taps, rows, steps, width = args[3:]
        dy_row, dy_filter, x_row = cgutils.unpack_tuple(builder, steps)
        places = [(f, t, v.at(sums, (f * count + t) * v.lanes * v.item)) for f in range(filters) for t in range(count)]
        slots = {(f, t): cgutils.alloca_once(builder, v.type) for f, t, _ in places}
        for f, t, place in places:
            builder.store(v.load(place), slots[f, t])
        offsets = [builder.load(v.at(taps, 8 * t), align=8, typ=I64) for t in range(count)]
        with cgutils.for_range(builder, rows) as row:
            own_dy = builder.add(dy, builder.mul(row.index, dy_row))
            own_x = builder.add(x, builder.mul(row.index, x_row))
            blocks = builder.sdiv(builder.add(width, I64(v.lanes - 1)), I64(v.lanes))
            with cgutils.for_range(builder, blocks) as block:
                mask = v.first(builder.sub(width, builder.mul(block.index, I64(v.lanes))))
                moved = builder.mul(block.index, I64(v.lanes * v.item))
                there = [builder.add(own_x, builder.add(offset, moved)) for offset in offsets]
                columns = [v.load_masked(v.at(place, 0), mask) for place in there]
                for f in range(filters):
                    filter_row = builder.add(own_dy, builder.mul(dy_filter, I64(f)))
                    pixels = v.load(v.at(builder.add(filter_row, moved), 0))
                    for t, column in enumerate(columns):
                        slot = slots[f, t]
                        builder.store(v.multiply_add(pixels, column, builder.load(slot, typ=v.type)), slot)
        for f, t, place in places:
            v.store(builder.load(slots[f, t], typ=v.type), place)
        return context.get_dummy_value()

    return signature, codegen


@kernel
def conv2d_weight_by_pixels(sums, bias_sums, dy, x, p):
    """sums [groups, K, KH * KW] and bias_sums [groups, K] from dy [N, OH, OW, K] and x [N, H, W]; p: (KH, KW)."""
    parallel_for(_group_of_images, len(sums), (sums, bias_sums, dy, x, p))


@inner
def _group_of_images(group, sums, bias_sums, dy, x, p):
    N, OH, OW, K = dy.shape
    H, W = x.shape[1:]
    KH, KW = p
    groups, T = len(sums), KH * KW
    item = x.itemsize
    lanes = VECTOR_BYTES // item
    pitch = -(-OW // lanes) * lanes
    filter_blocks, tap_blocks = -(-K // FILTERS), -(-(T + 1) // TAPS)
    turned = np.zeros((OH, filter_blocks * FILTERS, pitch), x.dtype)
    partial = np.zeros((filter_blocks, tap_blocks, FILTERS, TAPS, lanes), x.dtype)
    ones = np.ones(H * W, x.dtype)
    taps = np.empty(tap_blocks * TAPS, np.int64)
    for t in range(len(taps)):
        taps[t] = (t // KW * W + t % KW) * item if t < T else 0
    steps = turned[0].size * item, pitch * item, W * item
    for n in range(group * N // groups, (group + 1) * N // groups):
        _turn_image(turned, dy[n])
        taps[T] = address(ones) - address(x[n])
        for f in range(filter_blocks):
            for t in range(tap_blocks):
                _pixel_block(
                    FILTERS, TAPS, x, address(partial[f, t]), address(turned) + f * FILTERS * pitch * item,
                    address(x[n]), address(taps) + 8 * t * TAPS, OH, steps, OW,
                )  # fmt: skip
    for k in range(K):
        for t in range(T + 1):
            total = x.dtype.type(0)
            for lane in range(lanes):
                total += partial[k // FILTERS, t // TAPS, k % FILTERS, t % TAPS, lane]
            if t < T:
                sums[group, k, t] = total
            else:
                bias_sums[group, k] = total


@inner
def _turn_image(turned, dy):
    """turned [OH, filters, pixels] from dy [OH, OW, K], zeros beyond OW."""
    OH, OW, K = dy.shape
    item = dy.itemsize
    lanes = VECTOR_BYTES // item
    pitch = turned.shape[2]
    for oh in range(OH):
        for ow in range(0, OW, lanes):
            for k in range(0, K, lanes):
                transpose_tile(
                    dy, address(turned) + ((oh * turned.shape[1] + k) * pitch + ow) * item, pitch * item,
                    address(dy) + ((oh * OW + ow) * K + k) * item, K * item, OW - ow, min(lanes, K - k),
                )  # fmt: skip
