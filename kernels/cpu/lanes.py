"""Vectors of the CPU's width as values of Numba variables, for kernels whose rows are too short for LLVM's own
vectoriser (6 or 30 channels) or whose state must stay in registers over a loop.

A vector has as many lanes as floats of the array's type fit into VECTOR_BYTES. Reads and writes touch the first `count`
lanes only (any count: beyond the width it means all), so that a row needs no tail of its own. Memory is given as a
pointer to its first element and a size: helpers that took arrays would count references, and two threads that count on
one array wait for each other. Places are whole numbers (int32), a lane for each lane of floats; in memory uint8, int32.
"""

from functools import reduce

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


def _floats(pointer):
    return Lanes(pointer.dtype, lanes_of(pointer.dtype))


def _places(floats):
    return Lanes(types.int32, floats.count)


def lanes_of(dtype):
    return VECTOR_BYTES // (dtype.bitwidth // 8)


def _first(builder, count, lanes):
    """The mask of the first `count` lanes, made from the bits of a number: two instructions with AVX-512."""
    room = count.type(lanes)
    bits = builder.sub(
        builder.shl(count.type(1), builder.select(builder.icmp_signed("<", count, room), count, room)), count.type(1)
    )
    return builder.bitcast(builder.trunc(bits, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))


def _splat(builder, scalar, vector):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, vector.count), None))


def _at(builder, pointer, index, vector):
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _read(builder, pointer, index, size, vector):
    """Plain wherever the vector ends inside the memory: a masked load, and its mask, cost several of it."""
    pointer = _at(builder, pointer, index, vector)
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


def _window(builder, args, vector, KH, KW):
    pointer, index, down, right = args[:4]
    for kh in range(KH):
        for kw in range(KW):
            steps = builder.add(builder.mul(down, down.type(kh)), builder.mul(right, right.type(kw)))
            yield builder.load(_at(builder, pointer, builder.add(index, steps), vector), align=1)


def _larger(builder, best, places, value, where):
    beats = builder.fcmp_unordered(">", value, best)
    wins = builder.and_(beats, builder.fcmp_ordered("ord", best, best))
    return builder.select(wins, value, best), builder.select(wins, where, places)


def _write(builder, pointer, index, value, count):
    vector = value.type
    pointer = _at(builder, pointer, index, vector)
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
        return _read(builder, *args, context.get_value_type(signature.return_type))

    return _floats(pointer)(pointer, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, pointer, index, value, count):
    def codegen(context, builder, signature, args):
        _write(builder, *args)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value, types.int64), codegen


@intrinsic
def fill(typingctx, pointer, value):
    """The number `value` (float64) in every lane of a vector of elements like those behind a pointer."""

    def codegen(context, builder, signature, args):
        value = context.cast(builder, args[1], types.float64, pointer.dtype)
        return _splat(builder, value, context.get_value_type(signature.return_type))

    return _floats(pointer)(pointer, types.float64), codegen


@intrinsic
def add(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def subtract(typingctx, a, b):
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


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


@intrinsic
def place(typingctx, number, like):
    """`number` in every lane, as the places of the floats `like`."""

    def codegen(context, builder, signature, args):
        return _splat(builder, builder.trunc(args[0], I32), context.get_value_type(signature.return_type))

    return _places(like)(types.int64, like), codegen


@intrinsic
def load_places(typingctx, pointer, index, size, like):
    """As `load`, for places."""

    def codegen(context, builder, signature, args):
        stored = ir.VectorType(ir.IntType(pointer.dtype.bitwidth), like.count)
        places = _read(builder, *args[:3], stored)
        return builder.zext(places, ir.VectorType(I32, like.count)) if stored.element.width < 32 else places

    return _places(like)(pointer, types.int64, types.int64, like), codegen


@intrinsic
def store_places(typingctx, pointer, index, value, count):
    """As `store`, for places."""

    def codegen(context, builder, signature, args):
        stored = ir.VectorType(ir.IntType(pointer.dtype.bitwidth), value.count)
        places = builder.trunc(args[2], stored) if stored.element.width < 32 else args[2]
        _write(builder, args[0], args[1], places, args[3])
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value, types.int64), codegen


@intrinsic
def larger(typingctx, best, places, value, where):
    """(best, places) after `value`, which stands at place `where`, had its turn: equal values change nothing, a NaN
    beats every number, the first NaN stays."""

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, signature.return_type, _larger(builder, *args))

    return types.Tuple((best, places))(best, places, value, places), codegen


@intrinsic(prefer_literal=True)
def max_of_window(typingctx, pointer, index, down, right, KH, KW):
    """(best, places) of the KH x KW (constants) vectors at index + kh * down + kw * right, all inside the memory."""
    floats = _floats(pointer)
    places = _places(floats)

    def codegen(context, builder, signature, args):
        vector, whole = context.get_value_type(floats), context.get_value_type(places)
        window = _window(builder, args, vector, KH.literal_value, KW.literal_value)
        taps = [(value, ir.Constant(whole, [I32(k)] * whole.count)) for k, value in enumerate(window)]
        rows = [taps[k : k + KW.literal_value] for k in range(0, len(taps), KW.literal_value)]

        def winner(a, b):
            return _larger(builder, *a, *b)

        best = reduce(winner, [reduce(winner, row) for row in rows])  # short chains: a comparison takes 10 cycles
        return context.make_tuple(builder, signature.return_type, best)

    return types.Tuple((floats, places))(pointer, types.int64, types.int64, types.int64, KH, KW), codegen


@intrinsic(prefer_literal=True)
def sum_of_window(typingctx, pointer, index, down, right, KH, KW):
    """The sum of the KH x KW (constants) vectors at index + kh * down + kw * right, all inside the memory."""

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        return reduce(builder.fadd, _window(builder, args, vector, KH.literal_value, KW.literal_value))

    return _floats(pointer)(pointer, types.int64, types.int64, types.int64, KH, KW), codegen


@intrinsic
def keep_at(typingctx, value, places, where):
    """`value` where the place is `where`, else 0."""

    def codegen(context, builder, signature, args):
        value, places, where = args
        return builder.select(builder.icmp_signed("==", places, where), value, value.type(None))

    return value(value, places, places), codegen
