"""A parallel loop over chunks that costs no compilation of its own.

    parallel_for(body, chunks, args)        inside a kernel: body(chunk, *args) for chunk = 0 .. chunks - 1

`body` is another kernel. Chunks run on Numba's own thread pool (the layer and `numba.set_num_threads` that prange uses)
in any order, so a body writes to places of its own; the number of chunks must follow from the problem and not from the
threads, so that results do not depend on them. One chunk, or one thread, runs without a parallel region.

Why not prange: `parallel=True` analyses and compiles every loop apart.   AMD Zen 5, 2 cores, Numba 0.68, OpenMP:
    relu over chunks, prange                 0.27 s to compile, 1.04 us a call
    the same loop through parallel_for       0.08 s to compile, 0.74 us a call
The pool's entry, numba_parallel_for, hands `data` through and gives each worker a run of consecutive items: it adds
item * step to the base pointer. With base 0 and step 1 that pointer is the number of the first chunk.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.ufunc.parallel import _launch_threads

from .jit import inner

_INT = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_WORKER = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _INT.as_pointer(), _INT.as_pointer(), _BYTES])
_POOL = ir.FunctionType(ir.VoidType(), [_BYTES] * 5 + [_INT] * 3)


@intrinsic
def parallel_for(typingctx, body, chunks, args):
    """Run body(chunk, *args) for every chunk below `chunks`, spread over the threads."""
    body_signature = body.get_call_type(typingctx, (types.int64, *args.types), {})

    def codegen(context, builder, signature, values):
        library = context.active_code_library
        _launch_threads()
        library._reload_init.add(_launch_threads)  # a kernel from the disk cache needs the pool as well
        compiled = body.dispatcher.overloads[body_signature.args]
        library.add_linking_library(compiled.library)
        _, count, packed = values
        worker = _emit_worker(context, builder.module, compiled, body_signature, packed.type)
        _emit_launch(builder, worker, count, packed)
        return context.get_dummy_value()

    return signature(types.void, body, types.int64, args), codegen


def _emit_worker(context, module, compiled, body_signature, packed_type):
    """The function that the pool calls: a run of chunks, its arguments behind `data`."""
    worker = ir.Function(module, _WORKER, module.get_unique_name("parallel_for.worker"))
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
    def address_of(value):
        return builder.bitcast(cgutils.alloca_once_value(builder, value), _BYTES)

    module = builder.module
    threads = builder.call(cgutils.get_or_insert_function(module, ir.FunctionType(_INT, []), "get_num_threads"), [])
    pool = cgutils.get_or_insert_function(module, _POOL, "numba_parallel_for")
    bases, counts, steps, data = (address_of(v) for v in (_BYTES(None), count, _INT(1), packed))
    alone = builder.or_(builder.icmp_signed("<", count, _INT(2)), builder.icmp_signed("<", threads, _INT(2)))
    with builder.if_else(alone) as (here, spread):
        with here:
            pointers = [builder.bitcast(p, t) for p, t in zip((bases, counts, steps, data), _WORKER.args, strict=True)]
            builder.call(worker, pointers)
        with spread:
            run = builder.bitcast(worker, _BYTES)
            builder.call(pool, [run, bases, counts, steps, data, _INT(0), _INT(1), threads])


@inner
def span(chunk, chunks, n, unit):
    """First and last + 1 of the items of a chunk, when n items are cut evenly into multiples of `unit`."""
    size = ((n + chunks - 1) // chunks + unit - 1) // unit * unit
    return min(chunk * size, n), min((chunk + 1) * size, n)
