"""Convolution's backward-weight as products over pixels, in blocks of MR filters by up to VECTORS vectors of channels.

    dw[k, kh, kw, c] = sum_{n, oh, ow} dy[n, oh, ow, k] * x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c]

For a chunk of pixels dy and each tap's x are packed into panels: dy once, [tiles of MR filters][pixels][MR], x for
each tap and block of channels, [pixels][vectors]. Pixels whose tap lies beside the image are left out: a product runs
over the pieces of rows that meet its tap. A chunk's panels stay in the second-level cache while the blocks of dw pass
over them; dw is added up chunk by chunk.

The work is cut into groups of pixels, each with sums of its own, by parts of the filters, by parts of the channels. The
groups are added in their order, so that the result does not depend on the number of threads.

Ladder (AMD Zen 5, 2 cores, AVX-512, float32, GFLOP/s of about 520; the last two columns in turn in one run on a machine
that others used too, PyTorch 2.13 beside them):
                                     in place   panels of 512   bias in vectors
    3x3, 512 channels, 28 x 28, N 4    203           364             459
    3x3, 64 channels, 56 x 56, N 16    361           360             403
                                     13 x 2, the whole of dy    8 x 3, parts of dy, columns    PyTorch
                                     packed by each part        beside the image left out
    3x3, 256 channels, 14 x 14, N 16              448                        492                 492
    3x3, 256 channels, 7 x 7, N 100               473                        536                 490
    3x3, 512 channels, 7 x 7, N 16                496                        557                 459
    3x3, 96 to 128, 28 x 28, N 16                 424                        463                 464
    1x1, 256 to 1024, 14 x 14, N 16               278                        388                 392
    1x1, 832 to 384, 7 x 7, N 16                  293                        433                 420
    1x1, 512 to 128, 28 x 28, N 16                330                        380                 349
Blocks alone, panels in the second-level cache, GFLOP/s of 267: 13 x 2 260, 8 x 3 261, and as fast in pieces of 6 pixels
as in one of 512, in chunks of 128 as in those of 1024.
Pixels whose channels are 2 KiB apart share places in both caches: read in place they were what held 512 channels down.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import inner, kernel
from ..micro import run_block
from ..parallel import parallel_for
from ..rows import add_rows, copy_rows
from ..simd import I64, REGISTERS, VECTOR_BYTES, Vectors, address

MR = 8 if REGISTERS == 32 else 4  # divides most layers' filters
VECTORS = 3
LINE = 64  # bytes
STRIP = 32  # pixels of dy that are packed for all filters in turn: their pages stay at hand
SUM_VECTORS, SUM_WAYS = 2, 4
CHUNKS = 16  # of dw, when groups are added


@kernel
def conv2d_weight_by_channels(dw, db, sums, bias_sums, dy, x, taps, p):
    """dw [K, T, C] and db [K] from flat dy and x.

    Args:
        sums, bias_sums: scratch [groups, K, T, C] and [groups, K]; of a single group they are dw and db themselves.
        taps: [T, 2] rows and columns from a pixel's own place in x to the tap.
        p: (N H W OH OW; SH SW; OC C in memory; first channel of dy and of x; parts of the filters, of the channels,
            output rows a chunk; vectors, rows and address of the blocks of 1 to VECTORS vectors).
    """
    parallel_for(_part, len(sums) * p[4][0] * p[4][1], (sums, bias_sums, dy, x, taps, p))
    if len(sums) > 1:
        chunks = min(len(dw), CHUNKS)
        parallel_for(_add_groups, chunks, (chunks, dw, db, sums, bias_sums))


@inner
def _add_groups(chunk, chunks, dw, db, sums, bias_sums):
    """Some filters' dw and db from the sums of all groups."""
    groups, K, T, C = sums.shape
    first, last = chunk * K // chunks, (chunk + 1) * K // chunks
    add_sums(dw, first * T * C, last * T * C, sums, K * T * C, groups)
    add_sums(db, first, last, bias_sums, K, groups)


