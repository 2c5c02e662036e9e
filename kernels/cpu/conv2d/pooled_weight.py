"""Blocks of R x Q filter positions by one vector of output channels, kept in registers while one image goes by.

    of the map      sums[r, q, k] += sum over pixels (i, j):  da[i, j, k] * x[i + r, j C + q]
    of the largest  sums[r, q, k] += sum over windows (i, j): d[i, j, k] * x[2i + v + r, (2j + u) C + q]

with 2v + u the place of the largest. That takes a quarter of the multiply-adds, because max pooling hands its gradient
to one pixel of four, another one in each channel. The four that may be it lie side by side in `quads`, are read at
once, and every lane takes its own.

Where half a vector holds all channels, two neighbouring pixels of the map share one: Q then counts (KW + 1) C
positions, of which the left pixel's last and the right pixel's first C mean nothing.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import cpu_features
from ..simd import I32, I64, VECTOR_BYTES
from .activation import ActivationVectors
from .pooled_tile import BYTE, LANES

PERMUTES = "avx" in cpu_features()  # lanes can pick from a quad in one instruction
QUAD = 16  # bytes of four neighbouring float32
PICK = {4: "llvm.x86.avx.vpermilvar.ps", 8: "llvm.x86.avx.vpermilvar.ps.256", 16: "llvm.x86.avx512.vpermilvar.ps.512"}


@intrinsic
def weight_of_map(typingctx, block, sums, x, gradient, size):
    """Add one image to sums [R, Q, LANES].

    Args:
        block: (R zeros, Q zeros): lengths of tuples are constants of the code.
        sums: address. x: (address at the block's first position, bytes of a row, bytes per step of the map).
        gradient: (address, bytes of a row, bytes per step). size: (rows of the map, steps of a row).
    """
    signature = types.void(block, sums, x, gradient, size)

    def codegen(context, builder, signature, args):
        emit = _Block(ActivationVectors(builder, LANES), *(len(part) for part in block)).of_map
        emit(args[1], *(cgutils.unpack_tuple(builder, a) for a in args[2:]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def weight_of_largest(typingctx, block, act, sums, quads, gradient, channels, size):
    """Add one image to sums [R, Q, LANES] and, behind them, the bias's [LANES].

    Args:
        block: as above. act: as many zeros as the number of the activation.
        quads: (address at the block's first position, bytes of a row, bytes per step of two pixels).
        gradient: addresses of dy, y and the places at the block's first channel.
        channels: (left from there on, of a pixel in memory). size: (rows of windows, windows of a row).
    """
    signature = types.void(block, act, sums, quads, gradient, channels, size)

    def codegen(context, builder, signature, args):
        emit = _Block(ActivationVectors(builder, LANES), *(len(part) for part in block)).of_largest
        emit(len(act), args[2], *(cgutils.unpack_tuple(builder, a) for a in args[3:]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def side_by_side(typingctx, quads, x, count, right, below):
    """quads[e] = element e of x, the one `right` bytes on, and the two `below` bytes on from these; e < count.

    x and quads are addresses; quads has room for whole vectors.
    """
    signature = types.void(quads, x, count, right, below)

    def codegen(context, builder, signature, args):
        v = ActivationVectors(builder, LANES)
        quads, x, count, right, below = args
        with cgutils.for_range(builder, builder.sdiv(builder.add(count, I64(LANES - 1)), I64(LANES))) as loop:
            first = builder.mul(loop.index, I64(LANES))
            mask = v.first(builder.sub(count, first))
            own = builder.add(x, builder.mul(first, I64(4)))
            corners = (own, builder.add(own, right), builder.add(own, below))
            corners = (*corners, builder.add(corners[1], below))
            values = _interleave(v, [v.load_masked(v.at(a, 0), mask) for a in corners])
            to = builder.add(quads, builder.mul(first, I64(QUAD)))
            for k, value in enumerate(values):
                v.store(value, v.at(to, k * VECTOR_BYTES))
        return context.get_dummy_value()

    return signature, codegen


def load_bytes(v, pointer, mask):
    """A byte for every lane, zero where the mask is off."""
    stored = ir.VectorType(BYTE, v.lanes)
    kind = ir.FunctionType(stored, [ir.PointerType(), mask.type, stored])
    name = f"llvm.masked.load.v{v.lanes}i8.p0"
    load = v.builder.module.globals.get(name) or ir.Function(v.builder.module, kind, name)
    load.args[0].attributes.align = 1
    return v.builder.call(load, [pointer, mask, stored(None)])


def _interleave(v, values):
    """Lane 0 of all four vectors, then lane 1, and so on."""
    half = v.lanes // 2
    for size in (1, 2):
        units = [list(range(i, i + size)) for i in range(0, 2 * v.lanes, size)]
        turns = []
        for start in (0, half):
            own = range(start // size, (start + half) // size)
            turns.append([lane for i in own for lane in units[i] + units[i + v.lanes // size]])
        a, b, c, d = values
        pairs = ((a, b), (c, d)) if size == 1 else ((a, c), (b, d))
        values = [v.shuffle(*pair, lanes) for pair in pairs for lanes in turns]
    return values


class _Block:
    """Emits one block. Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, R, Q):
        self.v, self.b = v, v.builder
        self.positions = [(r, q) for r in range(R) for q in range(Q)]

    def of_map(self, sums, x, gradient, size):
        b, v = self.b, self.v
        rows, steps = size
        slots = self._load(sums, len(self.positions))
        with cgutils.for_range(b, rows) as i:
            x_row, d_row = (b.add(a[0], b.mul(i.index, a[1])) for a in (x, gradient))
            with cgutils.for_range(b, steps) as j:
                d = v.load(v.at(d_row, b.mul(j.index, gradient[2])))
                own = b.add(x_row, b.mul(j.index, x[2]))
                for slot, (r, q) in zip(slots, self.positions, strict=True):
                    value = v.broadcast(v.at(b.add(own, b.mul(x[1], I64(r))), I64(4 * q)))
                    self._multiply_add(slot, value, d)
        self._store(sums, slots)

    def of_largest(self, act, sums, quads, gradient, channels, size):
        b, v = self.b, self.v
        rows, steps = size
        left, pitch = channels
        mask = v.first(left)
        slots = self._load(sums, len(self.positions) + 1)
        with cgutils.for_range(b, rows) as i:
            q_row = b.add(quads[0], b.mul(b.mul(i.index, I64(2)), quads[1]))
            with cgutils.for_range(b, steps) as j:
                at = b.mul(b.add(b.mul(i.index, steps), j.index), pitch)
                dy, y = (v.load_masked(v.at(a, b.mul(at, I64(4))), mask) for a in gradient[:2])
                d = v.differentiate(act, dy, y)
                places = b.zext(load_bytes(v, v.at(gradient[2], at), mask), v.integers)
                own = b.add(q_row, b.mul(j.index, quads[2]))
                for slot, (r, q) in zip(slots, self.positions, strict=False):
                    quad = v.at(b.add(own, b.mul(quads[1], I64(r))), I64(QUAD * q))
                    self._multiply_add(slot, self._pick(quad, places), d)
                b.store(b.fadd(b.load(slots[-1], typ=v.type), d), slots[-1])
        self._store(sums, slots)

    def _load(self, sums, count):
        slots = [cgutils.alloca_once(self.b, self.v.type) for _ in range(count)]
        for k, slot in enumerate(slots):
            self.b.store(self.v.load(self.v.at(sums, k * VECTOR_BYTES)), slot)
        return slots

    def _store(self, sums, slots):
        for k, slot in enumerate(slots):
            self.v.store(self.b.load(slot, typ=self.v.type), self.v.at(sums, k * VECTOR_BYTES))

    def _multiply_add(self, slot, a, c):
        self.b.store(self.v.multiply_add(a, c, self.b.load(slot, typ=self.v.type)), slot)

    def _pick(self, quad, places):
        """In each lane, the element of the quad at its place."""
        b, v = self.b, self.v
        four = b.load(quad, align=4, typ=ir.VectorType(v.element, 4))
        everywhere = b.shuffle_vector(four, four, ir.Constant(v.integers, [I32(lane % 4) for lane in range(v.lanes)]))
        kind = ir.FunctionType(v.type, [v.type, v.integers])
        name = PICK[v.lanes]
        pick = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        return b.call(pick, [everywhere, places])
