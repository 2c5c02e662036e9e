"""The gradient of the map under a 2 x 2 pooling, for one image: a block of memory that stays in the nearest caches.

    avg  da[2i + v, 2j + u, k] = dy[i, j, k] / 4 * act'(kept[2i + v, 2j + u, k])
    max  da[2i + v, 2j + u, k] = dy[i, j, k] * act'(y[i, j, k]) where kept[i, j, k] = 2v + u, else 0

Every pixel of da has whole vectors of channels; two neighbours share one where half a vector holds all channels.
"""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..simd import I64
from .activation import ActivationVectors
from .pooled_tile import LANES, SIDES
from .pooled_weight import load_bytes


@intrinsic
def pool_gradient(typingctx, like, neighbours, act, da, bias, gradient, channels, size):
    """Write one vector of channels of da, and add it up to the bias's gradient.

    Args:
        like: the array of kept; its type tells max (uint8) from avg. neighbours: as many zeros as neighbours
            share a vector. act: the number of the activation.
        da: (address, bytes of a row, bytes from one vector of a row to the next). bias: address of LANES sums.
        gradient: addresses of dy, y and kept at the vector's first channel.
        channels: (left from there on, of a pixel in memory). size: (rows of windows, windows of a row).
    """
    signature = types.void(like, neighbours, act, da, bias, gradient, channels, size)
    largest = like.dtype == types.uint8

    def codegen(context, builder, signature, args):
        tuples = [cgutils.unpack_tuple(builder, a) for a in (args[3], *args[5:])]
        _Gradient(ActivationVectors(builder, LANES), len(neighbours), args[2], largest).emit(args[4], *tuples)
        return context.get_dummy_value()

    return signature, codegen


class _Gradient:
    """Emits the loop over an image's windows."""

    def __init__(self, v, neighbours, act, largest):
        self.v, self.b, self.act, self.largest = v, v.builder, act, largest
        self.shared = neighbours == 2
        self.part = ActivationVectors(v.builder, v.lanes // neighbours)  # one pixel's share of a vector

    def emit(self, bias, da, gradient, channels, size):
        b, v = self.b, self.v
        rows, windows = size
        left, pitch = channels
        mask = self.part.first(left)
        total = cgutils.alloca_once_value(b, v.load(v.at(bias, 0)))
        with cgutils.for_range(b, rows) as i, cgutils.for_range(b, windows) as j:
            at = b.add(b.mul(i.index, windows), j.index)
            if self.largest:
                values = self._largest(at, gradient, pitch, mask)
            else:
                values = self._average(at, (i.index, j.index), windows, gradient, pitch, mask)
            b.store(b.fadd(b.load(total, typ=v.type), reduce(b.fadd, values)), total)
            own = b.add(da[0], b.mul(b.mul(i.index, I64(2)), da[1]))
            own = b.add(own, b.mul(b.mul(j.index, I64(1 if self.shared else 2)), da[2]))
            for row in SIDES:
                to = b.add(own, da[1]) if row else own
                own_values = values[row : row + 1] if self.shared else values[2 * row : 2 * row + 2]
                for k, value in enumerate(own_values):
                    v.store(value, v.at(b.add(to, b.mul(da[2], I64(k))), 0))
        v.store(b.load(total, typ=v.type), v.at(bias, 0))

    def _average(self, at, window, windows, gradient, pitch, mask):
        """The vectors of a window, row by row."""
        b, v, part = self.b, self.v, self.part
        dy, _, kept = gradient
        share = b.fmul(part.load_masked(v.at(dy, b.mul(b.mul(at, pitch), I64(4))), mask), part.constant(0.25))
        pixel, map_row = b.mul(pitch, I64(4)), b.mul(b.mul(windows, pitch), I64(8))
        own = b.add(b.mul(window[0], b.mul(map_row, I64(2))), b.mul(window[1], b.mul(pixel, I64(2))))
        values = []
        for row in SIDES:
            left = b.add(b.add(kept, own), map_row if row else I64(0))
            if self.shared:
                values.append(v.differentiate_by(self.act, self._twice(share), self._neighbours(left, mask)))
            else:
                for address in (left, b.add(left, pixel)):
                    values.append(v.differentiate_by(self.act, share, v.load_masked(v.at(address, 0), mask)))
        return values

    def _largest(self, at, gradient, pitch, mask):
        b, v, part = self.b, self.v, self.part
        own = b.mul(at, pitch)
        dy, y = (part.load_masked(v.at(a, b.mul(own, I64(4))), mask) for a in gradient[:2])
        d = part.differentiate_by(self.act, dy, y)
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