@inner
def add_sums(out, first, last, sums, step, groups):
    """Elements first .. last - 1 of out: sums over groups that lie `step` elements apart."""
    item = out.itemsize
    for i in range(first, last, SUM_VECTORS * VECTOR_BYTES // item):
        add_rows(
            SUM_VECTORS, 1, out, address(sums) + i * item, step * item, groups, address(out) + i * item, last - i, 0
        )


@inner
def add_bias(like, out, dy, step, pixels, count, fresh):
    """`count` sums over the pixels of dy, added to what `out` holds unless fresh; addresses, `step` in bytes."""
    item = like.itemsize
    for k in range(0, count, SUM_VECTORS * VECTOR_BYTES // item):
        add_rows(SUM_VECTORS, SUM_WAYS, like, dy + k * item, step, pixels, out + k * item, count - k, not fresh)


@inner
def chunks_of_group(group, groups, rows, size):
    """First and last + 1 of the chunks of `size` rows that belong to a group."""
    chunks = -(-rows // size)
    return group * chunks // groups, (group + 1) * chunks // groups


@inner
def _part(index, sums, bias_sums, dy, x, taps, p):
    (N, _, _, OH, OW), _, (OC, _), (k0, _), (k_parts, c_parts, size), _ = p
    groups, K, T, C = sums.shape
    group, k_part, c_part = index // (k_parts * c_parts), index // c_parts % k_parts, index % c_parts
    item = x.itemsize
    lanes = VECTOR_BYTES // item
    tiles, vectors = -(-K // MR), -(-C // lanes)
    filters = k_part * tiles // k_parts * MR, min((k_part + 1) * tiles // k_parts * MR, K)
    part = c_part * vectors // c_parts, (c_part + 1) * vectors // c_parts
    blocks = -(-(part[1] - part[0]) // VECTORS)
    at_once = max(1, blocks) if T == 1 else 1  # what only one tap reads is packed in the order of its memory
    # Vectors that start on a cache line are one access each; Numba aligns to half a line.
    spare = LINE // item
    a = np.empty(-(-(filters[1] - filters[0]) // MR) * (size * OW * MR + spare), x.dtype)
    b = np.empty(min(at_once * VECTORS, part[1] - part[0]) * size * OW * lanes + spare, x.dtype)
    b = b[-address(b) % LINE // item :]
    runs = np.empty((size, 3), np.int64)
    chunk0, chunk1 = chunks_of_group(group, groups, N * OH, size)
    for chunk in range(chunk0, chunk1):
        rows = chunk * size, min((chunk + 1) * size, N * OH)
        pixels = (rows[1] - rows[0]) * OW
        own = address(dy) + (rows[0] * OW * OC + k0 + filters[0]) * item
        _pack_filters(a, own, OC * item, pixels, filters[1] - filters[0])
        fresh = chunk == chunk0
        for block in range(0, blocks, at_once):
            span = _block(part, blocks, block)[0], _block(part, blocks, block + at_once - 1)[1]
            for tap in range(T):
                row = taps[tap, 0]
                columns = _pack_tap(b, x, rows, row, taps[tap, 1], span, C, p)
                for i in range(block, block + at_once):
                    of = _block(part, blocks, i)
                    count = _runs(runs, rows, row, columns, (of[1] - of[0]) * VECTOR_BYTES, item, p)
                    panels = address(a), address(b) + (of[0] - span[0]) * pixels * VECTOR_BYTES, pixels
                    _products(sums[group], panels, (address(runs), count), filters, tap, of, fresh, p)
        if c_part == 0:
            to = address(bias_sums) + (group * K + filters[0]) * item
            add_bias(dy, to, own, OC * item, pixels, filters[1] - filters[0], fresh)


@inner
def _block(part, blocks, block):
    """First and last + 1 of the vectors of a block; the blocks of a part differ by one vector at most."""
    vectors = part[1] - part[0]
    return part[0] + block * vectors // blocks, part[0] + (block + 1) * vectors // blocks


@inner
def _pack_filters(a, dy, step, pixels, count):
    """a [tiles][pixels][MR], a line between tiles, from `count` filters of dy; `step` bytes between pixels."""
    item = a.itemsize
    tile = pixels * MR * item + LINE
    for s in range(0, pixels, STRIP):
        to, own = address(a) + s * MR * item, dy + s * step
        for k in range(0, count, max(MR, LINE // item)):
            _pack_tiles(a, to + k // MR * tile, tile, own + k * item, step, min(STRIP, pixels - s), count - k)


@intrinsic
def _pack_tiles(typingctx, like, target, target_step, source, source_step, length, given):
    """target[t, s, i] = source[s, t * MR + i] for s < length and as many tiles t as fill a line; 0 from `given` on.

    Addresses; bytes between tiles of the target, between rows of the source. Tiles beyond `given` are not written.
    """
    signature = types.void(like, target, target_step, source, source_step, length, given)

    def codegen(context, builder, signature, args):
        target, target_step, source, source_step, length, given = args[1:]
        v = Vectors(builder, signature.args[0].dtype.bitwidth // 8, MR)
        tiles = max(1, LINE // (MR * v.item))

        def copy(part):
            with cgutils.for_range(builder, length) as loop:
                row = builder.add(source, builder.mul(loop.index, source_step))
                own = builder.add(target, builder.mul(loop.index, I64(MR * v.item)))
                for t in range(tiles):
                    to = v.at(own, builder.mul(target_step, I64(t)))
                    part(to, v.at(row, t * MR * v.item), builder.sub(given, I64(t * MR)))

        def masked(to, row, left):
            with builder.if_then(builder.icmp_signed(">", left, I64(0))):
                v.store(v.load_masked(row, v.first(left)), to)

        with builder.if_else(builder.icmp_signed(">=", given, I64(tiles * MR))) as (whole, rest):
            with whole:
                copy(lambda to, row, left: v.store(v.load(row), to))
            with rest:
                copy(masked)
        return context.get_dummy_value()

    return signature, codegen


@inner
def _pack_tap(b, x, rows, row, column, span, channels, p):
    """b [blocks][pixels, vectors]: what a tap of these output rows reads of a span of vectors, where it is inside.

    Returns first and last + 1 of the output columns that meet the tap.
    """
    (_, H, W, OH, OW), (SH, SW), (_, C), (_, c0), _, _ = p
    item = x.itemsize
    lanes = VECTOR_BYTES // item
    ow0 = min(OW, max(0, -(column // SW)))
    ow1 = max(ow0, min(OW, (W - 1 - column) // SW + 1))
    blocks = -(-(span[1] - span[0]) // VECTORS)
    pitch = (rows[1] - rows[0]) * OW * VECTOR_BYTES
    done = 0
    for out_row in range(rows[0], rows[1]):
        n, ih = out_row // OH, out_row % OH * SH + row
        if 0 <= ih < H:
            own = address(x) + (((n * H + ih) * W + ow0 * SW + column) * C + c0) * item
            for block in range(blocks):
                first, last = _block(span, blocks, block)
                to = address(b) + (first - span[0]) * pitch + done * (last - first) * VECTOR_BYTES
                source, given = own + first * VECTOR_BYTES, channels - first * lanes
                _pack_row(x, to, last - first, source, SW * C * item, ow1 - ow0, given)
            done += ow1 - ow0
    return ow0, ow1


@inner
def _pack_row(like, to, vectors, source, step, pixels, given):
    lanes = VECTOR_BYTES // like.itemsize
    if vectors == 3:
        copy_rows(3, like, to, 3 * VECTOR_BYTES, source, step, pixels, given, 3 * lanes)
    elif vectors == 2:
        copy_rows(2, like, to, 2 * VECTOR_BYTES, source, step, pixels, given, 2 * lanes)
    else:
        copy_rows(1, like, to, VECTOR_BYTES, source, step, pixels, given, lanes)


@inner
def _runs(runs, rows, row, columns, b_step, item, p):
    """Where the pixels that meet a tap lie in both panels, whole rows in one run; returns how many runs."""
    (_, H, _, OH, OW), (SH, _), _, _, _, _ = p
    length = columns[1] - columns[0]
    count, packed, before = 0, 0, rows[0] - 2
    for out_row in range(rows[0], rows[1]):
        if length and 0 <= out_row % OH * SH + row < H:
            if before < out_row - 1 or length < OW:
                runs[count, 0] = ((out_row - rows[0]) * OW + columns[0]) * MR * item
                runs[count, 1], runs[count, 2] = packed * b_step, 0
                count += 1
            runs[count - 1, 2] += length
            before, packed = out_row, packed + length
    return count


@inner
def _products(sums, panels, runs, filters, tap, vectors, fresh, p):
    """Some filters' dw of one tap and block of channels; sums [K, T, C]."""
    _, T, C = sums.shape
    a, b, pixels = panels
    item = sums.itemsize
    column = vectors[0] * (VECTOR_BYTES // item)
    _, _, block_kernel = p[5][vectors[1] - vectors[0] - 1]
    outs = np.empty(MR, np.int64)
    for r in range(MR):
        outs[r] = r * T * C * item
    own = address(sums) + (tap * C + column) * item
    for k in range(filters[0], filters[1], MR):
        run_block(
            block_kernel, a, b, runs, (0, 0), (0, 0),
            (own + k * T * C * item, address(outs), min(MR, filters[1] - k), C - column), 0 if fresh else 1, 0,
        )  # fmt: skip
        a += pixels * MR * item + LINE
