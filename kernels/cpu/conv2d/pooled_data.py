"""Backward-data of one row: vectors lie along a filter's whole row, (kw, c), so that few channels fill them too.

    z[j, e] = sum over filter rows t, channels k:  da[row - t, j, k] * w[t, k, e],  e = kw C + c
    dx[j C + e] += z[j, e]

A pixel's z begins C elements after its left neighbour's. So a window of the row slides along in registers: it takes the
z of a pixel, its first C elements are complete and go to memory, the others move up. Elements of e that lie in another
block of vectors have another row, and rows are added up at the end.
"""

from numba.core import cgutils

from ..forms import form_address
from ..simd import I64, VECTOR_BYTES, Vectors
from .pooled_tile import LANES


def filter_row_products(pixels, vectors, C):
    """The form of some neighbouring pixels and `vectors` vectors of e; arguments are addresses, numbers and bytes:

    row (where the first pixel's e begin; whole vectors are written), carry (the window, from one tile to the next),
    pixels at the start that an earlier tile did, da (the first pixel in the first filter row's row), a row of da (the
    next filter row's is one before), a pixel of da, w [T, K, vectors], T, K.
    """
    return form_address(_emit, (pixels, vectors, C), 9)


def _emit(builder, args, pixels, vectors, C):
    row, carry, again, *products = args
    v = Vectors(builder, 4, LANES)
    acc = _products(v, pixels, vectors, *products)
    window = [cgutils.alloca_once_value(builder, v.load(v.at(carry, j * VECTOR_BYTES))) for j in range(vectors)]
    for p, z in enumerate(acc):
        with builder.if_then(builder.icmp_signed("<=", again, I64(p)), likely=True):
            _slide(v, window, z, C, builder.add(row, I64(p * C * 4)))
    for j, slot in enumerate(window):
        v.store(builder.load(slot, typ=v.type), v.at(carry, j * VECTOR_BYTES))


def _products(v, pixels, vectors, da, da_row, da_pixel, w, T, K):
    """Slots with the z of every pixel."""
    b, wide = v.builder, I64(vectors * VECTOR_BYTES)
    acc = [[cgutils.alloca_once_value(b, v.zero) for _ in range(vectors)] for _ in range(pixels)]
    with cgutils.for_range(b, T) as t:
        own, filters = b.sub(da, b.mul(t.index, da_row)), b.add(w, b.mul(t.index, b.mul(K, wide)))
        with cgutils.for_range(b, K) as k:
            step, element = b.add(filters, b.mul(k.index, wide)), b.add(own, b.mul(k.index, I64(4)))
            columns = [v.load(v.at(step, j * VECTOR_BYTES)) for j in range(vectors)]
            for p, slots in enumerate(acc):
                value = v.broadcast(v.at(element, b.mul(da_pixel, I64(p))))
                for slot, column in zip(slots, columns, strict=True):
                    b.store(v.multiply_add(value, column, b.load(slot, typ=v.type)), slot)
    return acc


def _slide(v, window, z, C, row):
    """Add a pixel's z to the window, write what is complete, move up by C elements."""
    b = v.builder
    sums = [b.fadd(b.load(a, typ=v.type), b.load(c, typ=v.type)) for a, c in zip(window, z, strict=True)]
    for j in range(min(len(sums), -(-C // LANES))):
        v.store(sums[j], v.at(row, j * VECTOR_BYTES))
    beyond = [*sums, v.zero]
    whole, lanes = divmod(C, LANES)
    for j, slot in enumerate(window):
        a, c = (beyond[min(j + whole + k, len(sums))] for k in (0, 1))
        b.store(v.shuffle(a, c, range(lanes, lanes + LANES)), slot)
