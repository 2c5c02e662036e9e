"""Forward of few pixels: filters are read once, where they lie, by vectors along a filter's row.

    y[q, k] = act(b[k] + sum over kh, e:  x[q at row kh, e] * w[k, kh, e]),    e = kw C + c

A layer of one image has little to compute for each weight, and packing the filters takes as long as the products. Here
both operands have the sum's elements side by side, as dots.py has them: a tile is SIDE pixels by SIDE filters, a vector
of partial sums for each pair, folded at the end. One chunk owns SIDE filters and some pixels; it leaves no filter's
row before all its pixels have met it, so that weights come from memory once.

AMD Zen 5, 2 cores, AVX-512, float32, one image, us; the products alone at 534 GFLOP/s; through packed tiles; this:
    5x5, 32 to 64, 10 x 10 pixels       19     26     22
    3x3, 128 to 256, 7 x 7              54     81     64
    3x3, 256 to 256, 7 x 7             108    163    128
    3x3, 128 to 128, 14 x 14           108    115    122: so many pixels pay for packing
"""

from functools import partial

from numba.core import cgutils

from ..dots import SIDE, add_products, row_inside, write_sums
from ..forms import call_form, form_address
from ..jit import inner, kernel
from ..parallel import parallel_for
from ..simd import I64, VECTOR_BYTES, Vectors, address


@kernel
def conv2d_dots(y, x, w, bias, offsets, tile, p):
    """Fill flat y [pixels, OC] from flat x with its padding, w [OC, KH, KW, C] and bias [OC].

    offsets: bytes to each pixel's first element in x, the last one SIDE times more. tile: the form's address.
    p: (pixels, OC, KH; elements of a filter's row, of a row of x that the next row of the filter meets; pixels a chunk;
        1 for ReLU).
    """
    pixels, OC, _, _, _, own, _ = p
    args = address(y), address(x), address(w), address(bias), address(offsets), y.itemsize, tile, p
    parallel_for(_some_pixels, -(-OC // SIDE) * -(-pixels // own), args)


@inner
def _some_pixels(chunk, y, x, w, bias, offsets, item, tile, p):
    """SIDE filters over some pixels."""
    pixels, OC, KH, row, x_row, own, relu = p
    groups = -(-pixels // own)
    k, first = chunk // groups * SIDE, chunk % groups * own
    last = min(first + own, pixels)
    for q in range(first, last, SIDE):
        call_form(tile, (
            y + (q * OC + k) * item, OC * item, x, offsets + 8 * q, w + k * KH * row * item, KH * row * item,
            KH, x_row * item, row, last - q, min(SIDE, OC - k), bias + k * item, relu,
        ))  # fmt: skip


def dot_tile(item):
    """The form of a tile for elements of `item` bytes; its arguments are addresses, numbers and, for rows, bytes:

    y, a row of y, x, offsets of SIDE pixels in x, w, a filter, its rows, a row of x from one to the next, elements of
    a filter's row, pixels that are left, filters of these SIDE, bias, 1 for ReLU.
    """
    return form_address(_emit_tile, (item, SIDE), 13)


def _emit_tile(builder, args, item, side):
    y, y_row, x, offsets, w, filter_step, runs, x_run, length, pixels, filters, bias, relu = args
    v, b = Vectors(builder, item, VECTOR_BYTES // item), builder
    x_rows = [b.add(x, b.load(v.at(offsets, 8 * i), align=8, typ=I64)) for i in range(side)]
    w_rows = [b.add(w, b.mul(filter_step, row_inside(b, i, filters))) for i in range(side)]
    slots = [[cgutils.alloca_once_value(b, v.zero) for _ in range(side)] for _ in range(side)]
    with cgutils.for_range(b, runs) as run:
        left = [b.add(row, b.mul(run.index, x_run)) for row in x_rows]
        right = [b.add(row, b.mul(run.index, b.mul(length, I64(item)))) for row in w_rows]
        v.walk(length, partial(add_products, v, slots, left, right))
    write_sums(v, slots, (y, y_row, pixels, filters), bias, relu)
