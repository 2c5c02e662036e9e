"""The micro-kernel under every product: a block of MR rows by NV vectors, kept in registers over a list of runs.

    out[i][j] = act(start[j] + sum over runs r, over s < length(r):  a[r, i, s] * b[r, s, j])

A run is a piece of the reduction that lies evenly in memory: one filter tap's channels (convolution forward and
backward-data), one row of pixels (backward-weight), the whole of it (matrix product). Rows are found through a table
of offsets, so that a block may cross rows and images, and padding is a row of zeros somewhere else in memory: batch
reduction (Georganas et al., arXiv 1906.06440) with indirection (Dukhan, arXiv 1907.02129).

One step takes NV vectors of b and MR broadcast elements of a: MR * NV fused multiply-adds for MR + NV loads.

Each form of it is compiled once, by itself (`block_addresses`), and kernels call it through its address (`run_block`):
inlined into every kernel, at every level of helpers, it took most of the time that a first call waits for LLVM.

Ladder (AMD Zen 5, AVX-512, float32, one core, operands in the first-level cache, GFLOP/s; a bare loop of fused
multiply-adds reaches 256 to 268 as the clock moves):
    packed, 13 x 2, unrolled 4    247 to 259
    packed, 24 x 1 and 12 x 1     199 and 224: a load for every multiply-add, 12 rows are enough
    table, 13 x 2 and 12 x 1      236 to 246 and 168: an address is loaded for every row and step
    beside, 12 x 2 and 15 x 1     263 and 231 to 253: one address and displacements
    panels, 13 x 2                244
    called through its address    7 ns more a call, of 250 for 80 steps
Blocks of other shapes, over 9 taps of 64 channels in the second-level cache, share of that bare loop:
    packed, 13 x 2, 14 x 2        0.94, 0.89: 15 and 16 loads a step, and addresses that do not fit into registers
    packed, 9 x 3, 8 x 3, 6 x 4   0.98, 0.98, 0.98: 6 x 4 divides 64 channels, 8 x 3 those that 4 vectors do not
Asking for the lines of `out` at the start of a block: 1x1 layers, whose blocks are short, 1.1 to 2.2 times the speed.
Asking for b some kilobytes ahead: nothing gained.
Steps of a found through a list, 147 of a 7 x 7 filter's 3 channels in one run instead of 7 runs over a padded copy:
    6 x 4                         1.05 times the speed of the layer
    12 x 1, 13 x 2                0.9 and 0.55: the list's place, the offset and 13 rows do not fit into the registers
Both loops of a run kept by LLVM as they are, the remainder not unrolled: 1.05 and 0.97 times, by layer; dropped.
Asking for the next tile's pixels in 1x1 layers: 0.97 to 1.06 times with 4 vectors, 0.8 with 1; dropped.
Whole blocks written without masks: 3x3 from 3 to 64 channels 1.2 times the speed; past the caches too: 1.3 times, and
1x1 to maps beyond the caches 1.1 times.
"""

from contextlib import contextmanager
from functools import cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .forms import form_address
from .simd import I64, REGISTERS, VECTOR_BYTES, Vectors, vectors_of

# How a block walks through memory:
PACKED = 0  # a step of a is one element; b lies packed, NV whole vectors a step; rows through a table
TABLE = 1  # steps of a and b as given; rows through a table; columns of b beyond the last are not touched
PANELS = 2  # both packed: a step of a is MR neighbouring elements, one of b NV whole vectors
BESIDE = 3  # as TABLE, the rows MR neighbouring elements: one address serves them all
LISTED = 4  # as PACKED, but the steps of a lie at the offsets in a list, and a run's place is one in that list

# What is done with a block before and as it is written; may be added up.
RELU, STREAM = 1, 2

