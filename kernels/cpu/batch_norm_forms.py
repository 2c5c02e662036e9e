"""The inner loops of batch normalisation, as forms: rows of memory whose every column has numbers of its own.

Arguments are int64: addresses, and steps in bytes. Only the columns that are there are read and written.
"""

from numba.core import cgutils

from .activation import ActivationVectors
from .forms import form_address
from .simd import I64, VECTOR_BYTES, Vectors

VECTORS = 4  # of a row whose sums are in registers at once


def moments(item):
    """The form of sums[j] = sum over s < length of d and products[j] = sum of d * d, where d = x[s, j] - shift[j].

    Its arguments are sums, products, x, x again, shift, the step of a row, length and columns.
    """
    return form_address(_emit_sums, (1, item), 8)


def gradient_sums(item):
    """The form of sums[j] = sum over s < length of dy[s, j] and products[j] = sum of dy[s, j] * (x[s, j] - shift[j]).

    Its arguments are sums, products, dy, x, shift, the step of a row, length and columns.
    """
    return form_address(_emit_sums, (0, item), 8)


def scaled_rows(act, item):
    """The form of y[s, j] = act((x[s, j] - mean[j]) * scale[j] + beta[j]), s < length.

    Its arguments are y, x, length, columns, mean, and the step from mean to scale and from there to beta.
    """
    return form_address(_emit_scaled, (act, item), 6)


def gradient_rows(item):
    """The form of dx[s, j] = dy[s, j] * a[j] + (x[s, j] - mean[j]) * b[j] + c[j], s < length.

    Its arguments are dx, dy, x, length, columns, mean, and the step from mean to a, from there to b and to c.
    """
    return form_address(_emit_gradient, (item,), 7)


def _emit_sums(builder, args, same, item):
    sums, products, p, x, shift, step, length, columns = args
    v = Vectors(builder, item, VECTOR_BYTES // item)
    block = _Sums(v, same, (p, x, step, length))
    wide = VECTORS * v.lanes
    strips = builder.sdiv(columns, I64(wide))
    with cgutils.for_range(builder, strips) as loop:
        block.emit((sums, products, shift), builder.mul(loop.index, I64(wide)), VECTORS)
    done = builder.mul(strips, I64(wide))
    rest = builder.sdiv(builder.add(builder.sub(columns, done), I64(v.lanes - 1)), I64(v.lanes))
    with cgutils.for_range(builder, rest) as loop:
        first = builder.add(done, builder.mul(loop.index, I64(v.lanes)))
        block.emit((sums, products, shift), first, 1, v.first(builder.sub(columns, first)))


class _Sums:
    """Emits the sums of some neighbouring columns. Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, same, rows):
        self.v, self.b, self.same, self.rows = v, v.builder, same, rows

    def emit(self, columns, first, vectors, mask=None):
        """columns: where the arrays of one number a column lie. first: of the columns. mask: of the last vector."""
        b, v = self.b, self.v
        p, x, step, length = self.rows
        offset = b.mul(first, I64(v.item))
        sums, products, shift = (b.add(a, offset) for a in columns)
        places = [k * v.lanes * v.item for k in range(vectors)]
        slots = [[cgutils.alloca_once(b, v.type) for _ in places] for _ in range(2)]
        for slot in slots[0] + slots[1]:
            b.store(v.zero, slot)
        shifts = [self._read(shift, at, mask) for at in places]
        with cgutils.for_range(b, length) as loop:
            row = b.add(b.mul(loop.index, step), offset)
            for k, at in enumerate(places):
                d = b.fsub(self._read(b.add(x, row), at, mask), shifts[k])
                value = d if self.same else self._read(b.add(p, row), at, mask)
                total, product = (b.load(slot[k], typ=v.type) for slot in slots)
                b.store(b.fadd(total, value), slots[0][k])
                b.store(v.multiply_add(value, d, product), slots[1][k])
        for to, found in zip((sums, products), slots, strict=True):
            for k, at in enumerate(places):
                self._write(b.load(found[k], typ=v.type), to, at, mask)

    def _read(self, address, at, mask):
        pointer = self.v.at(address, at)
        return self.v.load(pointer) if mask is None else self.v.load_masked(pointer, mask)

    def _write(self, value, address, at, mask):
        pointer = self.v.at(address, at)
        if mask is None:
            self.v.store(value, pointer)
        else:
            self.v.store_masked(value, pointer, mask)


def _emit_scaled(builder, args, act, item):
    y, x, length, columns, params, step = args
    v = ActivationVectors(builder, VECTOR_BYTES // item, item)

    def element(load, at, row):
        mean, scale, beta = (load(v.at(place, at)) for place in _following(builder, params, step, 3))
        d = builder.fsub(load(v.at(builder.add(x, row), at)), mean)
        return v.activate(act, v.multiply_add(d, scale, beta))

    _emit_rows(v, y, length, columns, element)


def _emit_gradient(builder, args, item):
    dx, dy, x, length, columns, params, step = args
    v = ActivationVectors(builder, VECTOR_BYTES // item, item)

    def element(load, at, row):
        mean, a, b, c = (load(v.at(place, at)) for place in _following(builder, params, step, 4))
        d = builder.fsub(load(v.at(builder.add(x, row), at)), mean)
        return v.multiply_add(d, b, v.multiply_add(load(v.at(builder.add(dy, row), at)), a, c))

    _emit_rows(v, dx, length, columns, element)


def _following(builder, first, step, count):
    """`count` addresses, `step` apart."""
    return [builder.add(first, builder.mul(step, I64(k))) for k in range(count)]


def _emit_rows(v, to, length, columns, element):
    """Write element(load, offset in a row, offset of the row) for all columns of `length` rows, which follow one
    another in memory."""
    b = v.builder
    with cgutils.for_range(b, length) as loop:
        row = b.mul(loop.index, b.mul(columns, I64(v.item)))
        out = b.add(to, row)
        v.walk(columns, lambda at, load, store: store(element(load, at, row), v.at(out, at)))
