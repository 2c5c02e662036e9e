"""Activations, exp and powers of vectors in registers: pointwise kernels, softmax and the epilogues of convolutions.

    relu        y = 0 if x <= 0 else x              dx = 0 if y <= 0 else dy
    leaky_relu  y = slope x if x < 0 else x         dx = slope dy if y < 0 else dy
    sigmoid     y = 1 / (1 + exp(-x))               dx = dy y (1 - y)
    tanh        y = m / (m + 2), m = exp(2x) - 1    dx = dy (1 - y^2)

NaN stays NaN. exp in float32 is ours, because the C library would be called for each element:

    x = n ln 2 + r, |r| <= ln 2 / 2       exp(x) = 2^n (1 + r + r^2 q(r))

with ln 2 in two parts (Cody & Waite) and q a weighted minimax fit of degree 5 whose own error is 2.4e-10. n is found by
adding 1.5 * 2^23, below whose last bit no float32 has digits; its bits are then the exponent of 2^n. sigmoid and tanh
are at most 3 units in the last place off, sigmoid 0 or less than 2^-126 where it is below that. In float64 exp, tanh
and powers are the C library's. A power in float32 takes the bits of its base apart:

    x = 2^e (1 + z), -0.293 <= z <= 0.414     log2(1 + z) = z l(z)     x^a = 2^n exp(ln 2 (a e - n + a z l(z)))

with n the nearest whole number to a log2(x) and l a minimax fit of degree 7, z l(z) within 4.9e-8. a e - n is rounded
once, so large and small x lose no digits: at most 2 units in the last place for |a| up to 1. Who may
reassociate undoes the rounding by ROUNDS: powers belong into `ordered` kernels (jit.py).
"""

import math

from llvmlite import ir

from .simd import Vectors

RELU, LEAKY_RELU, SIGMOID, TANH, NONE = range(5)
SLOPE = 0.01  # of leaky_relu where none is given

LOG2_E = 1.44269504
LN2_HIGH = 0.693359375
LN2_LOW = -2.12194440e-4
Q = 0.5, 0.1666666567325592, 0.04166635870933533, 0.008333389647305012, 0.0013940668432042003, 0.0001984588016057387
ROUNDS = 1.5 * 2**23 + 127  # + 127: the bias of float32's exponent
LN2 = 0.69314718
ROOT_OF_HALF = 0x3F3504F3  # the bits of sqrt(1/2): the least 1 + z
LOG2 = (
    1.4426947832107544, -0.7213571667671204, 0.48093944787979126, -0.36008721590042114, 0.28670746088027954,
    -0.2500690817832947, 0.23689042031764984, -0.1457444131374359,
)  # fmt: skip
LEAST, LARGEST = -88, 89  # where n is -127 and 128, and 2^n by its bits 0 and infinite


