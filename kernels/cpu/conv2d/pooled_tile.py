"""The tile of a convolution that is activated and pooled, 2 x 2 with stride 2, before it leaves the registers.

A tile is some neighbouring windows of one row of windows, all four pixels of each, by NV vectors of output channels.

    map[v, u, p, k] = start[k] + sum_{kh, e} x[2i + v + kh, (2j + 2p + u) C + e] * w[kh, e, k],  e = kw C + c
    max:  y[p, k] = act(max over (v, u) of map), kept[p, k] = 2v + u of the first largest after the activation
    avg:  kept[v, u, p, k] = act(map), y[p, k] = the sum over (v, u) of kept / 4

Where half a vector holds all channels, the two neighbours u = 0, 1 share one: they read x[e], e = 0 .. (KW + 1) C - 1,
each with the filter in its own place. The first C steps concern the left neighbour alone and the last C the right one,
and leave the other half as it is.
"""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..pointwise import RELU
from ..simd import I64, VECTOR_BYTES
from .activation import ActivationVectors

LANES = VECTOR_BYTES // 4
BYTE, BIT = ir.IntType(8), ir.IntType(1)
SIDES = (0, 1)


@intrinsic
def pooled_tile(typingctx, kept, tile, x, w, start, problem, y, kept_at, columns):
    """Compute one tile. Addresses are int64; pitches count bytes. Lengths of tuples are constants of the code.

    Args:
        kept: the array of the argmax (uint8) or of the activated map (float32); its type chooses max or avg.
        tile: (bytes from the first window to each in x; NV zeros; as many zeros as neighbours share a vector;
            as many zeros as the number of the activation).
        x: the first pixel; w: packed [KH, (KW + neighbours - 1) C, NV vectors]; start: NV vectors.
        problem: (KH, KW * C, C, pitch of a row of x).
        y: where the first window goes; kept_at: (where it goes, pitch of a row); columns: channels that are left,
            and the channels of a pixel in memory.
    """
    signature = types.void(kept, tile, x, w, start, problem, y, kept_at, columns)
    windows, nv, neighbours, act = (len(part) for part in tile)
    largest = kept.dtype == types.uint8

    def codegen(context, builder, signature, args):
        unpacked = [cgutils.unpack_tuple(builder, v) if isinstance(v.type, ir.Aggregate) else v for v in args[1:]]
        steps = cgutils.unpack_tuple(builder, unpacked[0][0])
        _Tile(ActivationVectors(builder, LANES), windows, nv, neighbours, act, largest).emit(steps, *unpacked[1:])
        return context.get_dummy_value()

    return signature, codegen


