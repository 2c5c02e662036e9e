"""Activations of float32 vectors in registers, for the epilogues of convolutions; kinds and formulas as pointwise.py.

NaN stays NaN.
"""

from llvmlite import ir
from numba.core import cgutils

from ..pointwise import LEAKY_RELU, LN2_HIGH, LN2_LOW, LOG2_E, Q0, Q1, Q2, Q3, Q4, Q5, RELU, SIGMOID, TANH
from ..simd import I32, I64, Vectors

NONE = 1 + max(RELU, LEAKY_RELU, SIGMOID, TANH)
SLOPE = 0.01  # of leaky_relu


class ActivationVectors(Vectors):
    """The vocabulary of simd.py and activations."""

    def __init__(self, builder, lanes):
        super().__init__(builder, 4, lanes)
        self.integers = ir.VectorType(I32, lanes)

    def constant(self, value):
        return ir.Constant(self.type, [self.element(float(value))] * self.lanes)

    def whole(self, number):
        return ir.Constant(self.integers, [I32(number)] * self.lanes)

    def activate(self, kind, x):
        """act(x)."""
        b = self.builder
        if kind == RELU:
            return self.relu(x)
        if kind == LEAKY_RELU:
            return b.select(self._below_zero(x), b.fmul(x, self.constant(SLOPE)), x)
        if kind == SIGMOID:
            return self._sigmoid(x)
        return self._tanh(x) if kind == TANH else x

    def differentiate(self, kind, dy, y):
        """dy act'(x), from y = act(x)."""
        b, one = self.builder, self.constant(1)
        if kind == RELU:
            return b.select(b.fcmp_ordered("<=", y, self.zero), self.zero, dy)
        if kind == LEAKY_RELU:
            return b.select(self._below_zero(y), b.fmul(dy, self.constant(SLOPE)), dy)
        if kind == SIGMOID:
            return b.fmul(b.fmul(dy, y), b.fsub(one, y))
        return b.fmul(dy, b.fsub(one, b.fmul(y, y))) if kind == TANH else dy

    def differentiate_by(self, kind, dy, y):
        """`differentiate` for a kind that is known only when the code runs."""
        b = self.builder
        slot = cgutils.alloca_once(b, self.type)
        b.store(dy, slot)
        for known in (RELU, LEAKY_RELU, SIGMOID, TANH):
            with b.if_then(b.icmp_signed("==", kind, I64(known))):
                b.store(self.differentiate(known, dy, y), slot)
        return b.load(slot, typ=self.type)

    def _below_zero(self, x):
        return self.builder.fcmp_ordered("<", x, self.zero)

    def _tanh(self, x):
        b, one, two = self.builder, self.constant(1), self.constant(2)
        scale, p = self._exp_parts(b.fmul(two, self._size(x, 10)))
        m = self.multiply_add(scale, p, b.fsub(scale, one))
        y = b.fdiv(m, b.fadd(m, two))
        signed = b.or_(b.bitcast(y, self.integers), self._bits(x, 0x80000000))
        return self._nan_stays(x, b.bitcast(signed, self.type))

    def _sigmoid(self, x):
        b, one = self.builder, self.constant(1)
        scale, p = self._exp_parts(b.fneg(self._size(x, 88)))
        e = self.multiply_add(scale, p, scale)
        return self._nan_stays(x, b.fdiv(b.select(self._below_zero(x), e, one), b.fadd(one, e)))

    def _exp_parts(self, x):
        """(2^k, exp(r) - 1) with x = k ln 2 + r."""
        b = self.builder
        rint = self._declare("llvm.rint", "", self.type, [self.type])
        n = b.call(rint, [b.fmul(x, self.constant(LOG2_E))])
        r = self.multiply_add(n, self.constant(-LN2_HIGH), x)
        r = self.multiply_add(n, self.constant(-LN2_LOW), r)
        q = self.constant(Q5)
        for coefficient in (Q4, Q3, Q2, Q1, Q0):
            q = self.multiply_add(r, q, self.constant(coefficient))
        k = b.add(b.fptosi(n, self.integers), self.whole(127))
        return b.bitcast(b.shl(k, self.whole(23)), self.type), self.multiply_add(b.fmul(r, r), q, r)

    def _size(self, x, limit):
        """min(|x|, limit), limit for NaN."""
        size, limit = self.builder.bitcast(self._bits(x, 0x7FFFFFFF), self.type), self.constant(limit)
        return self.builder.select(self.builder.fcmp_ordered("<", size, limit), size, limit)

    def _nan_stays(self, x, y):
        return self.builder.select(self.builder.fcmp_unordered("uno", x, x), x, y)

    def _bits(self, x, mask):
        return self.builder.and_(self.builder.bitcast(x, self.integers), self.whole(mask))
