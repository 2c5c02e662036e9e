"""Numbers in memory that several threads read and write, and what a thread does while it waits. Addresses are int64."""

from llvmlite import ir
from llvmlite.binding import get_process_triple
from numba import types
from numba.extending import intrinsic

from .simd import I64

SIZE = 8  # bytes of a number
I32 = ir.IntType(32)


def _pointer(builder, address):
    return builder.inttoptr(address, I64.as_pointer())


@intrinsic
def load(typingctx, address):
    """The number at an address; what was written before it was stored there is seen from here on."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, args[0]), "acquire", SIZE, typ=I64)

    return types.int64(types.int64), codegen


@intrinsic
def store(typingctx, address, value):
    """Set the number; whoever loads it sees what was written before."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], _pointer(builder, args[0]), "release", SIZE)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def exchange(typingctx, address, value):
    """Set the number; returns what was there."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _pointer(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def replace(typingctx, address, expected, value):
    """Set the number if it is `expected`; returns whether it was."""

    def codegen(context, builder, signature, args):
        outcome = builder.cmpxchg(_pointer(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(outcome, 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Let a moment pass without slowing the other thread of the core."""

    def codegen(context, builder, signature, args):
        if get_process_triple().startswith(("x86", "i686")):
            call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have this core, where one waits for it."""

    def codegen(context, builder, signature, args):
        call(builder, "sched_yield", I32, [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def wait_for_byte(typingctx, descriptor, buffer):
    """Sleep until there is a byte to read from a pipe."""
    return types.int64(types.int64, types.int64), _transfer("read")


@intrinsic
def send_byte(typingctx, descriptor, buffer):
    """Write a byte to a pipe."""
    return types.int64(types.int64, types.int64), _transfer("write")


def _transfer(name):
    def codegen(context, builder, signature, args):
        descriptor = builder.trunc(args[0], I32)
        return call(builder, name, I64, [descriptor, _pointer(builder, args[1]), I64(1)])

    return codegen


def call(builder, name, returns, args):
    """Emit a call of a C function by its name."""
    found = builder.module.globals.get(name)
    kind = ir.FunctionType(returns, [a.type for a in args])
    return builder.call(found or ir.Function(builder.module, kind, name), args)