class _Tile:
    """Emits one tile. Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, windows, nv, neighbours, act, largest):
        self.v, self.b, self.windows, self.nv = v, v.builder, range(windows), range(nv)
        self.shared, self.act, self.largest = neighbours == 2, act, largest
        self.own = (0,) if self.shared else SIDES
        self.part = ActivationVectors(v.builder, v.lanes // neighbours)  # one pixel's share of a vector
        self.acc = {
            (row, side, p, j): cgutils.alloca_once(self.b, v.type)
            for row in SIDES for side in self.own for p in self.windows for j in self.nv
        }  # fmt: skip

    def emit(self, steps, x, w, start, problem, y, kept_at, columns):
        b, v = self.b, self.v
        KH, E, C, pitch = problem
        self.steps, self.pitch, self.pixel = steps, pitch, b.mul(C, I64(4))
        self.wide = I64(len(self.nv) * v.lanes * 4)  # bytes of a step of w
        for (_, _, _, j), slot in self.acc.items():
            b.store(v.load(v.at(start, j * v.lanes * 4)), slot)
        depth = b.add(E, C) if self.shared else E
        with cgutils.for_range(b, KH) as loop:
            x_row = b.add(x, b.mul(loop.index, pitch))
            w_row = b.add(w, b.mul(loop.index, b.mul(depth, self.wide)))
            if self.shared:
                self._run(x_row, w_row, I64(0), C, self._half(0))
                self._run(x_row, w_row, C, E, None)
                self._run(x_row, w_row, E, depth, self._half(1))
            else:
                self._run(x_row, w_row, I64(0), E, None)
        self._finish(y, kept_at, columns)

    def _half(self, side):
        half = self.v.lanes // 2
        return ir.Constant(ir.VectorType(BIT, self.v.lanes), [BIT(lane // half == side) for lane in range(2 * half)])

    def _run(self, x, w, first, last, mask):
        """Steps first .. last - 1 of one row of the filter, for the lanes of the mask."""
        b, v = self.b, self.v
        with cgutils.for_range(b, b.sub(last, first)) as loop:
            s = b.add(first, loop.index)
            w_step = b.add(w, b.mul(s, self.wide))
            columns = [v.load(v.at(w_step, j * v.lanes * 4)) for j in self.nv]
            for row in SIDES:
                base = b.add(b.add(x, b.mul(s, I64(4))), self.pitch if row else I64(0))
                for p in self.windows:
                    for side in self.own:
                        moved = b.add(self.steps[p], self.pixel) if side else self.steps[p]
                        element = v.broadcast(v.at(base, moved))
                        for j in self.nv:
                            self._multiply_add(self.acc[row, side, p, j], element, columns[j], mask)

    def _multiply_add(self, slot, element, column, mask):
        before = self.b.load(slot, typ=self.v.type)
        after = self.v.multiply_add(element, column, before)
        self.b.store(after if mask is None else self.b.select(mask, after, before), slot)

    def _finish(self, y, kept_at, columns):
        b = self.b
        left, channels = columns
        kept, kept_row = kept_at
        for j in self.nv:
            mask = self.part.first(b.sub(left, I64(j * self.v.lanes)))
            for p in self.windows:
                if self.largest:
                    best, place = self._largest(self._pixels(p, j, None))
                    at = b.add(b.mul(channels, I64(p)), I64(j * self.v.lanes))
                    self._store_bytes(place, self.v.at(kept, at), mask)
                else:
                    best = self._average(p, j, kept, kept_row, channels, mask)
                at = b.add(b.mul(channels, I64(4 * p)), I64(j * self.v.lanes * 4))
                self.part.store_masked(best, self.v.at(y, at), mask)

    def _pixels(self, p, j, act):
        """The four pixels of a window, row by row, activated where asked."""
        values = []
        for row in SIDES:
            for side in self.own:
                value = self.b.load(self.acc[row, side, p, j], typ=self.v.type)
                value = value if act is None else self.v.activate(act, value)
                if self.shared:
                    half = self.v.lanes // 2
                    values += [self.v.shuffle(value, value, range(s * half, (s + 1) * half)) for s in SIDES]
                else:
                    values.append(value)
        return values

    def _largest(self, values):
        """act(the largest) and its place. Activations keep the order, so the largest is found first; where ReLU makes
        all four equal, the first one counts."""
        b, part = self.b, self.part
        best, place = values[0], part.whole(0)
        for k, value in enumerate(values[1:], 1):
            wins = b.and_(b.fcmp_unordered(">", value, best), b.fcmp_ordered("ord", best, best))
            best, place = b.select(wins, value, best), b.select(wins, part.whole(k), place)
        if self.act == RELU:
            alive = b.fcmp_unordered(">", best, part.zero)
            return b.select(alive, best, part.zero), b.select(alive, place, part.whole(0))
        return part.activate(self.act, best), place

    def _average(self, p, j, kept, kept_row, channels, mask):
        values = self._pixels(p, j, self.act)
        for k, value in enumerate(values):
            row, side = divmod(k, 2)
            at = self.b.add(self.b.mul(channels, I64(4 * (2 * p + side))), I64(j * self.v.lanes * 4))
            at = self.b.add(at, kept_row) if row else at
            self.part.store_masked(value, self.v.at(kept, at), mask)
        return self.b.fmul(reduce(self.b.fadd, values), self.part.constant(0.25))

    def _store_bytes(self, places, pointer, mask):
        stored = ir.VectorType(BYTE, self.part.lanes)
        name = f"llvm.masked.store.v{self.part.lanes}i8.p0"
        kind = ir.FunctionType(ir.VoidType(), [stored, ir.PointerType(), mask.type])
        store = self.b.module.globals.get(name) or ir.Function(self.b.module, kind, name)
        store.args[1].attributes.align = 1
        self.b.call(store, [self.b.trunc(places, stored), pointer, mask])
