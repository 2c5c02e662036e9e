"""Winograd's transforms F(4x4, 3x3) and F(2x2, 5x5) on vectors of channels: forms that kernels call by their address.

    Y = A^T [(G g G^T) * (B^T d B)] A        d 6x6 pixels, g 3x3 or 5x5 taps, Y 4x4 or 2x2 pixels, * by elements

(Lavin and Gray, arXiv 1509.09308.) For the gradient of the filters the same three matrices change places:

    dg = G^T [(B^T d B) * (A dY A^T)] G

The matrices follow from points at which polynomials are evaluated: 0, S, -S, L, -L and infinity. G and A are the powers
of the points, as many as there are taps and pixels, G with the divisors of the interpolation; B^T is the same for both
sizes. With the textbook's 1 and 2 the result is off by 2 times as much as with 5/8 and 3/2 (measured, 3x3; the choice
is that of the Neon library), whose squares and products are exact in binary. Pairs of opposite points share all but one
of their multiplications.

In memory the 36 numbers of a vector of channels lie `xi_step` bytes apart.

Ladder (AMD Zen 5, AVX-512, both cores at work; cycles for a vector of a tile, in 3x3 layers of 64 and 128 channels):
                                                       input        output
    36 loads, 144 or 130 operations, 36 or 16 stores   560 to 780   380 to 560
    the pixels of the next tile asked for ahead        240 to 390   190 to 230
    all in the first-level cache                       150          160
"""

from contextlib import contextmanager
from functools import partial

from llvmlite import ir
from numba.core import cgutils

from ..forms import form_address
from ..simd import I64, VECTOR_BYTES, Vectors

POINTS = 36  # products of a tile
EDGE = 6  # side of an input tile
S, L = 5 / 8, 3 / 2
DIVISORS = S * S * L * L, 2 * S * S * (S * S - L * L), 2 * L * L * (L * L - S * S)  # of 0, of +-S, of +-L
ONES = 1, 1, 1


def input_form(side, block=1):
    """(pixels, ahead, to, xi_step, block_step, vectors): B^T d B of `vectors` vectors of channels.

    pixels: the addresses of 36 pixels, row by row. ahead: bytes to those of the tile that comes next, `side` pixels on,
    which are asked for. to: where the first of the 36 results goes. `block` vectors lie side by side, then `block_step`
    bytes on.
    """
    return form_address(_input, (VECTOR_BYTES, side, block), 6)


def filter_form(taps):
    """(source, tap_step, to, xi_step, vectors): G g G^T, of `taps` x `taps` that lie `tap_step` bytes apart."""
    return form_address(_filter, (VECTOR_BYTES, taps), 5)


def output_form(side):
    """(source, xi_step, pixels, ahead, bias, relu, vectors): bias + A^T m A, and ReLU of it where `relu` is not 0.

    pixels: the addresses of `side` x `side` pixels, row by row. ahead: as above. bias: of as many channels.
    """
    return form_address(_output, (VECTOR_BYTES, side), 7)


def gradient_form(side):
    """(pixels, ahead, to, xi_step, block_step, totals, vectors): A dY A^T; adds all pixels to `totals`.

    pixels: the addresses of `side` x `side` pixels, row by row. The rest as for input_form, of blocks of one vector.
    """
    return form_address(_gradient, (VECTOR_BYTES, side), 7)


def filter_gradient_form(taps):
    """(source, xi_step, to, tap_step, vectors): G^T m G, `taps` x `taps` that go `tap_step` bytes apart."""
    return form_address(_filter_gradient, (VECTOR_BYTES, taps), 5)


