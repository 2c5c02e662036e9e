"""What groups.py does to a column of pixels, down the rows (groups_walk.py): filter them, or multiply and add.

Each form is compiled once, by itself, and called through its address; arguments are int64: addresses, steps in bytes,
numbers.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import compiled_address
from ..simd import I64, vectors_of
from .groups_walk import Walk

_ZERO = {4: np.float32(0), 8: np.float64(0)}
_FILTER, _PRODUCT = 21, 19  # how many arguments


@cache
def filter_walk(P, KH, KW, SH, SW, I, O, masked, item):
    """The form that computes `rows` rows of P neighbouring pixels, for vectors v0 to v1 - 1 of their channels.

        y[r, q, k] = act(start[k] + sum over kh, kw, i:  x[r*SH + kh, q*SW + kw, group of k, i] * w[kh, kw, i, k])

    I, O: input and output channels of a group, several of which share a vector; 0, 0: each vector lies in a group of
    `depth` input channels. table: places of the vectors in a pixel (groups.py). w, start: vectors, in the order of the
    table; start 0: from what y holds. The first tap of the first pixel lies in row `top` and column `left` of x, which
    has H rows and W columns; _q, _tap: bytes between neighbours.
    """
    zero = _ZERO[item]

    def walk(
        table, v0, v1, y, y_row, y_q, x, x_row, x_tap, w, w_vector, w_row, w_tap, start, rows, top, H, left, W, act,
        depth,
    ):  # fmt: skip
        _filter_walk(
            P, KH, KW, SH, SW, I, O, masked, zero,
            (table, v0, v1, x, x_row, x_tap, rows, top, H, left, W, y, y_row, y_q,
             w, w_vector, w_row, w_tap, start, act, depth),
        )  # fmt: skip

    return compiled_address(walk, types.void(*[types.int64] * _FILTER))


@cache
def product_walk(P, KH, KW, SH, SW, I, O, masked, item):
    """The form that adds `rows` rows of P neighbouring pixels of dy to the sums of KH x KW taps and I input channels.

        sums[kh, kw, i, k] += sum over r, q:  dy[r, q, k] * x[r*SH + kh, q*SW + kw, group of k, i]
        bias[k] += sum of dy[r, q, k]

    bias 0: none. O 0: each vector lies in a group. sums and bias: vectors, in the order of the table, s_vector bytes
    apart. The rest as in filter_walk.
    """
    zero = _ZERO[item]

    def walk(
        table, v0, v1, sums, s_vector, s_row, s_tap, bias, dy, dy_row, dy_q, x, x_row, x_tap, rows, top, H, left, W
    ):
        _product_walk(
            P, KH, KW, SH, SW, I, O, masked, zero,
            (table, v0, v1, x, x_row, x_tap, rows, top, H, left, W, dy, dy_row, dy_q,
             sums, s_vector, s_row, s_tap, bias),
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
def _filter_walk(typingctx, P, KH, KW, SH, SW, I, O, masked, like, args):
    return _emission(_Filter, (P, KH, KW, SH, SW, I, O, masked), like, args)


@intrinsic(prefer_literal=True)
def _product_walk(typingctx, P, KH, KW, SH, SW, I, O, masked, like, args):
    return _emission(_Products, (P, KH, KW, SH, SW, I, O, masked), like, args)


def _emission(walk, constants, like, args):
    def codegen(context, builder, signature, values):
        numbers = cgutils.unpack_tuple(builder, values[-1])
        walk(vectors_of(builder, like), [c.literal_value for c in constants], *numbers).emit()
        return context.get_dummy_value()

    return types.void(*constants, like, args), codegen


class _Filter(Walk):
    """Emits filter_walk: sums of y move."""

    def __init__(self, v, constants, *numbers):
        *shared, self.w, self.w_vector, self.w_row, self.w_tap, self.start, self.act, self.depth = numbers
        super().__init__(v, constants, *shared)

    def vector(self, number, inside):
        b, v = self.builder, self.v
        first = self.slot(v.zero)
        with b.if_then(self._given()):
            b.store(v.load(v.at(self.start, b.mul(number, I64(v.lanes * v.item)))), first)
        self.first = self.get(first)
        self.own_w = b.add(self.w, b.mul(number, self.w_vector))
        self.moving = self.moving_rows()
        self.walk(inside)

    def _given(self):
        return self.builder.icmp_signed("!=", self.start, I64(0))

    def enter(self, t):
        b = self.builder
        for slot in self.moving[0]:
            b.store(self.first, slot)
        with b.if_then(b.and_(b.not_(self._given()), b.icmp_signed("<", t, self.rows)), likely=False):
            for place, slot in zip(self.row_of_y(t), self.moving[0], strict=True):
                b.store(self.load(place), slot)

    def row_of_x(self, t, s, x, inside):
        if self.O:
            for i in range(self.I):
                self._input_channel(s, x, inside, i)
        else:
            with cgutils.for_range(self.builder, self.depth) as loop:
                self._input_channel(s, x, inside, loop.index)

    def _input_channel(self, s, x, inside, i):
        b, v = self.builder, self.v
        moved = b.mul(I64(i) if isinstance(i, int) else i, I64(v.lanes * v.item))
        own = b.add(self.own_w, moved)
        filters = {
            (kh, kw): v.load(v.at(b.add(own, self.times(self.w_row, kh)), self.times(self.w_tap, kw)))
            for kh in self.taps_of(s, range(self.J))
            for kw in range(self.KW)
        }

        def emit(column, users, place):
            value = self.input(place, i)
            for kh, kw in filters:
                for p in users:
                    if column - p * self.SW == kw:
                        total = self.moving[kh // self.SH][p]
                        b.store(v.multiply_add(value, filters[kh, kw], self.get(total)), total)

        self.each_column(x, inside, emit)

    def leave(self, t):
        b, v = self.builder, self.v
        row = b.sub(t, I64(self.J - 1))
        with b.if_then(b.icmp_signed(">=", row, I64(0)), likely=True):
            with b.if_then(b.icmp_signed("==", self.act, I64(1))):
                for slot in self.moving[-1]:
                    b.store(v.relu(self.get(slot)), slot)
            for place, slot in zip(self.row_of_y(row), self.moving[-1], strict=True):
                self.store(self.get(slot), place)


class _Products(Walk):
    """Emits product_walk: rows of dy move."""

    def __init__(self, v, constants, *numbers):
        *shared, self.sums, self.s_vector, self.s_row, self.s_tap, self.bias = numbers
        super().__init__(v, constants, *shared)

    def vector(self, number, inside):
        b, v = self.builder, self.v
        own = b.mul(number, self.s_vector)
        places = {
            (kh, kw, i): v.at(
                b.add(b.add(self.sums, own), self.times(self.s_row, kh)),
                b.add(self.times(self.s_tap, kw), I64(i * v.lanes * v.item)),
            )
            for kh in range(self.KH)
            for kw in range(self.KW)
            for i in range(self.I)
        }
        self.totals = {tap: self.slot(v.load(place)) for tap, place in places.items()}
        self.given = self.slot(v.zero)
        self.moving = self.moving_rows()
        self.walk(inside)
        for tap, place in places.items():
            v.store(self.get(self.totals[tap]), place)
        with b.if_then(self._wanted()):
            pointer = v.at(self.bias, own)
            v.store(b.fadd(v.load(pointer), self.get(self.given)), pointer)

    def _wanted(self):
        return self.builder.icmp_signed("!=", self.bias, I64(0))

    def enter(self, t):
        b = self.builder
        with b.if_then(b.icmp_signed("<", t, self.rows), likely=True):
            for place, slot in zip(self.row_of_y(t), self.moving[0], strict=True):
                b.store(self.load(place), slot)
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
                self._multiply(s, x, inside, range(self.J))
            with some:
                for j in range(self.J):
                    with b.if_then(b.icmp_unsigned("<", b.sub(t, I64(j)), self.rows)):
                        self._multiply(s, x, inside, [j])

    def _multiply(self, s, x, inside, rows):
        b, v = self.builder, self.v

        def emit(column, users, place):
            for i in range(self.I):
                value = self.input(place, i)
                for kh in self.taps_of(s, rows):
                    for p in users:
                        total = self.totals[kh, column - p * self.SW, i]
                        given = self.get(self.moving[kh // self.SH][p])
                        b.store(v.multiply_add(value, given, self.get(total)), total)

        self.each_column(x, inside, emit)

    def leave(self, t):
        pass
