"""What depthwise.py does to a column of pixels, down the rows (depthwise_walk.py): filter them, or multiply and add.

Each form is compiled once, by itself, and called through its address; arguments are int64: addresses, steps in bytes,
numbers. The last vector of a pixel overlaps the one before, so that loads and stores are whole. `masked` forms use a
mask instead: for fewer channels than lanes, and for sums that go on from y, which must not go on twice.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import compiled_address
from ..simd import I64, vectors_of
from .depthwise_walk import Walk

_ZERO = {4: np.float32(0), 8: np.float64(0)}
_FILTER, _PRODUCT = 19, 18  # how many arguments


@cache
def filter_walk(pixels, KH, KW, SH, SW, masked, item):
    """The form that computes `rows` rows of `pixels` neighbours, for vectors v0 to v1 - 1 of their C channels.

        y[i, q, c] = act(start[c] + sum over kh, kw:  x[i*SH + kh, q*SW + kw, c] * w[kh, kw, c])

    start 0: from what y holds. The first tap of the first pixel lies in row `top` and column `left` of x, which has H
    rows and W columns; _q, _tap: bytes between neighbours.
    """
    zero = _ZERO[item]

    def walk(C, v0, v1, y, y_row, y_q, x, x_row, x_tap, w, w_row, w_tap, start, rows, top, H, left, W, act):
        _filter_walk(
            pixels, KH, KW, SH, SW, masked, zero,
            (C, v0, v1, x, x_row, x_tap, rows, top, H, left, W, y, y_row, y_q, w, w_row, w_tap, start, act),
        )  # fmt: skip

    return compiled_address(walk, types.void(*[types.int64] * _FILTER))


@cache
def product_walk(pixels, KH, KW, SH, SW, masked, item):
    """The form that adds `rows` rows of `pixels` neighbours of dy to the sums of KH x KW taps.

        sums[kh, kw, c] += sum over i, q:  dy[i, q, c] * x[i*SH + kh, q*SW + kw, c],    bias[c] += sum of dy[i, q, c]

    bias 0: none. A vector of channels has a place of its own in sums and bias: whole lanes. The rest as in filter_walk.
    """
    zero = _ZERO[item]

    def walk(C, v0, v1, sums, s_row, s_tap, bias, dy, dy_row, dy_q, x, x_row, x_tap, rows, top, H, left, W):
        _product_walk(
            pixels, KH, KW, SH, SW, masked, zero,
            (C, v0, v1, x, x_row, x_tap, rows, top, H, left, W, dy, dy_row, dy_q, sums, s_row, s_tap, bias),
        )  # fmt: skip

    return compiled_address(walk, types.void(*[types.int64] * _PRODUCT))


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
def _filter_walk(typingctx, pixels, KH, KW, SH, SW, masked, like, args):
    return _emission(_Filter, (pixels, KH, KW, SH, SW, masked), like, args)


@intrinsic(prefer_literal=True)
def _product_walk(typingctx, pixels, KH, KW, SH, SW, masked, like, args):
    return _emission(_Products, (pixels, KH, KW, SH, SW, masked), like, args)


def _emission(walk, constants, like, args):
    def codegen(context, builder, signature, values):
        numbers = cgutils.unpack_tuple(builder, values[-1])
        walk(vectors_of(builder, like), *(c.literal_value for c in constants), *numbers).emit()
        return context.get_dummy_value()

    return types.void(*constants, like, args), codegen


class _Filter(Walk):
    """Emits filter_walk: sums of y move."""

    def __init__(self, v, *numbers):
        *shared, self.w, self.w_row, self.w_tap, self.start, self.act = numbers
        super().__init__(v, *shared)

    def vector(self, number, at, inside):
        b, v = self.builder, self.v
        first = self.slot(v.zero)
        with b.if_then(self._given()):
            b.store(self.load(b.add(self.start, at)), first)
        self.first = self.get(first)
        own = b.add(self.w, at)
        self.filters = {
            (kh, kw): self.load(b.add(own, b.add(self.times(self.w_row, kh), self.times(self.w_tap, kw))))
            for kh, kw in self.taps()
        }
        self.moving = [[self.slot(v.zero) for _ in range(self.P)] for _ in range(self.J)]
        self.walk(at, inside)

    def _given(self):
        return self.builder.icmp_signed("!=", self.start, I64(0))

    def enter(self, t, at):
        b = self.builder
        for slot in self.moving[0]:
            b.store(self.first, slot)
        with b.if_then(b.and_(b.not_(self._given()), b.icmp_signed("<", t, self.rows)), likely=False):
            for p, slot in enumerate(self.moving[0]):
                b.store(self.load(self.place(t, p, at)), slot)

    def row_of_x(self, t, s, x, inside):
        self.each_column(s, x, inside, range(self.J))

    def multiply(self, kh, kw, total, value):
        self.builder.store(self.v.multiply_add(value, self.filters[kh, kw], self.get(total)), total)

    def leave(self, t, at):
        b, v = self.builder, self.v
        row = b.sub(t, I64(self.J - 1))
        with b.if_then(b.icmp_signed(">=", row, I64(0)), likely=True):
            with b.if_then(b.icmp_signed("==", self.act, I64(1))):
                for slot in self.moving[-1]:
                    b.store(v.relu(self.get(slot)), slot)
            for p, slot in enumerate(self.moving[-1]):
                self.store(self.get(slot), self.place(row, p, at))


class _Products(Walk):
    """Emits product_walk: rows of dy move."""

    def __init__(self, v, *numbers):
        *shared, self.sums, self.s_row, self.s_tap, self.bias = numbers
        super().__init__(v, *shared)

    def vector(self, number, at, inside):
        b, v = self.builder, self.v
        own = b.mul(number, I64(v.lanes * v.item))
        places = {
            (kh, kw): v.at(b.add(self.sums, own), b.add(self.times(self.s_row, kh), self.times(self.s_tap, kw)))
            for kh, kw in self.taps()
        }
        self.totals = {tap: self.slot(v.load(place)) for tap, place in places.items()}
        self.given = self.slot(v.zero)
        self.moving = [[self.slot(v.zero) for _ in range(self.P)] for _ in range(self.J)]
        self.walk(at, inside)
        for tap, place in places.items():
            v.store(self.get(self.totals[tap]), place)
        with b.if_then(self._wanted()):
            pointer = v.at(self.bias, own)
            v.store(b.fadd(v.load(pointer), self.get(self.given)), pointer)

    def _wanted(self):
        return self.builder.icmp_signed("!=", self.bias, I64(0))

    def enter(self, t, at):
        b = self.builder
        with b.if_then(b.icmp_signed("<", t, self.rows), likely=True):
            for p, slot in enumerate(self.moving[0]):
                b.store(self.load(self.place(t, p, at)), slot)
            with b.if_then(self._wanted()):
                total = self.get(self.moving[0][0])
                for slot in self.moving[0][1:]:
                    total = b.fadd(total, self.get(slot))
                b.store(b.fadd(self.get(self.given), total), self.given)

    def row_of_x(self, t, s, x, inside):
        """In the first and last steps some of the J rows do not exist: what stands there must not be multiplied."""
        b = self.builder
        there = b.and_(b.icmp_signed(">=", t, I64(self.J - 1)), b.icmp_signed("<", t, self.rows))
        with b.if_else(there, likely=True) as (all_rows, some):
            with all_rows:
                self.each_column(s, x, inside, range(self.J))
            with some:
                for j in range(self.J):
                    row = b.sub(t, I64(j))
                    with b.if_then(b.icmp_unsigned("<", row, self.rows)):
                        self.each_column(s, x, inside, [j])

    def multiply(self, kh, kw, given, value):
        total = self.totals[kh, kw]
        self.builder.store(self.v.multiply_add(value, self.get(given), self.get(total)), total)

    def leave(self, t, at):
        pass
