"""Winograd's transforms F(4x4, 3x3) on vectors of channels: forms that kernels call through their address.

    Y = A^T [(G g G^T) * (B^T d B)] A        d 6x6 pixels, g 3x3 taps, Y 4x4 pixels, * element by element

(Lavin and Gray, arXiv 1509.09308.) For the gradient of the filters the same three matrices change places:

    dg = G^T [(B^T d B) * (A dY A^T)] G

The matrices follow from points at which polynomials are evaluated: 0, -S, S, -L, L and infinity. With the textbook's 1
and 2 the result is off by 2 times as much as with 5/8 and 3/2 (measured; the choice is that of the Neon library), whose
squares and products are exact in binary. Pairs of opposite points share all but one of their multiplications.

In memory the 36 numbers of a vector of channels lie `xi_step` bytes apart.

Ladder (AMD Zen 5, AVX-512, both cores at work; cycles for a vector of a tile, in 3x3 layers of 64 and 128 channels):
                                                       input        output
    36 loads, 144 or 130 operations, 36 or 16 stores   560 to 780   380 to 560
    the pixels of the next tile asked for ahead        240 to 390   190 to 230
    all in the first-level cache                       150          160
"""

from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils

from ..forms import form_address
from ..simd import I64, VECTOR_BYTES, Vectors

POINTS = 36  # products of a tile
EDGE, TAPS, PIXELS = 6, 3, 4  # side of an input tile, of a filter, of an output tile
S, L = 5 / 8, 3 / 2
_N0, _NS, _NL = S * S * L * L, 2 * S * S * (S * S - L * L), 2 * L * L * (L * L - S * S)


def input_form(block=1):
    """(pixels, ahead, to, xi_step, block_step, vectors): B^T d B of `vectors` vectors of channels.

    pixels: the addresses of 36 pixels, row by row. ahead: bytes to those of the tile that comes next, which are asked
    for. to: where the first of the 36 results goes. `block` vectors lie side by side, then `block_step` bytes on.
    """
    return form_address(_input, (VECTOR_BYTES, block), 6)


def filter_form():
    """(source, tap_step, to, xi_step, vectors): G g G^T, of nine taps that lie `tap_step` bytes apart."""
    return form_address(_filter, (VECTOR_BYTES,), 5)


def output_form():
    """(source, xi_step, pixels, ahead, bias, relu, vectors): bias + A^T m A, and ReLU of it where `relu` is not 0.

    pixels: the addresses of 16 pixels, row by row. ahead: as above. bias: of as many channels.
    """
    return form_address(_output, (VECTOR_BYTES,), 7)


def gradient_form():
    """(pixels, ahead, to, xi_step, block_step, totals, vectors): A dY A^T; adds the 16 pixels to `totals`.

    pixels: the addresses of 16 pixels, row by row. The rest as for input_form, of blocks of one vector.
    """
    return form_address(_gradient, (VECTOR_BYTES,), 7)


def filter_gradient_form():
    """(source, xi_step, to, tap_step, vectors): G^T m G, nine taps that go `tap_step` bytes apart."""
    return form_address(_filter_gradient, (VECTOR_BYTES,), 5)


