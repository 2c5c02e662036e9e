"""Vectors of the CPU's own width, written as LLVM IR: the vocabulary of the micro-kernels.

Numba has no vector types, so kernels that need them call intrinsics (micro.py), which emit LLVM vector instructions
through `Vectors`, generic in width and element type. Intrinsics stay module-level names: a closure over one would
never be found in the disk cache by another process.

    AVX-512   64 bytes, 32 registers      16 float32, 8 float64
    AVX2      32 bytes, 16 registers      8, 4
    others    16 bytes (NEON, SSE)        4, 2
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import cpu_features, vector_bytes

VECTOR_BYTES = vector_bytes()
REGISTERS = 32 if cpu_features() & {"avx512vl", "neon"} else 16

I32, I64 = ir.IntType(32), ir.IntType(64)
FLOATS = {4: ir.FloatType(), 8: ir.DoubleType()}
SUFFIXES = {4: "f32", 8: "f64"}


class Vectors:
    """Vector instructions of one width: every method appends to the builder's current block."""

    def __init__(self, builder, item, lanes):
        self.builder, self.item, self.lanes = builder, item, lanes
        self.element = FLOATS[item]
        self.type = ir.VectorType(self.element, lanes)
        self.suffix = f"v{lanes}{SUFFIXES[item]}"
        self.zero = ir.Constant(self.type, None)

    def pointer(self, address):
        """An integer address as a pointer."""
        return self.builder.inttoptr(address, ir.PointerType())

    def at(self, address, offset):
        """address + offset (bytes; an int or a value) as a pointer."""
        offset = I64(offset) if isinstance(offset, int) else offset
        return self.builder.gep(self.pointer(address), [offset], source_etype=ir.IntType(8))

    def load(self, pointer):
        return self.builder.load(pointer, align=self.item, typ=self.type)

    def store(self, value, pointer):
        self.builder.store(value, pointer, align=self.item)

    def store_past(self, value, pointer):
        """Past the caches; `pointer` is a multiple of the vector's size."""
        store = self.builder.store(value, pointer, align=self.lanes * self.item)
        store.set_metadata("nontemporal", self.builder.module.add_metadata([I32(1)]))

    def first(self, count):
        """A mask of the first `count` lanes (a value of type i64, any sign)."""
        indices = ir.VectorType(I64, self.lanes)
        iota = ir.Constant(indices, [I64(k) for k in range(self.lanes)])
        return self.builder.icmp_signed("<", iota, self._splat(count, indices))

    def load_masked(self, pointer, mask):
        """Zero where the mask is off; the memory behind such a lane is not touched."""
        load = self._declare("llvm.masked.load", ".p0", self.type, [ir.PointerType(), mask.type, self.type])
        load.args[0].attributes.align = self.item
        return self.builder.call(load, [pointer, mask, self.zero])

    def store_masked(self, value, pointer, mask):
        store = self._declare("llvm.masked.store", ".p0", ir.VoidType(), [self.type, ir.PointerType(), mask.type])
        store.args[1].attributes.align = self.item
        self.builder.call(store, [value, pointer, mask])

    def walk(self, count, step):
        """step(offset in bytes, load, store) for the whole vectors of `count` elements; masked, for what is left."""
        b = self.builder
        whole = b.and_(count, I64(-self.lanes))
        with cgutils.for_range(b, b.sdiv(whole, I64(self.lanes))) as loop:
            step(b.mul(loop.index, I64(self.lanes * self.item)), self.load, self.store)
        with b.if_then(b.icmp_signed("<", whole, count)):
            mask = self.first(b.sub(count, whole))
            step(
                b.mul(whole, I64(self.item)),
                lambda pointer: self.load_masked(pointer, mask),
                lambda value, pointer: self.store_masked(value, pointer, mask),
            )

    def fetch(self, pointer):
        """Ask for the cache line behind `pointer`, which will be written; any address will do."""
        kind = ir.FunctionType(ir.VoidType(), [ir.PointerType(), I32, I32, I32])
        name = "llvm.prefetch.p0"
        call = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        self.builder.call(call, [pointer, I32(1), I32(3), I32(1)])

    def broadcast(self, pointer):
        """The one element behind `pointer` in every lane."""
        return self._splat(self.builder.load(pointer, align=self.item, typ=self.element), self.type)

    def multiply_add(self, a, b, c):
        """a * b + c, fused where the CPU can."""
        fma = self._declare("llvm.fmuladd", "", self.type, [self.type] * 3)
        return self.builder.call(fma, [a, b, c])

    def relu(self, v):
        """max(v, 0), and NaN where v is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", v, self.zero), self.zero, v)

    def shuffle(self, a, b, lanes):
        """The lanes of a (0 .. LANES-1) and b (LANES ..) in the order of the list `lanes`."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), [I32(k) for k in lanes]))

    def splat(self, scalar):
        """A scalar value in every lane."""
        return self._splat(scalar, self.type)

    def _splat(self, scalar, vector):
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, I32(0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, vector.count), None))

    def _declare(self, name, tail, returns, arguments):
        name = f"{name}.{self.suffix}{tail}"
        found = self.builder.module.globals.get(name)
        return found or ir.Function(self.builder.module, ir.FunctionType(returns, arguments), name)


def vectors_of(builder, array, lanes=None):
    """The vocabulary for the elements of an array type, or for a number's type."""
    item = getattr(array, "dtype", array).bitwidth // 8
    return Vectors(builder, item, lanes or VECTOR_BYTES // item)


@intrinsic
def address(typingctx, array):
    """Where an array's first element lies."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, I64)

    return types.int64(array), codegen


@intrinsic
def clear(typingctx, place, size):
    """Zeros in `size` bytes from an address on."""

    def codegen(context, builder, signature, args):
        cgutils.memset(builder, builder.inttoptr(args[0], ir.PointerType(ir.IntType(8))), args[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen
