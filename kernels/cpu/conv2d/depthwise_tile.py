"""What depthwise.py does to a row of pixels: vectors along the channels, sums in registers.

Each form is compiled once, by itself, and called through its address; arguments are int64: addresses, steps in bytes,
numbers. The last vector of a pixel overlaps the one before, so that loads and stores are whole; only a form for fewer
channels than lanes (`masked`) needs a mask.
"""

from contextlib import nullcontext
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import compiled_address
from ..simd import I32, I64, vectors_of

_ZERO = {4: np.float32(0), 8: np.float64(0)}
_LINE, _PRODUCTS = 18, 17  # how many arguments


@cache
def filter_line(pixels, taps, stride, masked, item):
    """The form that computes a line of `count` pixels, `pixels` (no more than count) at a time.

        y[q, c] = act(start[c] + sum over kh < rows, kw < columns:  x[kh, q, kw, c] * w[kh, kw, c])

    taps > 0: so many columns, pixels lie `stride` taps apart and share columns of x; those beside x (of W columns, the
    first tap of the first pixel in `left`, taps tap_step apart) are left out. taps = 0: any number, all inside.
    """
    zero = _ZERO[item]

    def line(C, count, y, y_q, x, x_row, x_q, x_tap, w, w_row, w_tap, start, rows, columns, act, left, tap_step, W):
        _filter_line(
            pixels, taps, stride, masked, zero,
            (C, count, y, y_q, x, x_row, x_q, x_tap, w, w_row, w_tap, start, rows, columns, act, left, tap_step, W),
        )  # fmt: skip

    return compiled_address(line, types.void(*[types.int64] * _LINE))


@cache
def add_products(rows, taps, masked, item):
    """The form that adds a row of `count` pixels of dy to rows x taps sums in registers, and to those of the bias.

        sums[r, kw, c] += sum over pixels q:  dy[q, c] * x[r, q, kw, c],    bias[c] += sum of dy[q, c] (bias 0: none)

    From pixel `first` to last - 1 all taps lie inside x (of W columns, the first tap of the first pixel in `left`,
    pixels q_step and taps tap_step apart). A vector of channels has a place of its own in sums and bias: whole lanes.
    """
    zero = _ZERO[item]

    def line(C, count, sums, s_row, s_tap, bias, dy, x, x_row, x_q, x_tap, first, last, left, q_step, tap_step, W):
        _add_products(
            rows, taps, masked, zero,
            (C, count, sums, s_row, s_tap, bias, dy, x, x_row, x_q, x_tap, first, last, left, q_step, tap_step, W),
        )  # fmt: skip

    return compiled_address(line, types.void(*[types.int64] * _PRODUCTS))


@intrinsic
def call(typingctx, form, args):
    """Call a form at its address; args: a tuple of int64."""
    signature = types.void(form, args)

    def codegen(context, builder, signature, values):
        numbers = cgutils.unpack_tuple(builder, values[1])
        entry = ir.FunctionType(ir.VoidType(), [I64] * len(numbers))
        builder.call(builder.inttoptr(values[0], entry.as_pointer()), numbers)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def _filter_line(typingctx, pixels, taps, stride, masked, like, args):
    constants = [c.literal_value for c in (pixels, taps, stride, masked)]

    def codegen(context, builder, signature, values):
        _Line(vectors_of(builder, like), *constants, *cgutils.unpack_tuple(builder, values[5])).emit()
        return context.get_dummy_value()

    return types.void(pixels, taps, stride, masked, like, args), codegen


@intrinsic(prefer_literal=True)
def _add_products(typingctx, rows, taps, masked, like, args):
    constants = [c.literal_value for c in (rows, taps, masked)]

    def codegen(context, builder, signature, values):
        _Products(vectors_of(builder, like), *constants, *cgutils.unpack_tuple(builder, values[4])).emit()
        return context.get_dummy_value()

    return types.void(rows, taps, masked, like, args), codegen


