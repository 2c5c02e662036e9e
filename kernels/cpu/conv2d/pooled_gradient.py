"""The gradient of the map under a 2 x 2 pooling, for one image: a block of memory that stays in the nearest caches.

    avg  da[2i + v, 2j + u, k] = dy[i, j, k] / 4 * act'(kept[2i + v, 2j + u, k])
    max  da[2i + v, 2j + u, k] = dy[i, j, k] * act'(y[i, j, k]) where kept[i, j, k] = 2v + u, else 0

Every pixel of da has whole vectors of channels; two neighbours share one where half a vector holds all channels.
"""

from functools import reduce

from llvmlite import ir
from numba.core import cgutils

from ..activation import ActivationVectors
from ..forms import form_address
from ..simd import I64, VECTOR_BYTES
from .pooled_tile import LANES, SIDES
from .pooled_weight import load_bytes


def pool_gradient(largest, neighbours, act):
    """The form that writes one vector of channels of da and adds it up to the bias's gradient; its arguments are
    addresses, numbers and, for rows and steps, bytes:

    da, a row of da, from one vector of a row to the next, bias (LANES sums), dy, y and kept at the vector's first
    channel, channels that are left, channels of a pixel, rows of windows, windows of a row.

    Args:
        largest: 1 for max, 0 for avg. neighbours: pixels that share a vector. act: the number of the activation.
    """
    return form_address(_emit, (largest, neighbours, act), 11)


def activation_gradient(act):
    """The form of d[i] = dy[i] * act'(y[i]), i < count; its arguments are the addresses of d, dy and y, and count.

    Whole vectors of d are written.
    """
    return form_address(_emit_run, (act,), 4)


def _emit_run(builder, args, act):
    v, (d, dy, y, count) = ActivationVectors(builder, LANES), args
    vectors = builder.sdiv(builder.add(count, I64(LANES - 1)), I64(LANES))
    with cgutils.for_range(builder, vectors) as loop:
        mask = v.first(builder.sub(count, builder.mul(loop.index, I64(LANES))))
        at = builder.mul(loop.index, I64(VECTOR_BYTES))
        given = (v.load_masked(v.at(a, at), mask) for a in (dy, y))
        v.store(v.differentiate(act, *given), v.at(d, at))


def _emit(builder, args, largest, neighbours, act):
    _Gradient(ActivationVectors(builder, LANES), largest, neighbours, act).emit(*args)


class _Gradient:
    """Emits the loop over an image's windows."""

    def __init__(self, v, largest, neighbours, act):
        self.v, self.b, self.act, self.largest = v, v.builder, act, largest
        self.shared = neighbours == 2
        self.part = ActivationVectors(v.builder, v.lanes // neighbours)  # one pixel's share of a vector

    def emit(self, da, da_row, da_step, bias, dy, y, kept, left, pitch, rows, windows):
        b, v = self.b, self.v
        mask = self.part.first(left)
        total = cgutils.alloca_once_value(b, v.load(v.at(bias, 0)))
        with cgutils.for_range(b, rows) as i, cgutils.for_range(b, windows) as j:
            at = b.add(b.mul(i.index, windows), j.index)
            if self.largest:
                values = self._largest(at, (dy, y, kept), pitch, mask)
            else:
                values = self._average(at, (i.index, j.index), windows, (dy, kept), pitch, mask)
            b.store(b.fadd(b.load(total, typ=v.type), reduce(b.fadd, values)), total)
            own = b.add(da, b.mul(b.mul(i.index, I64(2)), da_row))
            own = b.add(own, b.mul(b.mul(j.index, I64(1 if self.shared else 2)), da_step))
            for row in SIDES:
                to = b.add(own, da_row) if row else own
                own_values = values[row : row + 1] if self.shared else values[2 * row : 2 * row + 2]
                for k, value in enumerate(own_values):
                    v.store(value, v.at(b.add(to, b.mul(da_step, I64(k))), 0))
        v.store(b.load(total, typ=v.type), v.at(bias, 0))

    def _average(self, at, window, windows, gradient, pitch, mask):
        """The vectors of a window, row by row."""
        b, v, part = self.b, self.v, self.part
        dy, kept = gradient
        share = b.fmul(part.load_masked(v.at(dy, b.mul(b.mul(at, pitch), I64(4))), mask), part.constant(0.25))
        pixel, map_row = b.mul(pitch, I64(4)), b.mul(b.mul(windows, pitch), I64(8))
        own = b.add(b.mul(window[0], b.mul(map_row, I64(2))), b.mul(window[1], b.mul(pixel, I64(2))))
        values = []
        for row in SIDES:
            left = b.add(b.add(kept, own), map_row if row else I64(0))
            if self.shared:
                values.append(v.differentiate(self.act, self._twice(share), self._neighbours(left, mask)))
            else:
                for address in (left, b.add(left, pixel)):
                    values.append(v.differentiate(self.act, share, v.load_masked(v.at(address, 0), mask)))
        return values

    def _largest(self, at, gradient, pitch, mask):
        b, v, part = self.b, self.v, self.part
        own = b.mul(at, pitch)
        dy, y = (part.load_masked(v.at(a, b.mul(own, I64(4))), mask) for a in gradient[:2])
        d = part.differentiate(self.act, dy, y)
        places = b.zext(load_bytes(part, v.at(gradient[2], own), mask), part.integers)
        values = [b.select(b.icmp_signed("==", places, part.whole(k)), d, part.zero) for k in range(4)]
        return [self._joined(*values[k : k + 2]) for k in (0, 2)] if self.shared else values

    def _joined(self, a, c):
        return self.v.shuffle(a, c, range(self.v.lanes))

    def _twice(self, a):
        return self._joined(a, a)

    def _neighbours(self, address, mask):
        """The channels of two neighbouring pixels, each in its half of a vector."""
        b, v = self.b, self.v
        both = v.shuffle(mask, mask, range(v.lanes))
        kind = ir.FunctionType(v.type, [ir.PointerType(), both.type, v.type])
        name = f"llvm.masked.expandload.{v.suffix}"
        load = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        return b.call(load, [v.at(address, 0), both, v.zero])
