"""Rows of memory, moved and added with vectors: what surrounds the products of micro.py.

Addresses are int64, steps count bytes; `like` is an array of the element type. Lanes beyond the given columns are
neither read nor written.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import I64, vectors_of


@intrinsic(prefer_literal=True)
def copy_rows(typingctx, NV, like, target, target_step, source, source_step, length, given, written):
    """target[s, j] = source[s, j] for j < given, 0 for given <= j < written <= NV vectors; s < length."""
    nv = NV.literal_value
    signature = types.void(NV, like, target, target_step, source, source_step, length, given, written)

    def codegen(context, builder, signature, args):
        v = vectors_of(builder, signature.args[1])
        target, target_step, source, source_step, length, given, written = args[2:]
        loads, stores = _masks(v, nv, given), _masks(v, nv, written)

        def copy(part):
            with cgutils.for_range(builder, length) as loop:
                to = builder.add(target, builder.mul(loop.index, target_step))
                row = builder.add(source, builder.mul(loop.index, source_step))
                for j in range(nv):
                    part(v.at(to, j * v.lanes * v.item), v.at(row, j * v.lanes * v.item), j)

        def masked(to, row, j):
            v.store_masked(v.load_masked(row, loads[j]), to, stores[j])

        # Masked stores take longer: whole rows go without.
        whole = builder.icmp_signed(">=", given, I64(nv * v.lanes))
        with builder.if_else(whole) as (full, rest):
            with full:
                copy(lambda to, row, j: v.store(v.load(row), to))
            with rest:
                copy(masked)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def add_rows(typingctx, NV, WAYS, like, b, step, length, out, columns, start):
    """out[j] = (out[j] if start else 0) + sum over s < length of b[s, j], for j < columns <= NV vectors.

    b and out are addresses, `step` the bytes between rows. WAYS sums run side by side, so that they need not wait for
    one another: more than one pays for long columns only.
    """
    nv, ways = NV.literal_value, WAYS.literal_value
    signature = types.void(NV, WAYS, like, b, step, length, out, columns, start)

    def codegen(context, builder, signature, args):
        v = vectors_of(builder, signature.args[2])
        b, step, length, out, columns, start = args[3:]
        masks = _masks(v, nv, columns)
        sums = [[cgutils.alloca_once(builder, v.type) for _ in range(nv)] for _ in range(ways)]

        def add(row, way):
            for j, slot in enumerate(sums[way]):
                value = v.load_masked(v.at(row, j * v.lanes * v.item), masks[j])
                builder.store(builder.fadd(builder.load(slot, typ=v.type), value), slot)

        for slot in (slot for way in sums for slot in way):
            builder.store(v.zero, slot)
        whole = builder.and_(length, I64(-ways))
        with cgutils.for_range(builder, builder.sdiv(whole, I64(ways))) as loop:
            for way in range(ways):
                s = builder.add(builder.mul(loop.index, I64(ways)), I64(way))
                add(builder.add(b, builder.mul(s, step)), way)
        with cgutils.for_range(builder, length, start=whole) as loop:
            add(builder.add(b, builder.mul(loop.index, step)), 0)
        again = builder.icmp_signed("!=", start, start.type(0))
        for j in range(nv):
            pointer = v.at(out, j * v.lanes * v.item)
            total = builder.select(again, v.load_masked(pointer, masks[j]), v.zero)
            for way in range(ways):
                total = builder.fadd(total, builder.load(sums[way][j], typ=v.type))
            v.store_masked(total, pointer, masks[j])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def transpose_tile(typingctx, like, target, target_step, source, source_step, rows, depth):
    """target[s, j] = source[j, s] for j < rows, 0 for rows <= j < LANES; s < depth <= LANES: one tile of registers.

    LANES vectors are interleaved log2(LANES) times: the perfect shuffle applied to the tile's address bits.
    """
    signature = types.void(like, target, target_step, source, source_step, rows, depth)

    def codegen(context, builder, signature, args):
        v = vectors_of(builder, signature.args[0])
        target, target_step, source, source_step, rows, depth = args[1:]
        inside, nothing = v.first(depth), v.first(I64(0))
        tile = []
        for j in range(v.lanes):
            there = builder.icmp_signed(">", rows, I64(j))
            # A masked load from a page that does not exist reads nothing, but takes hundreds of cycles.
            row = builder.select(there, builder.add(source, builder.mul(source_step, I64(j))), source)
            tile.append(v.load_masked(v.at(row, 0), builder.select(there, inside, nothing)))
        half = v.lanes // 2
        low = [k for i in range(half) for k in (i, v.lanes + i)]
        high = [k + half for k in low]
        for _ in range(v.lanes.bit_length() - 1):
            pairs = [(tile[i], tile[i + half]) for i in range(half)]
            tile = [v.shuffle(a, b, lanes) for a, b in pairs for lanes in (low, high)]
        for s in range(v.lanes):
            with builder.if_then(builder.icmp_signed(">", depth, I64(s)), likely=True):
                v.store(tile[s], v.at(builder.add(target, builder.mul(target_step, I64(s))), 0))
        return context.get_dummy_value()

    return signature, codegen


def _masks(v, nv, columns):
    return [v.first(v.builder.sub(columns, I64(j * v.lanes))) for j in range(nv)]
