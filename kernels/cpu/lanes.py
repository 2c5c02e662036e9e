"""Vectors of the CPU's width as values of Numba variables, for kernels whose rows are too short for LLVM's own
vectoriser (6 or 30 channels) or whose state must stay in registers over a loop.

A vector has as many lanes as floats of the array's type fit into VECTOR_BYTES. Reads and writes touch the first `count`
lanes only (any count: beyond the width it means all), so that a row needs no tail of its own. Memory is given as a
pointer to its first element and a size: helpers that took arrays would count references, and two threads that count on
one array wait for each other.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .activation import ActivationVectors
from .simd import FLOATS, VECTOR_BYTES

I32 = ir.IntType(32)


class Lanes(types.Type):
    """A vector of `count` elements."""

    def __init__(self, dtype, count):
        super().__init__(name=f"Lanes({dtype}, {count})")
        self.dtype, self.count = dtype, count


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        element = I32 if kind.dtype == types.int32 else FLOATS[kind.dtype.bitwidth // 8]
        super().__init__(manager, kind, ir.VectorType(element, kind.count))


def floats_of(pointer):
    """The type of a vector of what lies behind a pointer."""
    return Lanes(pointer.dtype, lanes_of(pointer.dtype))


def lanes_of(dtype):
    return VECTOR_BYTES // (dtype.bitwidth // 8)


def _first(builder, count, lanes):
    """The mask of the first `count` lanes, made from the bits of a number: two instructions with AVX-512."""
    room = count.type(lanes)
    bits = builder.sub(
        builder.shl(count.type(1), builder.select(builder.icmp_signed("<", count, room), count, room)), count.type(1)
    )
    return builder.bitcast(builder.trunc(bits, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))


def in_every_lane(builder, scalar, vector):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, vector.count), None))


def vector_at(builder, pointer, index, vector):
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def read_lanes(builder, pointer, index, size, vector):
    """Plain wherever the vector ends inside the memory: a masked load, and its mask, cost several of it."""
    pointer = vector_at(builder, pointer, index, vector)
    room = builder.sub(size, index)
    with builder.if_else(builder.icmp_signed(">=", room, room.type(vector.count)), likely=True) as (whole, part):
        with whole:
            plain, plain_block = builder.load(pointer, align=1), builder.block
        with part:
            mask = _first(builder, room, vector.count)
            read = _declare(builder, "load", vector, vector, [ir.PointerType(), mask.type, vector])
            masked, masked_block = builder.call(read, [pointer, mask, vector(None)]), builder.block
    result = builder.phi(vector)
    result.add_incoming(plain, plain_block)
    result.add_incoming(masked, masked_block)
    return result


def write_lanes(builder, pointer, index, value, count):
    vector = value.type
    pointer = vector_at(builder, pointer, index, vector)
    with builder.if_else(builder.icmp_signed(">=", count, count.type(vector.count))) as (whole, part):
        with whole:
            builder.store(value, pointer, align=1)
        with part:
            mask = _first(builder, count, vector.count)
            write = _declare(builder, "store", ir.VoidType(), vector, [vector, ir.PointerType(), mask.type])
            builder.call(write, [value, pointer, mask])


def _declare(builder, what, returns, vector, arguments):
    element = vector.element
    letter = f"i{element.width}" if isinstance(element, ir.IntType) else f"f{element.intrinsic_name[1:]}"
    name = f"llvm.masked.{what}.v{vector.count}{letter}.p0"
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(returns, arguments), name)


@intrinsic
def pointer_to(typingctx, array):
    """Where a contiguous array's first element lies."""

    def codegen(context, builder, signature, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def advance(typingctx, pointer, count):
    """The pointer to the element `count` further on."""
    return pointer(pointer, types.int64), lambda context, builder, signature, args: builder.gep(args[0], [args[1]])


@intrinsic
def width(typingctx, pointer):
    """How many elements fill a vector."""

    def codegen(context, builder, signature, args):
        return ir.IntType(64)(lanes_of(pointer.dtype))

    return types.int64(pointer), codegen


@intrinsic
def load(typingctx, pointer, index, size):
    """The elements from `index` on; lanes beyond `size` are 0."""

    def codegen(context, builder, signature, args):
        return read_lanes(builder, *args, context.get_value_type(signature.return_type))

    return floats_of(pointer)(pointer, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, pointer, index, value, count):
    def codegen(context, builder, signature, args):
        write_lanes(builder, *args)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value, types.int64), codegen


@intrinsic
def fill(typingctx, pointer, value):
    """The number `value` (float64) in every lane of a vector of elements like those behind a pointer."""

    def codegen(context, builder, signature, args):
        value = context.cast(builder, args[1], types.float64, pointer.dtype)
        return in_every_lane(builder, value, context.get_value_type(signature.return_type))

    return floats_of(pointer)(pointer, types.float64), codegen


@intrinsic
def add(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def subtract(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def multiply(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def divide(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fdiv(*args)


@intrinsic
def greater(typingctx, a, b):
    """The greater of each lane, a where b is NaN."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", args[1], args[0]), args[1], args[0])

    return a(a, b), codegen


@intrinsic
def exp(typingctx, a):
    """exp of each lane, NaN for NaN; activation.py states its error."""

    def codegen(context, builder, signature, args):
        return ActivationVectors(builder, a.count, a.dtype.bitwidth // 8).exp(args[0])

    return a(a), codegen


@intrinsic
def multiply_add(typingctx, a, b, c):
    """a * b + c, fused where the CPU can."""

    def codegen(context, builder, signature, args):
        return ActivationVectors(builder, a.count, a.dtype.bitwidth // 8).multiply_add(*args)

    return a(a, b, c), codegen


@intrinsic
def power(typingctx, a, exponent):
    """a^exponent of each lane, NaN for NaN; activation.py says for which numbers, and its error."""

    def codegen(context, builder, signature, args):
        return ActivationVectors(builder, a.count, a.dtype.bitwidth // 8).power(*args)

    return a(a, exponent), codegen


@intrinsic
def first(typingctx, a, count, rest):
    """The first `count` lanes of a, those of `rest` behind them."""

    def codegen(context, builder, signature, args):
        value, count, rest = args
        return builder.select(_first(builder, count, value.type.count), value, rest)

    return a(a, types.int64, a), codegen


@intrinsic
def greatest(typingctx, a):
    """The greatest lane."""

    def greater(builder, other, best):
        return builder.select(builder.fcmp_ordered(">", other, best), other, best)

    return a.dtype(a), lambda context, builder, signature, args: _folded(builder, args[0], greater)


@intrinsic
def total(typingctx, a):
    """The sum of all lanes."""
    return a.dtype(a), lambda context, builder, signature, args: _folded(builder, args[0], ir.IRBuilder.fadd)


def _folded(builder, value, combine):
    """All lanes in one: again and again the upper half is combined with the lower one."""
    vector, half = value.type, value.type.count
    while half > 1:
        half //= 2
        order = [I32((k + half) % vector.count) for k in range(vector.count)]
        other = builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(I32, vector.count), order))
        value = combine(builder, other, value)
    return builder.extract_element(value, I32(0))
