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

    def strip(lanes):
        slots = [[cgutils.alloca_once(builder, v.type) for _ in lanes.places] for _ in range(2)]
        for slot in slots[0] + slots[1]:
            builder.store(v.zero, slot)
        shifts = lanes.read(shift)
        with cgutils.for_range(builder, length) as loop:
            row = builder.mul(loop.index, step)
            distances = [builder.fsub(a, b) for a, b in zip(lanes.read(builder.add(x, row)), shifts, strict=True)]
            values = distances if same else lanes.read(builder.add(p, row))
            for slot, value in zip(slots[0], values, strict=True):
                builder.store(builder.fadd(builder.load(slot, typ=v.type), value), slot)
            for slot, value, d in zip(slots[1], values, distances, strict=True):
                builder.store(v.multiply_add(value, d, builder.load(slot, typ=v.type)), slot)
        for to, found in zip((sums, products), slots, strict=True):
            lanes.write([builder.load(slot, typ=v.type) for slot in found], to)

    _over_strips(v, columns, strip)


def _emit_scaled(builder, args, act, item):
    y, x, length, columns, params, step = args
    v = ActivationVectors(builder, VECTOR_BYTES // item, item)

    def element(numbers, d):
        mean, scale, beta = numbers
        return v.activate(act, v.multiply_add(builder.fsub(d, mean), scale, beta))

    _emit_rows(v, y, (x,), length, columns, _following(builder, params, step, 3), element)


def _emit_gradient(builder, args, item):
    dx, dy, x, length, columns, params, step = args
    v = ActivationVectors(builder, VECTOR_BYTES // item, item)

    def element(numbers, d, value):
        mean, a, b, c = numbers
        return v.multiply_add(builder.fsub(value, mean), b, v.multiply_add(d, a, c))

    _emit_rows(v, dx, (dy, x), length, columns, _following(builder, params, step, 4), element)


def _following(builder, first, step, count):
    """`count` addresses, `step` apart."""
    return [builder.add(first, builder.mul(step, I64(k))) for k in range(count)]


def _emit_rows(v, to, sources, length, columns, params, element):
    """to[s, j] = element([p[j] for p in params], *[a[s, j] for a in sources]); rows follow one another in memory."""
    b = v.builder
    step = b.mul(columns, I64(v.item))

    def strip(lanes):
        numbers = list(zip(*(lanes.read(p) for p in params), strict=True))
        with cgutils.for_range(b, length) as loop:
            row = b.mul(loop.index, step)
            values = zip(*(lanes.read(b.add(a, row)) for a in sources), strict=True)
            found = [element(own, *given) for own, given in zip(numbers, values, strict=True)]
            lanes.write(found, b.add(to, row))

    _over_strips(v, columns, strip)


def _over_strips(v, columns, strip):
    """strip(lanes) for all columns: VECTORS vectors at a time, then one by one, the last of them masked."""
    b, wide = v.builder, VECTORS * v.lanes
    strips = b.sdiv(columns, I64(wide))
    with cgutils.for_range(b, strips) as loop:
        strip(_Strip(v, b.mul(loop.index, I64(wide)), VECTORS))
    done = b.mul(strips, I64(wide))
    rest = b.sdiv(b.add(b.sub(columns, done), I64(v.lanes - 1)), I64(v.lanes))
    with cgutils.for_range(b, rest) as loop:
        first = b.add(done, b.mul(loop.index, I64(v.lanes)))
        strip(_Strip(v, first, 1, v.first(b.sub(columns, first))))


class _Strip:
    """Some neighbouring columns, in registers. mask: of the one vector, where not all of it is there."""

    def __init__(self, v, first, vectors, mask=None):
        self.v, self.mask = v, mask
        self.places = _following(v.builder, v.builder.mul(first, I64(v.item)), I64(v.lanes * v.item), vectors)

    def read(self, row):
        """The vectors of a row that starts at an address."""
        pointers = [self.v.at(row, at) for at in self.places]
        return [self.v.load(p) if self.mask is None else self.v.load_masked(p, self.mask) for p in pointers]

    def write(self, values, row):
        for value, at in zip(values, self.places, strict=True):
            if self.mask is None:
                self.v.store(value, self.v.at(row, at))
            else:
                self.v.store_masked(value, self.v.at(row, at), self.mask)