class _Channels:
    """Emits a loop over the vectors of a pixel."""

    def __init__(self, v, masked, C):
        self.v, self.builder, self.masked, self.C = v, v.builder, masked, C
        self.mask = v.first(C) if masked else None

    def each(self, emit):
        """emit(number, offset) for every vector."""
        b, v = self.builder, self.v
        if self.masked:
            emit(I64(0), I64(0))
            return
        last = b.sub(self.C, I64(v.lanes))
        with cgutils.for_range(b, b.sdiv(b.add(self.C, I64(v.lanes - 1)), I64(v.lanes))) as loop:
            c = b.mul(loop.index, I64(v.lanes))
            emit(loop.index, b.mul(b.select(b.icmp_signed("<", c, last), c, last), I64(v.item)))

    def load(self, address):
        pointer = self.v.at(address, 0)
        return self.v.load_masked(pointer, self.mask) if self.masked else self.v.load(pointer)

    def store(self, value, address):
        pointer = self.v.at(address, 0)
        if self.masked:
            self.v.store_masked(value, pointer, self.mask)
        else:
            self.v.store(value, pointer)

    def prefetch(self, address):
        """Ask for the line of memory at an address, which need not exist."""
        name = "llvm.prefetch.p0"
        kinds = [ir.PointerType(), I32, I32, I32]
        module = self.builder.module
        entry = module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.builder.call(entry, [self.v.pointer(address), I32(0), I32(3), I32(1)])

    def slots(self, names):
        return {name: cgutils.alloca_once(self.builder, self.v.type) for name in names}

    def get(self, slot):
        return self.builder.load(slot, typ=self.v.type)

    def multiply_add(self, slot, a, b):
        self.builder.store(self.v.multiply_add(a, b, self.get(slot)), slot)

    def times(self, step, number):
        return self.builder.mul(step, I64(number))


class _Line(_Channels):
    """Emits filter_line."""

    def __init__(self, v, pixels, taps, stride, masked, C, count, y, y_q, x, x_row, x_q, x_tap, *rest):
        super().__init__(v, masked, C)
        self.pixels, self.taps, self.stride, self.count = pixels, taps, stride, count
        self.y, self.y_q, self.x, self.x_row, self.x_q, self.x_tap = y, y_q, x, x_row, x_q, x_tap
        self.w, self.w_row, self.w_tap, self.start, self.rows, self.columns, self.act, *self.place = rest

    def emit(self):
        b, P = self.builder, self.pixels
        with cgutils.for_range(b, b.sdiv(b.add(self.count, I64(P - 1)), I64(P))) as loop:
            q, most = b.mul(loop.index, I64(P)), b.sub(self.count, I64(P))
            q = b.select(b.icmp_signed("<", q, most), q, most)
            x, y = b.add(self.x, b.mul(q, self.x_q)), b.add(self.y, b.mul(q, self.y_q))
            if self.taps:
                self._pixels(q, x, y)
            else:
                self.each(lambda _, at: self._vector(b.add(x, at), b.add(y, at), at, None))

    def _pixels(self, q, x, y):
        """`pixels` neighbours from the q-th on, with or without columns beside x."""
        b = self.builder
        left, tap_step, W = self.place
        inside = [
            b.icmp_unsigned("<", b.add(left, b.mul(tap_step, b.add(b.mul(q, I64(self.stride)), I64(k)))), W)
            for k in range((self.pixels - 1) * self.stride + self.taps)
        ]
        with b.if_else(b.and_(inside[0], inside[-1]), likely=True) as (whole, edge):
            with whole:
                self.each(lambda _, at: self._vector(b.add(x, at), b.add(y, at), at, None))
            with edge:
                self.each(lambda _, at: self._vector(b.add(x, at), b.add(y, at), at, inside))

    def _vector(self, x, y, at, inside):
        """`pixels` pixels of a vector of channels; `inside`: whether each column is, None where all are."""
        b, v = self.builder, self.v
        sums = self.slots(range(self.pixels))
        start = self.load(b.add(self.start, at))
        for slot in sums.values():
            b.store(start, slot)
        w = b.add(self.w, at)
        below = b.add(x, b.mul(self.rows, self.x_row))
        for column in range(self.pixels * max(self.stride, 1) if self.pixels > 1 else 0):
            self.prefetch(b.add(below, self.times(self.x_tap if self.taps else self.x_q, column)))
        with cgutils.for_range(b, self.rows) as kh:
            own_x, own_w = b.add(x, b.mul(kh.index, self.x_row)), b.add(w, b.mul(kh.index, self.w_row))
            if self.taps:
                self._shared(sums, own_x, own_w, inside)
            else:
                self._apart(sums, own_x, own_w)
        relu = b.icmp_signed("==", self.act, I64(1))
        with b.if_then(relu):
            for slot in sums.values():
                b.store(v.relu(self.get(slot)), slot)
        for p, slot in sums.items():
            self.store(self.get(slot), b.add(y, self.times(self.y_q, p)))

    def _shared(self, sums, x, w, inside):
        b = self.builder
        filters = [self.load(b.add(w, self.times(self.w_tap, k))) for k in range(self.taps)]
        for column in range((self.pixels - 1) * self.stride + self.taps):
            users = [p for p in sums if 0 <= column - p * self.stride < self.taps]
            if not users:
                continue
            if inside is None:
                self._column(sums, users, column, x, filters)
            else:
                with b.if_then(inside[column]):
                    self._column(sums, users, column, x, filters)

    def _column(self, sums, users, column, x, filters):
        value = self.load(self.builder.add(x, self.times(self.x_tap, column)))
        for p in users:
            self.multiply_add(sums[p], value, filters[column - p * self.stride])

    def _apart(self, sums, x, w):
        b = self.builder
        with cgutils.for_range(b, self.columns) as kw:
            tap = self.load(b.add(w, b.mul(kw.index, self.w_tap)))
            own = b.add(x, b.mul(kw.index, self.x_tap))
            for p, slot in sums.items():
                self.multiply_add(slot, self.load(b.add(own, self.times(self.x_q, p))), tap)


