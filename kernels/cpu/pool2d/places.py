"""What pooling adds to the vectors of lanes.py: whole windows at once, and the places of maxima in them.

Places are whole numbers (int32), a lane for each lane of floats; in memory they are uint8 or int32.
"""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..lanes import Lanes, floats_of, in_every_lane, read_lanes, vector_at, write_lanes
from ..simd import I32


def _places(floats):
    return Lanes(types.int32, floats.count)


def _window(builder, args, vector, KH, KW):
    pointer, index, down, right = args[:4]
    for kh in range(KH):
        for kw in range(KW):
            steps = builder.add(builder.mul(down, down.type(kh)), builder.mul(right, right.type(kw)))
            yield builder.load(vector_at(builder, pointer, builder.add(index, steps), vector), align=1)


def _larger(builder, best, places, value, where):
    beats = builder.fcmp_unordered(">", value, best)
    wins = builder.and_(beats, builder.fcmp_ordered("ord", best, best))
    return builder.select(wins, value, best), builder.select(wins, where, places)


def _first_of_greatest(builder, window, whole, KW):
    """(best, places) of vectors in the order of their places.

    Where no lane is NaN, which their sum tells (infinities of both signs look the same), the greatest is found first
    and then who equals it: fewer instructions, comparisons that do not wait for one another.
    """
    where = [ir.Constant(whole, [I32(k)] * whole.count) for k in range(len(window))]
    suspect = builder.fcmp_unordered("uno", *[reduce(builder.fadd, window)] * 2)
    bits = builder.bitcast(suspect, ir.IntType(whole.count))
    with builder.if_else(builder.icmp_unsigned("!=", bits, bits.type(0)), likely=False) as (with_nan, without):
        with with_nan:
            slow = _by_turns(builder, list(zip(window, where, strict=True)), KW), builder.block
        with without:
            best, places = _greatest(builder, window, KW), where[-1]
            for value, tap in reversed(list(zip(window[:-1], where[:-1], strict=True))):
                places = builder.select(builder.fcmp_ordered("==", value, best), tap, places)
            fast = (best, places), builder.block
    return [_either(builder, a, slow[1], b, fast[1]) for a, b in zip(slow[0], fast[0], strict=True)]


def _by_turns(builder, taps, KW):
    """The winner of (value, place) pairs, row by row: short chains, a comparison takes 10 cycles."""

    def winner(a, b):
        return _larger(builder, *a, *b)

    return reduce(winner, [reduce(winner, taps[k : k + KW]) for k in range(0, len(taps), KW)])


def _greatest(builder, window, KW):
    def greater(a, b):
        return builder.select(builder.fcmp_ordered(">", b, a), b, a)

    return reduce(greater, [reduce(greater, window[k : k + KW]) for k in range(0, len(window), KW)])


def _either(builder, a, from_a, b, from_b):
    result = builder.phi(a.type)
    result.add_incoming(a, from_a)
    result.add_incoming(b, from_b)
    return result


@intrinsic
def place(typingctx, number, like):
    """`number` in every lane, as the places of the floats `like`."""

    def codegen(context, builder, signature, args):
        return in_every_lane(builder, builder.trunc(args[0], I32), context.get_value_type(signature.return_type))

    return _places(like)(types.int64, like), codegen


@intrinsic
def load_places(typingctx, pointer, index, size, like):
    """As `load`, for places."""

    def codegen(context, builder, signature, args):
        stored = ir.VectorType(ir.IntType(pointer.dtype.bitwidth), like.count)
        places = read_lanes(builder, *args[:3], stored)
        return builder.zext(places, ir.VectorType(I32, like.count)) if stored.element.width < 32 else places

    return _places(like)(pointer, types.int64, types.int64, like), codegen


@intrinsic
def store_places(typingctx, pointer, index, value, count):
    """As `store`, for places."""

    def codegen(context, builder, signature, args):
        stored = ir.VectorType(ir.IntType(pointer.dtype.bitwidth), value.count)
        places = builder.trunc(args[2], stored) if stored.element.width < 32 else args[2]
        write_lanes(builder, args[0], args[1], places, args[3])
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
    floats = floats_of(pointer)
    places = _places(floats)

    def codegen(context, builder, signature, args):
        vector, whole = context.get_value_type(floats), context.get_value_type(places)
        window = list(_window(builder, args, vector, KH.literal_value, KW.literal_value))
        best = _first_of_greatest(builder, window, whole, KW.literal_value)
        return context.make_tuple(builder, signature.return_type, best)

    return types.Tuple((floats, places))(pointer, types.int64, types.int64, types.int64, KH, KW), codegen


@intrinsic(prefer_literal=True)
def sum_of_window(typingctx, pointer, index, down, right, KH, KW):
    """The sum of the KH x KW (constants) vectors at index + kh * down + kw * right, all inside the memory."""

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        return reduce(builder.fadd, _window(builder, args, vector, KH.literal_value, KW.literal_value))

    return floats_of(pointer)(pointer, types.int64, types.int64, types.int64, KH, KW), codegen


@intrinsic
def keep_at(typingctx, value, places, where):
    """`value` where the place is `where`, else 0."""

    def codegen(context, builder, signature, args):
        value, places, where = args
        return builder.select(builder.icmp_signed("==", places, where), value, value.type(None))

    return value(value, places, places), codegen
