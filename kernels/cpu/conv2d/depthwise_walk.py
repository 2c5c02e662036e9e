"""The walk under both depthwise forms: down the rows of x with P neighbouring pixels, one vector of channels at a time.

Each row of x is read once and meets all rows of the filter: with the sums of the J = ceil(KH / SH) rows of y that it
touches, or with the J rows of dy that touch it. Those rows lie in registers and move on by one for every SH rows of x.
Rows and columns beside x are left out by branches, which go the same way all along a walk.
"""

from llvmlite import ir
from numba.core import cgutils

from ..simd import I64


class Walk:
    """Emits the vectors of a pixel, the rows and columns of x, the J rows that move on.

    A subclass says what a vector begins and ends with (`vector`), what happens to a row of y or dy as it enters and
    leaves, and which of the J rows a row of x meets (`row_of_x`) and how (`multiply`). It provides `moving`: J x P
    stack slots, which LLVM turns into registers; moving[j] belongs to row t - j in step t.
    """

    def __init__(self, v, P, KH, KW, SH, SW, masked, C, v0, v1, x, x_row, x_tap, rows, top, H, left, W, y, y_row, y_q):
        self.v, self.builder, self.masked, self.C, self.vectors = v, v.builder, masked, C, (v0, v1)
        self.P, self.KH, self.KW, self.SH, self.SW, self.J = P, KH, KW, SH, SW, max(1, -(-KH // SH))
        self.x, self.x_row, self.x_tap, self.rows = x, x_row, x_tap, rows
        self.top, self.H, self.left, self.W = top, H, left, W
        self.y, self.y_row, self.y_q = y, y_row, y_q
        columns = {p * SW + kw for p in range(P) for kw in range(KW)}
        self.columns = {column: [p for p in range(P) if 0 <= column - p * SW < KW] for column in sorted(columns)}

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
        last = b.sub(self.C, I64(v.lanes))
        with cgutils.for_range(b, b.sub(end, first)) as loop:
            number = b.add(first, loop.index)
            c = b.mul(number, I64(v.lanes))
            if self.masked:
                self.mask = v.first(b.sub(self.C, c))
            else:
                c = b.select(b.icmp_signed("<", c, last), c, last)
            self.vector(number, b.mul(c, I64(v.item)), inside)

    def walk(self, at, inside):
        """Step t: row t enters, rows t*SH to t*SH + SH - 1 of x are read, row t - J + 1 leaves."""
        b = self.builder
        with cgutils.for_range(b, b.add(self.rows, I64(self.J - 1))) as loop:
            t = loop.index
            self.enter(t, at)
            for s in range(min(self.SH, self.KH)):
                row = b.add(b.mul(t, I64(self.SH)), I64(s))
                with b.if_then(b.icmp_unsigned("<", b.add(self.top, row), self.H), likely=True):
                    self.row_of_x(t, s, b.add(b.add(self.x, at), b.mul(row, self.x_row)), inside)
            self.leave(t, at)
            for j in range(self.J - 1, 0, -1):
                for p in range(self.P):
                    b.store(self.get(self.moving[j - 1][p]), self.moving[j][p])

    def each_column(self, s, x, inside, rows):
        """multiply(kh, kw, p, x) for the columns of a row of x, the taps kh = j*SH + s that meet it, j in `rows`."""
        b = self.builder
        for k, (column, users) in enumerate(self.columns.items()):

            def emit(column=column, users=users):
                value = self.load(b.add(x, self.times(self.x_tap, column)))
                for kh in (j * self.SH + s for j in rows if j * self.SH + s < self.KH):
                    for p in users:
                        self.multiply(kh, column - p * self.SW, self.moving[kh // self.SH][p], value)

            if inside is None:
                emit()
            else:
                with b.if_then(b.trunc(b.lshr(inside, I64(k)), ir.IntType(1)), likely=True):
                    emit()

    def place(self, row, p, at):
        """Where pixel p of a row of y or dy lies."""
        b = self.builder
        return b.add(b.add(self.y, at), b.add(b.mul(row, self.y_row), self.times(self.y_q, p)))

    def load(self, address):
        pointer = self.v.at(address, 0)
        return self.v.load_masked(pointer, self.mask) if self.masked else self.v.load(pointer)

    def store(self, value, address):
        pointer = self.v.at(address, 0)
        if self.masked:
            self.v.store_masked(value, pointer, self.mask)
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

    def taps(self):
        return [(kh, kw) for kh in range(self.KH) for kw in range(self.KW)]