class _Products(_Channels):
    """Emits add_products."""

    def __init__(self, v, rows, taps, masked, C, count, sums, s_row, s_tap, bias, dy, x, x_row, x_q, x_tap, *rest):
        super().__init__(v, masked, C)
        self.names = [(r, k) for r in range(rows) for k in range(taps)]
        self.taps, self.count, self.bias, self.dy, self.x = taps, count, bias, dy, x
        self.sums, self.s_row, self.s_tap = sums, s_row, s_tap
        self.x_row, self.x_q, self.x_tap = x_row, x_q, x_tap
        self.first, self.last, *self.columns = rest

    def emit(self):
        self.each(self._vector)

    def _vector(self, number, at):
        b, v = self.builder, self.v
        place = b.mul(number, I64(v.lanes * v.item))
        own = {
            (r, k): v.at(b.add(self.sums, place), b.add(self.times(self.s_row, r), self.times(self.s_tap, k)))
            for r, k in self.names
        }
        slots = self.slots([*self.names, "bias"])
        for name in self.names:
            b.store(v.load(own[name]), slots[name])
        b.store(v.zero, slots["bias"])
        for start, stop, checked in (
            (I64(0), self.first, True), (self.first, self.last, False), (self.last, self.count, True)
        ):  # fmt: skip
            with cgutils.for_range(b, b.sub(stop, start)) as loop:
                self._pixel(slots, b.add(start, loop.index), at, checked)
        for name in self.names:
            v.store(self.get(slots[name]), own[name])
        with b.if_then(b.icmp_signed("!=", self.bias, I64(0))):
            pointer = v.at(self.bias, place)
            v.store(b.fadd(v.load(pointer), self.get(slots["bias"])), pointer)

    def _pixel(self, slots, q, at, checked):
        """Add one pixel; `checked` leaves out the taps beside x."""
        b = self.builder
        given = self.load(b.add(b.add(self.dy, at), b.mul(q, b.mul(self.C, I64(self.v.item)))))
        b.store(b.fadd(self.get(slots["bias"]), given), slots["bias"])
        x = b.add(b.add(self.x, at), b.mul(q, self.x_q))
        left, q_step, tap_step, W = self.columns
        for k in range(self.taps):
            column = b.add(b.add(left, b.mul(q, q_step)), self.times(tap_step, k))
            with b.if_then(b.icmp_unsigned("<", column, W)) if checked else nullcontext():
                for r in [r for r, own in self.names if own == k]:
                    place = b.add(x, b.add(self.times(self.x_row, r), self.times(self.x_tap, k)))
                    self.multiply_add(slots[r, k], given, self.load(place))
