"""What depthwise.py does to all channels of a few pixels, or of a row of pixels: vectors along the channels.

Addresses are int64, steps count bytes; `like` is a pointer to the element type. The last vector of a pixel overlaps the
one before, so that loads and stores are whole; only fewer channels than lanes need a mask.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..simd import I64, vectors_of


@intrinsic(prefer_literal=True)
def filter_pixels(typingctx, P, KW, SW, like, C, y, x, w, taps, start, act):
    """y[p, c] = act(start[c] + sum over kh < taps[0], kw < taps[1]:  x[kh, p, kw, c] * w[kh, kw, c]) for P pixels.

    Args:
        P, KW, SW: constants. KW > 0: taps[1] is KW and pixels lie SW columns apart, which they share; KW = 0: any.
        y: (address, step of a pixel). x: (address, steps of kh, p, kw). w: (address, steps of kh, kw).
        start: address of C elements. act: 1 turns negative results into 0.
    """
    signature = types.void(P, KW, SW, like, C, y, x, w, taps, start, act)
    constants = P.literal_value, KW.literal_value, SW.literal_value

    def codegen(context, builder, signature, args):
        C, y, x, w, taps, start, act = args[4:]
        given = [cgutils.unpack_tuple(builder, v) for v in (y, x, w, taps)]
        v = vectors_of(builder, signature.args[3])
        _each_vector(v, C, lambda at, mask: _filter_vector(v, constants, at, mask, *given, start, act))
        return context.get_dummy_value()

    return signature, codegen


def _each_vector(v, C, emit):
    """emit(offset, mask) for every vector of C channels: whole ones without a mask."""
    b = v.builder
    with b.if_else(b.icmp_signed(">=", C, I64(v.lanes)), likely=True) as (whole, part):
        with whole:
            last = b.sub(C, I64(v.lanes))
            with cgutils.for_range(b, b.sdiv(b.add(C, I64(v.lanes - 1)), I64(v.lanes))) as loop:
                c = b.mul(loop.index, I64(v.lanes))
                emit(b.mul(b.select(b.icmp_signed("<", c, last), c, last), I64(v.item)), None)
        with part:
            emit(I64(0), v.first(C))


def _filter_vector(v, constants, at, mask, y, x, w, taps, start, act):
    b, (P, KW, SW) = v.builder, constants
    x_row, x_pixel, x_tap = x[1:]
    sums = [cgutils.alloca_once(b, v.type) for _ in range(P)]
    first = _load(v, b.add(start, at), mask)
    for slot in sums:
        b.store(first, slot)

    def add(p, value, tap):
        b.store(v.multiply_add(value, tap, b.load(sums[p], typ=v.type)), sums[p])

    with cgutils.for_range(b, taps[0]) as kh:
        row = b.add(b.add(x[0], at), b.mul(kh.index, x_row))
        filters = b.add(b.add(w[0], at), b.mul(kh.index, w[1]))
        if KW:
            own = [_load(v, b.add(filters, b.mul(w[2], I64(k))), mask) for k in range(KW)]
            for column in range((P - 1) * SW + KW):
                value = _load(v, b.add(row, b.mul(x_tap, I64(column))), mask)
                for p in range(P):
                    if 0 <= column - p * SW < KW:
                        add(p, value, own[column - p * SW])
        else:
            with cgutils.for_range(b, taps[1]) as kw:
                tap = _load(v, b.add(filters, b.mul(w[2], kw.index)), mask)
                place = b.add(row, b.mul(x_tap, kw.index))
                for p in range(P):
                    add(p, _load(v, b.add(place, b.mul(x_pixel, I64(p))), mask), tap)
    relu = b.icmp_signed("==", act, I64(1))
    for p, slot in enumerate(sums):
        value = b.load(slot, typ=v.type)
        value = b.select(relu, v.relu(value), value)
        pointer = v.at(b.add(y[0], at), b.mul(y[1], I64(p)))
        v.store(value, pointer) if mask is None else v.store_masked(value, pointer, mask)


def _load(v, address, mask):
    pointer = v.at(address, 0)
    return v.load(pointer) if mask is None else v.load_masked(pointer, mask)


@intrinsic(prefer_literal=True)
def weigh_pixels(typingctx, R, KW, like, C, sums, bias, dy, x, edges, columns):
    """sums[r, kw, c] += sum over pixels q of a row:  dy[q, c] * x[r, q, kw, c],  and bias[c] += sum of dy[q, c].

    Args:
        R, KW: constants: R * KW sums stay in registers.
        sums: (address, step of r, step of kw); a vector of channels has a place of its own there, whole lanes.
        bias: address, or 0 for none. dy: (address, step of a pixel). x: (address, steps of r, q, kw).
        edges: (first, last): the pixels all of whose taps lie inside x; (last + 1 and beyond, as before first, lie
            on an edge); number of pixels.
        columns: (column of x at the first pixel's first tap, columns between pixels, columns between taps, W).
    """
    signature = types.void(R, KW, like, C, sums, bias, dy, x, edges, columns)
    constants = R.literal_value, KW.literal_value

    def codegen(context, builder, signature, args):
        C, sums, bias, dy, x, edges, columns = args[3:]
        given = [cgutils.unpack_tuple(builder, v) for v in (sums, dy, x, edges, columns)]
        v = vectors_of(builder, signature.args[2])
        number = cgutils.alloca_once_value(builder, I64(0))

        def emit(at, mask):
            place = builder.mul(builder.load(number, typ=I64), I64(v.lanes * v.item))
            builder.store(builder.add(builder.load(number, typ=I64), I64(1)), number)
            _Weights(v, constants, at, place, mask).emit(bias, *given)

        _each_vector(v, C, emit)
        return context.get_dummy_value()

    return signature, codegen


class _Weights:
    """Emits the sums of one vector of channels."""

    def __init__(self, v, constants, at, place, mask):
        self.v, self.at, self.place, self.mask = v, at, place, mask
        self.builder = v.builder
        self.R, self.KW = constants

    def emit(self, bias, sums, dy, x, edges, columns):
        b, v = self.builder, self.v
        self.dy, self.x, self.columns = dy, x, columns
        first, last, count = edges
        places = {
            (r, k): v.at(b.add(sums[0], self.place), b.add(b.mul(sums[1], I64(r)), b.mul(sums[2], I64(k))))
            for r in range(self.R)
            for k in range(self.KW)
        }
        self.slots = {tap: cgutils.alloca_once(b, v.type) for tap in places}
        self.bias = cgutils.alloca_once(b, v.type)
        for tap, place in places.items():
            b.store(v.load(place), self.slots[tap])
        b.store(v.zero, self.bias)
        for start, stop, checked in ((I64(0), first, True), (first, last, False), (last, count, True)):
            with cgutils.for_range(b, b.sub(stop, start)) as loop:
                self._pixel(b.add(start, loop.index), checked)
        for tap, place in places.items():
            v.store(b.load(self.slots[tap], typ=v.type), place)
        with b.if_then(b.icmp_signed("!=", bias, I64(0))):
            pointer = v.at(bias, self.place)
            v.store(b.fadd(v.load(pointer), b.load(self.bias, typ=v.type)), pointer)

    def _pixel(self, q, checked):
        """Add one pixel; `checked` leaves out the taps beside x."""
        b, v = self.builder, self.v
        dy_step = self.dy[1]
        _, x_row, x_pixel, x_tap = self.x
        given = _load(v, b.add(b.add(self.dy[0], self.at), b.mul(q, dy_step)), self.mask)
        b.store(b.fadd(b.load(self.bias, typ=v.type), given), self.bias)
        own = b.add(b.add(self.x[0], self.at), b.mul(q, x_pixel))
        start, per_pixel, per_tap, W = self.columns
        for k in range(self.KW):

            def add(k=k):
                for r in range(self.R):
                    place = b.add(own, b.add(b.mul(x_row, I64(r)), b.mul(x_tap, I64(k))))
                    slot = self.slots[r, k]
                    b.store(v.multiply_add(given, _load(v, place, self.mask), b.load(slot, typ=v.type)), slot)

            if not checked:
                add()
                continue
            column = b.add(b.add(start, b.mul(q, per_pixel)), b.mul(per_tap, I64(k)))
            with b.if_then(b.icmp_unsigned("<", column, W)):
                add()