class _Lanes:
    """Arithmetic of one vector of float32 with constants."""

    def __init__(self, builder):
        self.v = Vectors(builder, 4, VECTOR_BYTES // 4)
        self.builder = builder

    def times(self, a, number):
        return self.builder.fmul(a, self._constant(number))

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


def _input(builder, args, _, block):
    pixels, ahead, to, xi_step, block_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        places = [_address(lanes, pixels, k) for k in range(EDGE * EDGE)]
        d = [lanes.load(place, offset) for place in places]
        for k, place in enumerate(places):
            if k % EDGE >= EDGE - PIXELS:
                lanes.fetch(place, builder.add(offset, ahead))
        own = builder.add(to, _in_blocks(builder, offset, block, block_step))
        _store_points(lanes, _on_both_sides(_input_line, lanes, d, EDGE), own, xi_step)


def _filter(builder, args, _):
    source, tap_step, to, xi_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        own = builder.add(source, offset)
        g = [lanes.load(own, builder.mul(tap_step, I64(k))) for k in range(TAPS * TAPS)]
        _store_points(lanes, _on_both_sides(_filter_line, lanes, g, TAPS), builder.add(to, offset), xi_step)


def _output(builder, args, _):
    source, xi_step, pixels, ahead, bias, relu, vectors = args
    lanes = _Lanes(builder)
    positive = builder.icmp_signed("!=", relu, I64(0))
    with _each_vector(builder, vectors) as offset:
        own = builder.add(source, offset)
        m = [lanes.load(own, builder.mul(xi_step, I64(k))) for k in range(POINTS)]
        start = lanes.load(bias, offset)
        for k, y in enumerate(_on_both_sides(_output_line, lanes, m, EDGE)):
            y = builder.fadd(y, start)
            y = builder.select(positive, lanes.v.relu(y), y)
            place = _address(lanes, pixels, k)
            lanes.store(y, place, offset)
            lanes.fetch(place, builder.add(offset, ahead))


def _gradient(builder, args, _):
    pixels, ahead, to, xi_step, block_step, totals, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        places = [_address(lanes, pixels, k) for k in range(PIXELS * PIXELS)]
        dy = [lanes.load(place, offset) for place in places]
        for place in places:
            lanes.fetch(place, builder.add(offset, ahead))
        lanes.store(builder.fadd(lanes.load(totals, offset), _total(builder, dy)), totals, offset)
        own = builder.add(to, _in_blocks(builder, offset, 1, block_step))
        _store_points(lanes, _on_both_sides(_gradient_line, lanes, dy, PIXELS), own, xi_step)


def _filter_gradient(builder, args, _):
    source, xi_step, to, tap_step, vectors = args
    lanes = _Lanes(builder)
    with _each_vector(builder, vectors) as offset:
        own, target = builder.add(source, offset), builder.add(to, offset)
        m = [lanes.load(own, builder.mul(xi_step, I64(k))) for k in range(POINTS)]
        for k, dw in enumerate(_on_both_sides(_filter_gradient_line, lanes, m, EDGE)):
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


def _filter_line(lanes, g):
    """G g: the taps' polynomial at each point, with the divisors of the interpolation."""
    g0, g1, g2 = g
    pairs = []
    for point, divisor in ((S, _NS), (L, _NL)):
        even = lanes.plus(lanes.times(g0, 1 / divisor), point * point / divisor, g2)
        pairs += lanes.sum_and_difference(even, lanes.times(g1, point / divisor))
    return [lanes.times(g0, 1 / _N0), *pairs, g2]


def _output_line(lanes, m):
    """A^T m: four pixels of the six products."""
    zero, infinity = m[0], m[5]
    (even_s, odd_s), (even_l, odd_l) = (lanes.sum_and_difference(*m[k : k + 2]) for k in (1, 3))
    builder = lanes.builder
    cubes = lanes.plus(lanes.plus(infinity, S**3, odd_s), L**3, odd_l)
    return [
        builder.fadd(zero, builder.fadd(even_s, even_l)),
        lanes.plus(lanes.times(odd_s, S), L, odd_l),
        lanes.plus(lanes.times(even_s, S * S), L * L, even_l),
        cubes,
    ]


def _gradient_line(lanes, y):
    """A y: the pixels' polynomial at each point."""
    y0, y1, y2, y3 = y
    pairs = []
    for point in (S, L):
        even = lanes.plus(y0, point * point, y2)
        pairs += lanes.sum_and_difference(even, lanes.plus(lanes.times(y1, point), point**3, y3))
    return [y0, *pairs, y3]


def _filter_gradient_line(lanes, m):
    """G^T m: three taps of the six sums."""
    zero, infinity = m[0], m[5]
    (even_s, odd_s), (even_l, odd_l) = (lanes.sum_and_difference(*m[k : k + 2]) for k in (1, 3))
    return [
        lanes.plus(lanes.plus(lanes.times(zero, 1 / _N0), 1 / _NS, even_s), 1 / _NL, even_l),
        lanes.plus(lanes.times(odd_s, S / _NS), L / _NL, odd_l),
        lanes.plus(lanes.plus(infinity, S * S / _NS, even_s), L * L / _NL, even_l),
    ]


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
