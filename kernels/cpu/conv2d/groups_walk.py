"""The walk under both forms for groups: down the rows of x with P neighbouring pixels, a vector of channels at a time.

Each row of x is read once and meets all rows of the filter: with the sums of the J = ceil(KH / SH) rows of y that it
touches, or with the J rows of dy that touch it. Those rows lie in registers and move on by one for every SH rows of x.
Rows and columns beside x are left out by branches, which go the same way all along a walk.

A vector of y's channels meets one input channel of its group at a time. Where it holds several groups, O channels of
each, their input channels lie in one vector of x, I of each, and are spread by a shuffle: lane k takes number
k // O * I + i. Where it lies within a group, the input channel is broadcast.
"""

from llvmlite import ir
from numba.core import cgutils

from ..simd import I64

_VECTOR = 5  # numbers of a vector in the table
Y_AT, X_AT, Y_LANES, X_LANES = range(4)


class Walk:
    """Emits the vectors of a pixel, the rows and columns of x, the J rows that move on.

    A subclass says what a vector begins and ends with (`vector`), what happens to a row of y or dy as it enters and
    leaves, and which of the J rows a row of x meets (`row_of_x`) and how (`multiply`). It provides `moving`: J x P
    stack slots, which LLVM turns into registers; moving[j] belongs to row t - j in step t.

    constants: (P, KH, KW, SH, SW, I, O, masked), O 0 for a broadcast. masked: only the lanes that the table of vectors
    gives are read and written.
    """

    def __init__(self, v, constants, table, v0, v1, x, x_row, x_tap, rows, top, H, left, W, y, y_row, y_q):
        self.v, self.builder = v, v.builder
        self.P, self.KH, self.KW, self.SH, self.SW, self.I, self.O, self.masked = constants
        self.J = max(1, -(-self.KH // self.SH))
        self.table, self.vectors = table, (v0, v1)
        self.x, self.x_row, self.x_tap, self.rows = x, x_row, x_tap, rows
        self.top, self.H, self.left, self.W = top, H, left, W
        self.y, self.y_row, self.y_q = y, y_row, y_q
        columns = sorted({p * self.SW + kw for p in range(self.P) for kw in range(self.KW)})
        self.columns = {c: [p for p in range(self.P) if 0 <= c - p * self.SW < self.KW] for c in columns}

    def emit(self):
        b = self.builder
        inside = [b.icmp_unsigned("<", b.add(self.left, I64(column)), self.W) for column in self.columns]
        if not inside:
            self._each_vector(None)
            return
        bits = I64(0)
        for k, there in enumerate(inside):
            bits = b.or_(bits, b.shl(b.zext(there, I64), I64(k)))
        with b.if_else(b.and_(inside[0], inside[-1]), likely=True) as (whole, edge):
            with whole:
                self._each_vector(None)
            with edge:
                self._each_vector(bits)

    def _each_vector(self, inside):
        """inside: a bit for each column, None where all are."""
        b, v = self.builder, self.v
        first, end = self.vectors
        with cgutils.for_range(b, b.sub(end, first)) as loop:
            number = b.add(first, loop.index)
            own = b.add(self.table, b.mul(number, I64(8 * _VECTOR)))
            y_at, x_at, y_lanes, x_lanes = (
                b.load(v.at(own, 8 * k), align=8, typ=I64) for k in (Y_AT, X_AT, Y_LANES, X_LANES)
            )
            self.own_y, self.own_x = b.add(self.y, y_at), b.add(self.x, x_at)
            self.y_mask, self.x_mask = (v.first(n) if self.masked else None for n in (y_lanes, x_lanes))
            self.vector(number, inside)

    def walk(self, inside):
        """Step t: row t enters, rows t*SH to t*SH + SH - 1 of x are read, row t - J + 1 leaves."""
        b = self.builder
        with cgutils.for_range(b, b.add(self.rows, I64(self.J - 1))) as loop:
            t = loop.index
            self.enter(t)
            for s in range(min(self.SH, self.KH)):
                row = b.add(b.mul(t, I64(self.SH)), I64(s))
                with b.if_then(b.icmp_unsigned("<", b.add(self.top, row), self.H), likely=True):
                    self.row_of_x(t, s, b.add(self.own_x, b.mul(row, self.x_row)), inside)
            self.leave(t)
            for j in range(self.J - 1, 0, -1):
                for p in range(self.P):
                    b.store(self.get(self.moving[j - 1][p]), self.moving[j][p])

    def each_column(self, x, inside, emit):
        """emit(column, pixels that it meets, its address) for the columns of a row of x that are inside."""
        b = self.builder
        for k, (column, users) in enumerate(self.columns.items()):
            place = b.add(x, self.times(self.x_tap, column))
            if inside is None:
                emit(column, users, place)
            else:
                with b.if_then(b.trunc(b.lshr(inside, I64(k)), ir.IntType(1)), likely=True):
                    emit(column, users, place)

    def taps_of(self, s, rows):
        """The rows kh = j*SH + s of the filter that meet a row of x, for j in `rows`."""
        return [j * self.SH + s for j in rows if j * self.SH + s < self.KH]

    def input(self, place, i):
        """Input channel i (an int; or a value for a broadcast) of the groups of a vector, from a pixel of x."""
        v = self.v
        if not self.O:
            i = I64(i) if isinstance(i, int) else i
            return v.broadcast(v.at(place, self.builder.mul(i, I64(v.item))))
        value = self._load(place, self.x_mask)
        taken = [k // self.O * self.I + i for k in range(v.lanes)]
        lanes = [k if k < v.lanes else 0 for k in taken]  # lanes beyond the groups of a vector are not stored
        return value if lanes == list(range(v.lanes)) else v.shuffle(value, value, lanes)

    def row_of_y(self, row):
        """Addresses of the pixels of a row of y or dy."""
        b = self.builder
        own = b.add(self.own_y, b.mul(row, self.y_row))
        return [b.add(own, self.times(self.y_q, p)) for p in range(self.P)]

    def load(self, place):
        return self._load(place, self.y_mask)

    def store(self, value, place):
        pointer = self.v.at(place, 0)
        if self.masked:
            self.v.store_masked(value, pointer, self.y_mask)
        else:
            self.v.store(value, pointer)

    def slot(self, value):
        """A register that holds `value` at first."""
        slot = cgutils.alloca_once(self.builder, self.v.type)
        self.builder.store(value, slot)
        return slot

    def get(self, slot):
        return self.builder.load(slot, typ=self.v.type)

    def times(self, step, number):
        return self.builder.mul(step, I64(number))

    def moving_rows(self):
        return [[self.slot(self.v.zero) for _ in range(self.P)] for _ in range(self.J)]

    def _load(self, place, mask):
        pointer = self.v.at(place, 0)
        return self.v.load_masked(pointer, mask) if self.masked else self.v.load(pointer)