UNROLL = 4
# Rows of a block by its vectors of columns: the accumulators, the vectors of b and one broadcast must fit into the
# registers. 13 rows divide 64, 128, 256, 512 and 100 with little waste.
ROWS = {1: 12, 2: 13, 3: 8, 4: 6} if REGISTERS == 32 else {1: 8, 2: 6}
ROWS_1, ROWS_2 = ROWS[1], ROWS[2]
COLUMNS = 2  # vectors of a full block where a kernel knows one width only
_COST = {1: 1.3, 2: 2.12, 3: 3, 4: 4}  # of a step for one row, in multiply-adds (see the ladder)


@intrinsic(prefer_literal=True)
def micro_kernel(typingctx, WALK, MR, NV, like, a, b, runs, rows, steps, out, start, act):
    """Compute one block. Addresses are int64; offsets and steps count bytes.

    Args:
        WALK, MR, NV: constants (see above). like: an array of the element type, or such a number.
        a, b: base addresses.
        runs: (address of triples a offset, b offset, length; their number).
        rows: (address of the MR offsets of the rows, bytes from one run's table to the next: 0 where one serves all);
            read where the walk is PACKED, LISTED or TABLE.
        steps: (step of a, step of b); LISTED: (address of the list, 0).
        out: (base address, address of the MR offsets of the rows, rows to write, columns to write).
        start: address of NV vectors that every row starts from; 0 to start from nothing, 1 from what `out` holds.
        act: 0, or a sum of RELU (negative results become 0) and STREAM (whole blocks are written past the caches; then
            rows of `out` start at multiples of a vector's size and columns are whole vectors).
    """
    signature = types.void(WALK, MR, NV, like, a, b, runs, rows, steps, out, start, act)
    constants = WALK.literal_value, MR.literal_value, NV.literal_value

    def codegen(context, builder, signature, args):
        pairs = [cgutils.unpack_tuple(builder, v) if _is_tuple(v) else v for v in args[4:]]
        _Block(vectors_of(builder, signature.args[3]), *constants).emit(*pairs)
        return context.get_dummy_value()

    return signature, codegen


_ARGUMENTS = 14