class ActivationVectors(Vectors):
    """The vocabulary of simd.py, activations and exp."""

    def __init__(self, builder, lanes, item=4):
        super().__init__(builder, item, lanes)
        self.integers = ir.VectorType(ir.IntType(8 * item), lanes)

    def constant(self, value):
        return ir.Constant(self.type, [self.element(float(value))] * self.lanes)

    def whole(self, number):
        return ir.Constant(self.integers, [self.integers.element(number)] * self.lanes)

    def activate(self, kind, x, slope=None):
        """act(x). slope: a vector, leaky_relu's where it is not SLOPE."""
        if kind == RELU:
            return self.builder.select(self.builder.fcmp_ordered("<=", x, self.zero), self.zero, x)
        if kind == LEAKY_RELU:
            return self._leak(x, x, slope)
        if kind == SIGMOID:
            one = self.constant(1)
            return self.builder.fdiv(one, self.builder.fadd(one, self.exp(self.builder.fneg(x))))
        return self._tanh(x) if kind == TANH else x

    def differentiate(self, kind, dy, y, slope=None):
        """dy act'(x), from y = act(x)."""
        b, one = self.builder, self.constant(1)
        if kind == RELU:
            return b.select(b.fcmp_ordered("<=", y, self.zero), self.zero, dy)
        if kind == LEAKY_RELU:
            return self._leak(y, dy, slope)
        if kind == SIGMOID:
            return b.fmul(b.fmul(dy, y), b.fsub(one, y))
        return b.fmul(dy, self.multiply_add(b.fneg(y), y, one)) if kind == TANH else dy

    def exp(self, x):
        """exp(x): in float32 at most 2 units in the last place off; 0 or less than 2^-126 where it is below that."""
        if self.item == 8:
            return self.builder.call(self._declare("llvm.exp", "", self.type, [self.type]), [x])
        scale, p = self._exp_parts(self._at_least(LEAST, self._at_most(LARGEST, x)))
        return self.builder.fmul(scale, self.builder.fadd(self.constant(1), p))

    def power(self, x, exponent):
        """x^exponent for an exponent below 0 (a vector) and x normal and positive, infinite or NaN.

        In float32 0 or less than 2^-126 where it is below that.
        """
        b, one = self.builder, self.constant(1)
        if self.item == 8:
            return b.call(self._declare("llvm.pow", "", self.type, [self.type, self.type]), [x, exponent])
        bits = b.bitcast(x, self.integers)
        whole = b.ashr(b.sub(bits, self.whole(ROOT_OF_HALF)), self.whole(23))
        z = b.fsub(b.bitcast(b.sub(bits, b.shl(whole, self.whole(23))), self.type), one)
        e, log = b.sitofp(whole, self.type), b.fmul(z, self._polynomial_in_pairs(LOG2, z))
        product = self.multiply_add(exponent, e, b.fmul(exponent, log))
        rounded = b.fadd(self._at_least(-127, self._at_most(128, product)), self.constant(ROUNDS))
        n = b.fsub(rounded, self.constant(ROUNDS))
        rest = self.multiply_add(exponent, log, self.multiply_add(exponent, e, b.fneg(n)))
        y = b.fmul(self._two_to(rounded), b.fadd(one, self._exp_minus_one(b.fmul(rest, self.constant(LN2)))))
        infinite = b.select(b.fcmp_ordered("==", x, self.constant(math.inf)), self.zero, x)
        return b.select(b.fcmp_ordered("<", x, self.constant(math.inf)), y, infinite)

    def _leak(self, x, value, slope):
        b = self.builder
        leaked = b.fmul(value, self.constant(SLOPE) if slope is None else slope)
        return b.select(b.fcmp_ordered("<", x, self.zero), leaked, value)

    def _tanh(self, x):
        b = self.builder
        if self.item == 8:
            return b.call(self._declare("llvm.tanh", "", self.type, [self.type]), [x])
        size = self._at_most(10, b.bitcast(self._bits(x, 0x7FFFFFFF), self.type))
        scale, p = self._exp_parts(b.fadd(size, size))
        m = self.multiply_add(scale, p, b.fsub(scale, self.constant(1)))
        y = b.fdiv(m, b.fadd(m, self.constant(2)))
        return b.bitcast(b.or_(b.bitcast(y, self.integers), self._bits(x, 0x80000000)), self.type)

    def _exp_parts(self, x):
        """(2^n, exp(r) - 1) with x = n ln 2 + r; x from LEAST to LARGEST or NaN, which shows in the second."""
        b = self.builder
        rounded = self.multiply_add(x, self.constant(LOG2_E), self.constant(ROUNDS))
        n = b.fsub(rounded, self.constant(ROUNDS))
        r = self.multiply_add(n, self.constant(-LN2_HIGH), x)
        r = self.multiply_add(n, self.constant(-LN2_LOW), r)
        return self._two_to(rounded), self._exp_minus_one(r)

    def _two_to(self, rounded):
        """2^n from n + ROUNDS."""
        b = self.builder
        return b.bitcast(b.shl(b.bitcast(rounded, self.integers), self.whole(23)), self.type)

    def _exp_minus_one(self, r):
        """exp(r) - 1 for |r| <= ln 2 / 2 or little more."""
        return self.multiply_add(self.builder.fmul(r, r), self._polynomial(Q, r), r)

    def _polynomial(self, coefficients, x):
        """By Horner's rule: the fewest steps. The first coefficient belongs to x^0."""
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = self.multiply_add(x, value, self.constant(coefficient))
        return value

    def _polynomial_in_pairs(self, coefficients, x):
        """By Estrin's rule: a few steps more, of which few wait for one another."""
        values = [self.constant(c) for c in coefficients]
        while len(values) > 1:
            values = [self.multiply_add(x, high, low) for low, high in zip(values[::2], values[1::2], strict=True)]
            x = self.builder.fmul(x, x)
        return values[0]

    def _at_most(self, limit, x):
        """min(x, limit), NaN for NaN."""
        limit = self.constant(limit)
        return self.builder.select(self.builder.fcmp_ordered("<", limit, x), limit, x)

    def _at_least(self, limit, x):
        """max(x, limit), NaN for NaN."""
        limit = self.constant(limit)
        return self.builder.select(self.builder.fcmp_ordered(">", limit, x), limit, x)

    def _bits(self, x, mask):
        return self.builder.and_(self.builder.bitcast(x, self.integers), self.whole(mask))
