"""A parallel loop over chunks that costs no compilation of its own.

    parallel_for(body, chunks, args)        inside a kernel: body(chunk, *args) for chunk = 0 .. chunks - 1

`body` is another kernel. Chunks run on the threads of workers.py (as many as `numba.set_num_threads` says) in any
order, so a body writes to places of its own; the number of chunks must follow from the problem and not from the
threads, so that results do not depend on them. One chunk, or one thread, runs without a parallel region.

Bodies get arrays whose memory is not counted: their owner is the kernel's caller, and threads that count references to
one array wait for each other.   AMD Zen 5, 2 cores far from each other, 100 small images turned, us (one thread 6.9):
    arrays counted 29    not counted 5.5

Why not prange: `parallel=True` analyses and compiles every loop apart.   AMD Zen 5, 2 cores, Numba 0.68, OpenMP:
    relu over chunks, prange                 0.27 s to compile, 1.04 us a call
    the same loop through parallel_for       0.08 s to compile, 0.74 us a call
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic

from .jit import inner
from .workers import BODY, BYTES, ENTRY, start

_INT = ir.IntType(64)
_ENTRY = ir.FunctionType(ir.VoidType(), [BYTES, _INT, BYTES, _INT])


@intrinsic
def parallel_for(typingctx, body, chunks, args):
    """Run body(chunk, *args) for every chunk below `chunks`, spread over the threads."""
    body_signature = body.get_call_type(typingctx, (types.int64, *args.types), {})

    def codegen(context, builder, signature, values):
        library = context.active_code_library
        start()
        library._reload_init.add(start)  # a kernel from the disk cache needs the threads as well
        compiled = body.dispatcher.overloads[body_signature.args]
        library.add_linking_library(compiled.library)
        _, count, given = values
        packed = _without_owners(context, builder, signature.args[2], given)
        worker = _emit_worker(context, builder.module, compiled, body_signature, packed.type)
        _emit_launch(builder, worker, count, packed)
        return context.get_dummy_value()

    return signature(types.void, body, types.int64, args), codegen


def _without_owners(context, builder, kind, value):
    """The value with no array's memory counted: its owner is the kernel's caller."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind.types):
            own = _without_owners(context, builder, part, builder.extract_value(value, i))
            value = builder.insert_value(value, own, i)
    return value


def _emit_worker(context, module, compiled, body_signature, packed_type):
    """The function that the pool calls: a run of chunks, its arguments behind `data`."""
    worker = ir.Function(module, BODY, module.get_unique_name("parallel_for.worker"))
    worker.linkage = "internal"
    bases, counts, _, data = worker.args
    builder = ir.IRBuilder(worker.append_basic_block())
    first = builder.ptrtoint(builder.load(bases), _INT)
    args = cgutils.unpack_tuple(builder, builder.load(builder.bitcast(data, packed_type.as_pointer())))
    callee = context.declare_function(module, compiled.fndesc)
    with cgutils.for_range(builder, builder.load(counts)) as loop:
        chunk = builder.add(first, loop.index)
        context.call_conv.call_function(
            builder, callee, body_signature.return_type, body_signature.args, [chunk, *args]
        )
    builder.ret_void()
    return worker


def _emit_launch(builder, worker, count, packed):
    module = builder.module
    data = builder.bitcast(cgutils.alloca_once_value(builder, packed), BYTES)
    threads = builder.call(cgutils.get_or_insert_function(module, ir.FunctionType(_INT, []), "get_num_threads"), [])
    entry = cgutils.get_or_insert_function(module, _ENTRY, ENTRY)
    alone = builder.or_(builder.icmp_signed("<", count, _INT(2)), builder.icmp_signed("<", threads, _INT(2)))
    with builder.if_else(alone) as (here, spread):
        with here:
            first, items = (cgutils.alloca_once_value(builder, v) for v in (BYTES(None), count))
            builder.call(worker, [first, items, items, data])
        with spread:
            builder.call(entry, [builder.bitcast(worker, BYTES), count, data, threads])


@inner
def span(chunk, chunks, n, unit):
    """First and last + 1 of the items of a chunk, when n items are cut evenly into multiples of `unit`."""
    size = ((n + chunks - 1) // chunks + unit - 1) // unit * unit
    return min(chunk * size, n), min((chunk + 1) * size, n)
