"""The tile of a convolution that is activated and pooled, 2 x 2 with stride 2, before it leaves the registers.

A tile is some neighbouring windows of one row of windows, all four pixels of each, by NV vectors of output channels.

    map[v, u, p, k] = start[k] + sum_{kh, e} x[2i + v + kh, (2j + 2p + u) C + e] * w[kh, e, k],  e = kw C + c
    max:  y[p, k] = act(max over (v, u) of map), kept[p, k] = 2v + u of the first largest after the activation
    avg:  kept[v, u, p, k] = act(map), y[p, k] = the sum over (v, u) of kept / 4

A row of x serves both rows of the map, v = 0 with one row of the filter and v = 1 with the row before: one broadcast
feeds two multiply-adds, so that loads do not hold them up.

Where half a vector holds all channels, the two neighbours u = 0, 1 share one: they read x[e], e = 0 .. (KW + 1) C - 1,
each with the filter in its own place. The first C steps concern the left neighbour alone and the last C the right one,
and leave the other half as it is.
"""

from functools import reduce

from llvmlite import ir
from numba.core import cgutils

from ..activation import RELU, ActivationVectors
from ..forms import form_address
from ..simd import I64, VECTOR_BYTES

LANES = VECTOR_BYTES // 4
BYTE, BIT = ir.IntType(8), ir.IntType(1)
SIDES = (0, 1)


def pooled_tile(largest, windows, vectors, neighbours, act, keeps):
    """The form of a tile; its arguments are addresses, numbers and, for rows, bytes:

    x (the first pixel), w (packed [KH, (KW + neighbours - 1) C, NV vectors]), start (NV vectors), KH, KW * C, C, a row
    of x, y and kept (where the first window goes), a row of kept, channels that are left, channels of a pixel.

    Args:
        largest: 1 for max (kept is the argmax, uint8), 0 for avg (kept is the activated map, float32).
        neighbours: pixels that share a vector. act: the number of the activation. keeps: 0 where nothing is kept.
    """
    return form_address(_emit_tile, (largest, windows, vectors, neighbours, act, keeps), 12)


def _emit_tile(builder, args, *form):
    _Tile(ActivationVectors(builder, LANES), *form).emit(*args)


class _Tile:
    """Emits one tile. Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, largest, windows, vectors, neighbours, act, keeps):
        self.v, self.b, self.windows, self.nv = v, v.builder, range(windows), range(vectors)
        self.shared, self.act, self.largest, self.keeps = neighbours == 2, act, largest, keeps
        self.own = (0,) if self.shared else SIDES
        self.part = ActivationVectors(v.builder, v.lanes // neighbours)  # one pixel's share of a vector
        self.acc = {
            (row, side, p, j): cgutils.alloca_once(self.b, v.type)
            for row in SIDES for side in self.own for p in self.windows for j in self.nv
        }  # fmt: skip

    def emit(self, x, w, start, KH, E, C, pitch, y, kept, kept_row, left, channels):
        b, v = self.b, self.v
        self.E, self.C, self.pixel = E, C, b.mul(C, I64(4))
        self.wide = I64(len(self.nv) * VECTOR_BYTES)  # bytes of a step of w
        for (_, _, _, j), slot in self.acc.items():
            b.store(v.load(v.at(start, j * VECTOR_BYTES)), slot)
        self.depth = b.add(E, C) if self.shared else E
        w_row = b.mul(self.depth, self.wide)
        self._run(x, {0: w})
        with cgutils.for_range(b, b.sub(KH, I64(1))) as loop:
            before = b.add(w, b.mul(loop.index, w_row))
            self._run(b.add(b.add(x, pitch), b.mul(loop.index, pitch)), {0: b.add(before, w_row), 1: before})
        self._run(b.add(x, b.mul(KH, pitch)), {1: b.add(w, b.mul(b.sub(KH, I64(1)), w_row))})
        self._finish(y, kept, kept_row, left, channels)

    def _run(self, x, filters):
        """All steps of one row of x; filters: row of the map -> its row of the filter."""
        b, v = self.b, self.v
        with cgutils.for_range(b, self.depth) as loop:
            mask = self._concerned(loop.index) if self.shared else None
            step = b.mul(loop.index, self.wide)
            columns = {
                (row, j): v.load(v.at(b.add(w, step), j * VECTOR_BYTES)) for row, w in filters.items() for j in self.nv
            }
            base = b.add(x, b.mul(loop.index, I64(4)))
            for p in self.windows:
                for side in self.own:
                    element = v.broadcast(v.at(base, b.mul(self.pixel, I64(2 * p + side))))
                    for (row, j), column in columns.items():
                        self._multiply_add(self.acc[row, side, p, j], element, column, mask)

    def _concerned(self, step):
        """The lanes of the neighbours that a step concerns."""
        b, lanes = self.b, self.v.lanes
        bits = ir.IntType(lanes)
        low = (1 << lanes // 2) - 1
        both, left, right = bits(-1), bits(low), bits(low << lanes // 2)
        chosen = b.select(b.icmp_signed("<", step, self.C), left, both)
        chosen = b.select(b.icmp_signed("<", step, self.E), chosen, right)
        return b.bitcast(chosen, ir.VectorType(BIT, lanes))

    def _multiply_add(self, slot, element, column, mask):
        before = self.b.load(slot, typ=self.v.type)
        after = self.v.multiply_add(element, column, before)
        self.b.store(after if mask is None else self.b.select(mask, after, before), slot)

    def _finish(self, y, kept, kept_row, left, channels):
        b = self.b
        for j in self.nv:
            mask = self.part.first(b.sub(left, I64(j * self.v.lanes)))
            for p in self.windows:
                if self.largest:
                    best, place = self._largest(self._pixels(p, j, None))
                    if self.keeps:
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
        for k, value in enumerate(values if self.keeps else ()):
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