class _Lanes:
    """Arithmetic of one vector of float32 with constants."""

    def __init__(self, builder):
        self.v = Vectors(builder, 4, VECTOR_BYTES // 4)
        self.builder = builder

    def total(self, terms):
        """The sum of number * a over terms (number, a)."""
        (number, a), *rest = terms
        result = a if number == 1 else self.builder.fmul(a, self._constant(number))
        for number, a in rest:
            result = self.plus(result, number, a)
        return result

    def plus(self, a, number, b):
        """a + number * b"""
        return self.v.multiply_add(b, self._constant(number), a)

    def sum_and_difference(self, a, b):
        return self.builder.fadd(a, b), self.builder.fsub(a, b)

    def load(self, address, offset):
        return self.v.load(self.v.at(address, offset))

    def fetch(self, address, offset):
        self.v.fetch(self.v.at(address, offset))

    def store(self, value, address, offset):
        self.v.store(value, self.v.at(address, offset))

    def _constant(self, number):
        return ir.Constant(self.v.type, [number] * self.v.lanes)


def _input(builder, args, _, side, block):
    pixels, ahead, to, xi_step, block_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        places = [_address(lanes, pixels, k) for k in range(EDGE * EDGE)]
        d = [lanes.load(place, offset) for place in places]
        for k, place in enumerate(places):
            if k % EDGE >= EDGE - side:
                lanes.fetch(place, builder.add(offset, ahead))
        own = builder.add(to, _in_blocks(builder, offset, block, block_step))
        _store_points(lanes, _on_both_sides(_input_line, lanes, d, EDGE), own, xi_step)


def _filter(builder, args, _, taps):
    source, tap_step, to, xi_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        own = builder.add(source, offset)
        g = [lanes.load(own, builder.mul(tap_step, I64(k))) for k in range(taps * taps)]
        values = _on_both_sides(partial(_values, divisors=DIVISORS), lanes, g, taps)
        _store_points(lanes, values, builder.add(to, offset), xi_step)


def _output(builder, args, _, side):
    source, xi_step, pixels, ahead, bias, relu, vectors = args
    lanes = _Lanes(builder)
    positive = builder.icmp_signed("!=", relu, I64(0))
    with _each_vector(builder, vectors) as offset:
        own = builder.add(source, offset)
        m = [lanes.load(own, builder.mul(xi_step, I64(k))) for k in range(POINTS)]
        start = lanes.load(bias, offset)
        for k, y in enumerate(_on_both_sides(partial(_coefficients, count=side, divisors=ONES), lanes, m, EDGE)):
            y = builder.fadd(y, start)
            y = builder.select(positive, lanes.v.relu(y), y)
            place = _address(lanes, pixels, k)
            lanes.store(y, place, offset)
            lanes.fetch(place, builder.add(offset, ahead))


def _gradient(builder, args, _, side):
    pixels, ahead, to, xi_step, block_step, totals, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        places = [_address(lanes, pixels, k) for k in range(side * side)]
        dy = [lanes.load(place, offset) for place in places]
        for place in places:
            lanes.fetch(place, builder.add(offset, ahead))
        lanes.store(builder.fadd(lanes.load(totals, offset), _total(builder, dy)), totals, offset)
        own = builder.add(to, _in_blocks(builder, offset, 1, block_step))
        _store_points(lanes, _on_both_sides(partial(_values, divisors=ONES), lanes, dy, side), own, xi_step)


def _filter_gradient(builder, args, _, taps):
    source, xi_step, to, tap_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        own, target = builder.add(source, offset), builder.add(to, offset)
        m = [lanes.load(own, builder.mul(xi_step, I64(k))) for k in range(POINTS)]
        for k, dw in enumerate(_on_both_sides(partial(_coefficients, count=taps, divisors=DIVISORS), lanes, m, EDGE)):
            lanes.store(dw, target, builder.mul(tap_step, I64(k)))


def _input_line(lanes, d):
    """B^T d: the values of six numbers' polynomial that meet the taps' at each point."""
    d0, d1, d2, d3, d4, d5 = d
    zero = lanes.plus(lanes.plus(d4, -S * S - L * L, d2), S * S * L * L, d0)
    infinity = lanes.plus(lanes.plus(d5, -S * S - L * L, d3), S * S * L * L, d1)
    pairs = []
    for point, other in ((S, L), (L, S)):
        even, odd = lanes.plus(d4, -other * other, d2), lanes.plus(d3, -other * other, d1)
        pairs += [lanes.plus(even, point, odd), lanes.plus(even, -point, odd)]
    return [zero, *pairs, infinity]


def _values(lanes, polynomial, divisors):
    """The polynomial of these coefficients at each point, over the point's divisor: G g, and without divisors A y."""
    result = [lanes.total([(1 / divisors[0], polynomial[0])])]
    for point, divisor in zip((S, L), divisors[1:], strict=True):
        terms = [(point**k / divisor, value) for k, value in enumerate(polynomial)]
        result += lanes.sum_and_difference(lanes.total(terms[::2]), lanes.total(terms[1::2]))
    return [*result, polynomial[-1]]


def _coefficients(lanes, values, count, divisors):
    """The transpose of `_values`, whose polynomial has `count` coefficients: A^T m, and with divisors G^T m."""
    pairs = [lanes.sum_and_difference(*values[k : k + 2]) for k in (1, 3)]
    of_points = list(zip((S, L), divisors[1:], pairs, strict=True))
    terms = [[(point**k / divisor, pair[k % 2]) for point, divisor, pair in of_points] for k in range(count)]
    terms[0].insert(0, (1 / divisors[0], values[0]))
    terms[-1].insert(0, (1, values[-1]))
    return [lanes.total(own) for own in terms]


def _total(builder, values):
    """Their sum, added in pairs."""
    while len(values) > 1:
        values = [builder.fadd(*values[k : k + 2]) for k in range(0, len(values), 2)]
    return values[0]


def _on_both_sides(line, lanes, values, width):
    """T values T^T, row by row, where line(values) is T times a column."""
    columns = [line(lanes, values[c::width]) for c in range(width)]
    return [value for row in zip(*columns, strict=True) for value in line(lanes, list(row))]


@contextmanager
def _each_vector(builder, vectors):
    """A loop over vectors; the offset of each in bytes."""
    with cgutils.for_range(builder, vectors) as loop:
        yield builder.mul(loop.index, I64(VECTOR_BYTES))


def _in_blocks(builder, offset, block, block_step):
    """Where a vector goes: `block` of them side by side, the next ones `block_step` bytes further on."""
    size = I64(block * VECTOR_BYTES)
    return builder.add(builder.mul(builder.udiv(offset, size), block_step), builder.urem(offset, size))


def _address(lanes, table, k):
    return lanes.builder.load(lanes.v.at(table, 8 * k), align=8, typ=I64)


def _store_points(lanes, values, to, xi_step):
    for k, value in enumerate(values):
        lanes.store(value, to, lanes.builder.mul(xi_step, I64(k)))
