"""Activations and exp of vectors in registers: pointwise kernels, softmax and the epilogues of convolutions.

    relu        y = 0 if x <= 0 else x              dx = 0 if y <= 0 else dy
    leaky_relu  y = slope x if x < 0 else x         dx = slope dy if y < 0 else dy
    sigmoid     y = 1 / (1 + exp(-x))               dx = dy y (1 - y)
    tanh        y = m / (m + 2), m = exp(2x) - 1    dx = dy (1 - y^2)

NaN stays NaN. exp in float32 is ours, because the C library would be called for each element:

    x = n ln 2 + r, |r| <= ln 2 / 2       exp(x) = 2^n (1 + r + r^2 q(r))

with ln 2 in two parts (Cody & Waite) and q a weighted minimax fit of degree 5 whose own error is 2.4e-10. n is found by
adding 1.5 * 2^23, below whose last bit no float32 has digits; its bits are then the exponent of 2^n. sigmoid and tanh
are at most 3 units in the last place off, sigmoid 0 or less than 2^-126 where it is below that. In float64 exp and tanh
are the C library's.
"""

from llvmlite import ir

from .simd import Vectors

RELU, LEAKY_RELU, SIGMOID, TANH, NONE = range(5)
SLOPE = 0.01  # of leaky_relu where none is given

LOG2_E = 1.44269504
LN2_HIGH = 0.693359375
LN2_LOW = -2.12194440e-4
Q = 0.5, 0.1666666567325592, 0.04166635870933533, 0.008333389647305012, 0.0013940668432042003, 0.0001984588016057387
ROUNDS = 1.5 * 2**23 + 127  # + 127: the bias of float32's exponent
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
        q = self.constant(Q[-1])
        for coefficient in Q[-2::-1]:
            q = self.multiply_add(r, q, self.constant(coefficient))
        scale = b.bitcast(b.shl(b.bitcast(rounded, self.integers), self.whole(23)), self.type)
        return scale, self.multiply_add(b.fmul(r, r), q, r)

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
