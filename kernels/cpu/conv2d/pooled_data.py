"""Backward-data of one row: vectors lie along a filter's whole row, (kw, c), so that few channels fill them too.

    z[j, e] = sum over filter rows t, channels k:  da[row - t, j, k] * w[t, k, e],  e = kw C + c
    dx[i, c] = sum over kw:  z[i - kw, kw C + c]

z of one row stays in the first-level cache, with zeros beside the pixels that exist.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..simd import I64
from .activation import ActivationVectors
from .pooled_tile import LANES


@intrinsic
def filter_row_products(typingctx, tile, z, da, w, size):
    """z of some neighbouring pixels, NV vectors of it.

    Args:
        tile: (bytes from the first pixel to each in da; NV zeros): lengths of tuples are constants of the code.
        z: (address, bytes of a pixel). da: (address of the first pixel in the first filter row's row, bytes from there
            to the next filter row's). w: (address [T, K, NV vectors]). size: (T, K).
    """
    signature = types.void(tile, z, da, w, size)

    def codegen(context, builder, signature, args):
        steps = cgutils.unpack_tuple(builder, cgutils.unpack_tuple(builder, args[0])[0])
        tuples = [cgutils.unpack_tuple(builder, a) for a in (args[1], args[2], args[4])]
        _products(ActivationVectors(builder, LANES), steps, range(len(tile[1])), tuples, args[3])
        return context.get_dummy_value()

    return signature, codegen


def _products(v, steps, columns, tuples, w):
    b = v.builder
    (z, z_pixel), (da, da_row), (T, K) = tuples
    wide = I64(len(columns) * v.lanes * 4)
    acc = [[cgutils.alloca_once_value(b, v.zero) for _ in columns] for _ in steps]
    for slots in acc:
        for slot in slots:
            b.store(v.zero, slot)
    with cgutils.for_range(b, T) as t:
        own, filters = b.add(da, b.mul(t.index, da_row)), b.add(w, b.mul(t.index, b.mul(K, wide)))
        with cgutils.for_range(b, K) as k:
            step, element = b.add(filters, b.mul(k.index, wide)), b.add(own, b.mul(k.index, I64(4)))
            vectors = [v.load(v.at(step, j * v.lanes * 4)) for j in columns]
            for slots, offset in zip(acc, steps, strict=True):
                value = v.broadcast(v.at(element, offset))
                for slot, vector in zip(slots, vectors, strict=True):
                    b.store(v.multiply_add(value, vector, b.load(slot, typ=v.type)), slot)
    for p, slots in enumerate(acc):
        for j, slot in enumerate(slots):
            v.store(b.load(slot, typ=v.type), v.at(b.add(z, b.mul(z_pixel, I64(p))), j * v.lanes * 4))


@intrinsic
def add_filter_columns(typingctx, dx, z, size):
    """One row of dx.

    Args:
        dx: address. z: (address at the first pixel of dx, bytes of a pixel). size: (pixels, channels, KW).
    """
    signature = types.void(dx, z, size)

    def codegen(context, builder, signature, args):
        tuples = [cgutils.unpack_tuple(builder, a) for a in args[1:]]
        _add_columns(ActivationVectors(builder, LANES), args[0], *tuples)
        return context.get_dummy_value()

    return signature, codegen


def _add_columns(v, dx, z, size):
    b = v.builder
    z, z_pixel = z
    pixels, channels, taps = size
    pixel = b.mul(channels, I64(4))
    back = b.sub(pixel, z_pixel)  # to the same channel of the next tap, one pixel to the left
    vectors = b.sdiv(b.add(channels, I64(v.lanes - 1)), I64(v.lanes))
    slot = cgutils.alloca_once(b, v.type)
    with cgutils.for_range(b, vectors) as part:
        mask = v.first(b.sub(channels, b.mul(part.index, I64(v.lanes))))
        moved = b.mul(part.index, I64(v.lanes * 4))
        with cgutils.for_range(b, pixels) as i:
            own = b.add(b.add(z, moved), b.mul(i.index, z_pixel))
            b.store(v.zero, slot)
            with cgutils.for_range(b, taps) as tap:
                value = v.load_masked(v.at(own, b.mul(back, tap.index)), mask)
                b.store(b.fadd(b.load(slot, typ=v.type), value), slot)
            to = v.at(b.add(b.add(dx, moved), b.mul(i.index, pixel)), 0)
            v.store_masked(b.load(slot, typ=v.type), to, mask)