def _emit_block(builder, args, walk, mr, nv, item):
    a, b, runs, count, rows, rows_step, a_step, b_step, out, outs, rows_out, columns, start, act = args
    _Block(Vectors(builder, item, VECTOR_BYTES // item), walk, mr, nv).emit(
        a, b, (runs, count), (rows, rows_step), (a_step, b_step), (out, outs, rows_out, columns), start, act
    )


@cache
def block_address(walk, item, vectors=COLUMNS, rows=None):
    """Where the block of 1 or of COLUMNS vectors is, for run_block; compiled at the first call."""
    return form_address(_emit_block, (walk, rows or ROWS[vectors], vectors, item), _ARGUMENTS)


def block_of(walk, item, vectors):
    """(vectors, rows, address) of a block."""
    return vectors, ROWS[vectors], block_address(walk, item, vectors)


def best_width(columns, item, rows=None):
    """Vectors of a block that fills `columns` in the least time; the last block is as narrow as it may be.

    rows: where they are few, so that those that a block has to spare count.
    """
    vectors = -(-columns // (VECTOR_BYTES // item))
    widths = [width for width in reversed(ROWS) if width <= max(1, vectors)]

    def cost(width):
        spent = 1 if rows is None else -(-rows // ROWS[width]) * ROWS[width]
        return spent * (vectors // width * _COST[width] + _COST.get(vectors % width, 0))

    return min(widths, key=cost)


def blocks_for(walk, item):
    """(vectors, rows, address) of the block of 1 vector and of that of COLUMNS."""
    return (1, ROWS_1, block_address(walk, item, 1)), (COLUMNS, ROWS_2, block_address(walk, item))


@intrinsic
def run_block(typingctx, block, a, b, runs, rows, steps, out, start, act):
    """Call the block at an address that block_address gave; the arguments are micro_kernel's."""
    signature = types.void(block, a, b, runs, rows, steps, out, start, act)

    def codegen(context, builder, signature, args):
        values = [v for arg in args for v in (cgutils.unpack_tuple(builder, arg) if _is_tuple(arg) else [arg])]
        entry = ir.FunctionType(ir.VoidType(), [I64] * _ARGUMENTS)
        function = builder.inttoptr(values[0], entry.as_pointer())
        builder.call(function, values[1:])
        return context.get_dummy_value()

    return signature, codegen


def _is_tuple(value):
    return hasattr(value.type, "elements")


class _Block:
    """Emits one micro-kernel. Accumulators are stack slots, which LLVM turns into registers."""

    def __init__(self, v, walk, mr, nv):
        self.v, self.builder, self.walk, self.mr, self.nv = v, v.builder, walk, mr, nv
        self.width = nv * v.lanes
        self.acc = [[cgutils.alloca_once(v.builder, v.type) for _ in range(nv)] for _ in range(mr)]

    def emit(self, a, b, runs, rows, steps, out, start, act):
        b_, v = self.builder, self.v
        vectors = I64(self.width * v.item)
        own = {PACKED: v.item, PANELS: self.mr * v.item, LISTED: I64.width // 8}
        self.steps = (I64(own[self.walk]), vectors) if self.walk in own else steps
        _, _, _, columns = out
        self.masks = [v.first(b_.sub(columns, I64(j * v.lanes))) for j in range(self.nv)]
        self._start(start)
        with b_.if_then(b_.icmp_unsigned("<", act, I64(STREAM))):
            self._fetch(out)
        table, count = runs
        with cgutils.for_range(b_, count) as loop:
            triple = b_.add(table, b_.mul(loop.index, I64(24)))
            place = self._integer(triple, 0)
            self.list = b_.add(steps[0], place)
            a_run = a if self.walk == LISTED else b_.add(a, place)
            b_run = b_.add(b, self._integer(triple, 8))
            offsets = b_.add(rows[0], b_.mul(loop.index, rows[1]))
            length = self._integer(triple, 16)
            if self.walk == BESIDE:
                self._run_beside(a_run, b_run, length)
            else:
                self._run(a_run, b_run, length, offsets)
        self._finish(out, start, act)

    def _run(self, a, b, length, offsets):
        """Add one run: UNROLL steps at a time, then single ones."""
        b_ = self.builder
        if self.walk == PANELS:
            rows = [b_.add(a, I64(i * self.v.item)) for i in range(self.mr)]
        else:
            rows = [b_.add(a, self._integer(offsets, 8 * i)) for i in range(self.mr)]
        whole = b_.and_(length, I64(-UNROLL))
        with self._steps(I64(0), whole, UNROLL) as s:
            for u in range(UNROLL):
                self._step(rows, b, b_.add(s, I64(u)))
        with self._steps(whole, length, 1) as s:
            self._step(rows, b, s)

    def _run_beside(self, a, b, length):
        """Add one run, a step at a time: both addresses move on. Unrolled, each row's would take a register."""
        b_, item = self.builder, self.v.item
        places = [cgutils.alloca_once_value(b_, place) for place in (a, b)]
        with cgutils.for_range(b_, length):
            a, b = (b_.load(place) for place in places)
            self._multiply([b_.add(a, I64(i * item)) for i in range(self.mr)], I64(0), b)
            for place, before, step in zip(places, (a, b), self.steps, strict=True):
                b_.store(b_.add(before, step), place)

    @contextmanager
    def _steps(self, first, last, by):
        count = self.builder.sdiv(self.builder.sub(last, first), I64(by))
        with cgutils.for_range(self.builder, count) as loop:
            yield self.builder.add(first, self.builder.mul(loop.index, I64(by)))

    def _step(self, rows, b, s):
        b_ = self.builder
        moved = b_.mul(s, self.steps[0])
        if self.walk == LISTED:
            moved = self._integer(b_.add(self.list, moved), 0)
        self._multiply(rows, moved, b_.add(b, b_.mul(s, self.steps[1])))

    def _multiply(self, rows, moved, b):
        """One step: the elements `moved` bytes from the rows' addresses by the vectors at b."""
        b_, v = self.builder, self.v
        columns = [self._column(b, j) for j in range(self.nv)]
        for i in range(self.mr):
            element = v.broadcast(v.at(rows[i], moved))
            for j in range(self.nv):
                slot = self.acc[i][j]
                b_.store(v.multiply_add(element, columns[j], b_.load(slot, typ=v.type)), slot)

    def _column(self, address, j):
        pointer = self.v.at(address, j * self.v.lanes * self.v.item)
        return self.v.load_masked(pointer, self.masks[j]) if self.walk in (TABLE, BESIDE) else self.v.load(pointer)

    def _start(self, start):
        b_, v = self.builder, self.v
        given = b_.icmp_unsigned(">", start, I64(1))
        for j in range(self.nv):
            slot = cgutils.alloca_once(b_, v.type)
            b_.store(v.zero, slot)
            with b_.if_then(given):
                b_.store(v.load(v.at(start, j * v.lanes * v.item)), slot)
            for i in range(self.mr):
                b_.store(b_.load(slot, typ=v.type), self.acc[i][j])

    def _fetch(self, out):
        """Ask for the lines that will be written, so that they are there when the block is done."""
        base, offsets, _, _ = out
        for i in range(self.mr):
            row = self.builder.add(base, self._integer(offsets, 8 * i))
            for j in range(self.nv):
                self.v.fetch(self.v.at(row, j * self.v.lanes * self.v.item))

    def _finish(self, out, start, act):
        """Add what `out` holds where asked, apply the activation, write."""
        b_ = self.builder
        again = b_.icmp_unsigned("==", start, I64(1))
        relu = b_.icmp_unsigned("!=", b_.and_(act, I64(RELU)), I64(0))
        with b_.if_then(again):
            self._each_row(out, self._add)
        with b_.if_then(relu):
            for slot in (slot for slots in self.acc for slot in slots):
                b_.store(self.v.relu(b_.load(slot, typ=self.v.type)), slot)
        _, _, rows, columns = out
        full = b_.and_(b_.icmp_signed("==", rows, I64(self.mr)), b_.icmp_signed(">=", columns, I64(self.width)))
        with b_.if_else(full, likely=True) as (whole, part):
            with whole:
                self._write_whole(out, b_.icmp_unsigned("!=", b_.and_(act, I64(STREAM)), I64(0)))
            with part:
                self._each_row(out, self._write)

    def _each_row(self, out, body):
        """body(address, slots) for the rows that are to be written."""
        base, offsets, rows, _ = out
        for i in range(self.mr):
            with self.builder.if_then(self.builder.icmp_signed("<", I64(i), rows), likely=True):
                body(self.builder.add(base, self._integer(offsets, 8 * i)), self.acc[i])

    def _add(self, row, slots):
        b_, v = self.builder, self.v
        for j, slot in enumerate(slots):
            before = v.load_masked(v.at(row, j * v.lanes * v.item), self.masks[j])
            b_.store(b_.fadd(b_.load(slot, typ=v.type), before), slot)

    def _write(self, row, slots):
        v = self.v
        for j, slot in enumerate(slots):
            v.store_masked(self.builder.load(slot, typ=v.type), v.at(row, j * v.lanes * v.item), self.masks[j])

    def _write_whole(self, out, stream):
        """Masked stores take longer: a block that is full goes without."""
        b_, v = self.builder, self.v
        base, offsets, _, _ = out
        with b_.if_else(stream) as (past, through):
            for way, store in ((past, v.store_past), (through, v.store)):
                with way:
                    for i, slots in enumerate(self.acc):
                        row = b_.add(base, self._integer(offsets, 8 * i))
                        for j, slot in enumerate(slots):
                            store(b_.load(slot, typ=v.type), v.at(row, j * v.lanes * v.item))

    def _integer(self, address, offset):
        return self.builder.load(self.v.at(address, offset), align=8, typ=I64)
