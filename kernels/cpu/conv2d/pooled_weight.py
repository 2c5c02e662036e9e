"""Blocks of R x Q filter positions by one vector of output channels, kept in registers while one image goes by.

    of the map      sums[r, q, k] += sum over pixels (i, j):  da[i, j, k] * x[i + r, j C + q]
    of the largest  sums[r, q, k] += sum over windows (i, j): d[i, j, k] * x[2i + v + r, (2j + u) C + q]

with 2v + u the place of the largest. That takes a quarter of the multiply-adds, because max pooling hands its gradient
to one pixel of four, another one in each channel. The four that may be it lie side by side in `quads`, are read at
once, and every lane takes its own.

Where half a vector holds all channels, two neighbouring pixels of the map share one: Q then counts (KW + 1) C
positions, of which the left pixel's last and the right pixel's first C mean nothing.

Rejected: up to 5 neighbouring steps of a row together, which broadcast an element of x once for all of them, in blocks
of half the size (AMD Zen 5, LeNet C1 and C3: no faster in turn with this, more code).
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..activation import ActivationVectors
from ..forms import form_address
from ..jit import cpu_features
from ..simd import I32, I64, VECTOR_BYTES
from .pooled_tile import BYTE, LANES

PERMUTES = "avx" in cpu_features()  # lanes can pick from a quad in one instruction
QUAD = 16  # bytes of four neighbouring float32
PICK = {4: "llvm.x86.avx.vpermilvar.ps", 8: "llvm.x86.avx.vpermilvar.ps.256", 16: "llvm.x86.avx512.vpermilvar.ps.512"}


def weight_of_map(R, Q):
    """The form that adds one image to sums [R, Q, LANES]; its arguments are addresses, numbers and, for rows and steps,
    bytes:

    sums, x (at the block's first position), a row of x, what a step of the map moves in x, gradient (of the map), a row
    of it, a step of it, rows of the map, steps of a row.
    """
    return form_address(_emit_of_map, (R, Q), 9)


def weight_of_largest(R, Q, act):
    """The form that adds one image to sums [R, Q, LANES] and, behind them, the bias's [LANES]; its arguments are
    addresses, numbers and, for rows and steps, bytes:

    sums, quads (at the block's first position), a row of them, a step of two pixels, dy, y and the places at the
    block's first channel, channels that are left, channels of a pixel, rows of windows, windows of a row.

    Args:
        act: the number of the activation.
    """
    return form_address(_emit_of_largest, (R, Q, act), 11)


def _emit_of_map(builder, args, R, Q):
    _Block(ActivationVectors(builder, LANES), R, Q).of_map(*args)


def _emit_of_largest(builder, args, R, Q, act):
    _Block(ActivationVectors(builder, LANES), R, Q).of_largest(act, *args)


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

    def of_map(self, sums, x, x_row, x_step, gradient, g_row, g_step, rows, steps):
        b, v = self.b, self.v
        slots = self._load(sums, len(self.positions))
        with cgutils.for_range(b, rows) as i:
            x_own, g_own = b.add(x, b.mul(i.index, x_row)), b.add(gradient, b.mul(i.index, g_row))
            with cgutils.for_range(b, steps) as j:
                d = v.load(v.at(g_own, b.mul(j.index, g_step)))
                own = b.add(x_own, b.mul(j.index, x_step))
                for slot, (r, q) in zip(slots, self.positions, strict=True):
                    value = v.broadcast(v.at(b.add(own, b.mul(x_row, I64(r))), I64(4 * q)))
                    self._multiply_add(slot, value, d)
        self._store(sums, slots)

    def of_largest(self, act, sums, quads, q_row, q_step, dy, y, places, left, pitch, rows, steps):
        b, v = self.b, self.v
        mask = v.first(left)
        slots = self._load(sums, len(self.positions) + 1)
        with cgutils.for_range(b, rows) as i:
            row = b.add(quads, b.mul(b.mul(i.index, I64(2)), q_row))
            with cgutils.for_range(b, steps) as j:
                at = b.mul(b.add(b.mul(i.index, steps), j.index), pitch)
                given = (v.load_masked(v.at(a, b.mul(at, I64(4))), mask) for a in (dy, y))
                d = v.differentiate(act, *given)
                chosen = b.zext(load_bytes(v, v.at(places, at), mask), v.integers)
                own = b.add(row, b.mul(j.index, q_step))
                for slot, (r, q) in zip(slots, self.positions, strict=False):
                    quad = v.at(b.add(own, b.mul(q_row, I64(r))), I64(QUAD * q))
                    self._multiply_add(slot, self._pick(quad, chosen), d)
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
