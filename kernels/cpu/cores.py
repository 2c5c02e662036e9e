"""The core that a thread runs on.

Linux may wake a thread on its waker's core though others idle, and leave it there for tens of milliseconds: two threads
then take as long as one. Rows of the benchmark, timed after breaks, met it at random (AMD Zen 5, 2 cores: a layer of
983 us took 1593).
"""

import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .atomic import I32, call
from .simd import I64

CORES = 1024  # that a mask has bits for
BITS = 64  # of its words
_LINUX = sys.platform == "linux"


@intrinsic
def own_core(typingctx):
    """The number of the core that this thread runs on; -1 where the system does not say."""

    def codegen(context, builder, signature, args):
        return builder.sext(call(builder, "sched_getcpu", I32, []), I64) if _LINUX else I64(-1)

    return types.int64(), codegen


@intrinsic
def leave_core(typingctx, core):
    """Move this thread to another core, if it may run on one; where it may run stays as it was."""

    def codegen(context, builder, signature, args):
        if _LINUX:
            _emit_leave(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _emit_leave(builder, core):
    mask = cgutils.alloca_once(builder, ir.ArrayType(I64, CORES // BITS))
    words = builder.bitcast(mask, I64.as_pointer())

    def succeeds(name):
        status = call(builder, name, I32, [I32(0), I64(CORES // 8), words])
        return builder.icmp_signed("==", status, I32(0))

    known = builder.icmp_unsigned("<", core, I64(CORES))
    with builder.if_then(builder.and_(known, succeeds("sched_getaffinity"))):
        word = builder.gep(words, [builder.udiv(core, I64(BITS))])
        allowed = builder.load(word)
        here = builder.shl(I64(1), builder.urem(core, I64(BITS)))
        builder.store(builder.and_(allowed, builder.not_(here)), word)
        with builder.if_then(succeeds("sched_setaffinity")):  # on return the thread runs elsewhere
            builder.store(allowed, word)
            succeeds("sched_setaffinity")
