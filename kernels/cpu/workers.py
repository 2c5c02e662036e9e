"""Threads that take a part of a loop at once: one cache line is handed to each, and back.

Numba's pools pass a loop through queues and locks: many cache lines, each of which takes up to a microsecond between
the cores of a virtual machine. Here a worker has a line of its own, and looks at it all the time:

    caller   writes the job, makes the state OFFERED, does its own share, takes back what is not TAKEN yet and does that
             as well, waits for the others
    worker   OFFERED -> TAKEN, does its share, -> IDLE; after LOOKS at nothing ASLEEP, in read() on a pipe; woken on
             its caller's core it moves to another

Nobody waits for a worker that the system has not let run. One loop at a time: a caller that finds the workers busy
(another Python thread computes), or none (in a forked child), uses Numba's pool.

us that a loop in two halves takes above half the work, AMD Zen 5, 2 cores that are now near each other, now far (a
message there and back takes 0.1 to 1.7):    TBB 4.4 to 15    GNU OpenMP 1.6 to 3.4    here 1.3 to 2.3
"""

import atexit
import ctypes
import os
import threading

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.ufunc.parallel import _launch_threads

from .atomic import exchange, give_way, load, pause, replace, send_byte, store, wait_for_byte
from .cores import leave_core, own_core
from .jit import compiled_address
from .simd import I64

BYTES = ir.IntType(8).as_pointer()
# What a loop's body is called through: pointers to the first item's number, to the number of items; its arguments.
BODY = ir.FunctionType(ir.VoidType(), [BYTES.as_pointer(), I64.as_pointer(), I64.as_pointer(), BYTES])
ENTRY = "fastconv_share_out"  # (body, items, arguments, threads)

LINE = 128  # bytes between the lines: processors fetch two of 64 at a time
IDLE, OFFERED, TAKEN, ASLEEP = range(4)
STATE, FUNCTION, DATA, FIRST, COUNT, CORE, PIPE, BUFFER = range(0, 64, 8)  # in a worker's line
BUSY, WORKERS, FALLBACK, STOPPED = range(0, 32, 8)  # in the first line
LOOKS = 10_000  # some 100 us
PATIENCE = 2_000
_POSIX = os.name == "posix"


@intrinsic
def _run(typingctx, body, first, count, data):
    """Items first .. first + count - 1 of a loop, here and now."""

    def codegen(context, builder, signature, args):
        function, first, count, data = args
        base = cgutils.alloca_once_value(builder, builder.inttoptr(first, BYTES))
        items = cgutils.alloca_once_value(builder, count)
        builder.call(builder.inttoptr(function, BODY.as_pointer()), [base, items, items, builder.inttoptr(data, BYTES)])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def _run_in_pool(typingctx, pool, body, count, data, threads):
    """The whole loop through the entry of Numba's pool."""

    def codegen(context, builder, signature, args):
        pool, function, count, data, threads = args
        pointers = [cgutils.alloca_once_value(builder, v) for v in (BYTES(None), count, I64(1))]
        given = [builder.bitcast(p, BYTES) for p in pointers]
        kind = ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [I64] * 3)
        builder.call(
            builder.inttoptr(pool, kind.as_pointer()),
            [builder.inttoptr(function, BYTES), *given, builder.inttoptr(data, BYTES), I64(0), I64(1), threads],
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


def _share_out(head, body, count, data, threads):
    """Run a loop of `count` items on `threads` threads, this one among them."""
    parts = min(threads, load(head + WORKERS) + 1, count)
    if parts < 2 or not replace(head + BUSY, 0, 1):
        _run_in_pool(load(head + FALLBACK), body, count, data, threads)
        return
    core = own_core()
    for part in range(1, parts):
        line = head + part * LINE
        first = part * count // parts
        store(line + FUNCTION, body)
        store(line + DATA, data)
        store(line + FIRST, first)
        store(line + COUNT, (part + 1) * count // parts - first)
        store(line + CORE, core)
        if exchange(line + STATE, OFFERED) == ASLEEP:
            send_byte(load(line + PIPE), line + BUFFER)
    _run(body, 0, count // parts, data)
    for part in range(1, parts):
        line = head + part * LINE
        if replace(line + STATE, OFFERED, IDLE):
            _run(body, load(line + FIRST), load(line + COUNT), data)
        looks = 0
        while load(line + STATE) == TAKEN:
            looks += 1
            if looks < PATIENCE:
                pause()
            else:
                give_way()
    store(head + BUSY, 0)


def _hand_over(head, body, count, data, threads):
    """Run a loop in Numba's pool, on systems whose pipes and threads are not POSIX's."""
    _run_in_pool(load(head + FALLBACK), body, count, data, threads)


def _serve(head, line, pipe):
    """What a worker does all its life. pipe: the end to read from."""
    while load(head + STOPPED) == 0:
        looks = 0
        while load(line + STATE) != OFFERED and looks < LOOKS:
            pause()
            looks += 1
        if replace(line + STATE, OFFERED, TAKEN):
            _run(load(line + FUNCTION), load(line + FIRST), load(line + COUNT), load(line + DATA))
            store(line + STATE, IDLE)
        elif replace(line + STATE, IDLE, ASLEEP):
            wait_for_byte(pipe, line + BUFFER + 8)
            if own_core() == load(line + CORE):
                leave_core(load(line + CORE))


class _Workers:
    """The workers of this process and the memory through which they are reached."""

    def __init__(self, count):
        memory = np.zeros((count + 2) * LINE, np.uint8)
        start = -memory.ctypes.data % LINE
        self.lines = memory[start : start + (count + 1) * LINE].view(np.int64).reshape(count + 1, -1)
        self.lines[0, FALLBACK // 8] = llvm.address_of_symbol("numba_parallel_for")
        self.threads = []
        entry = compiled_address(_share_out if _POSIX else _hand_over, types.void(*[types.int64] * 5))
        self._entry = entry, _with_first_argument(entry.address, self.lines.ctypes.data)
        if _POSIX and count:
            self._start(count)

    def _start(self, count):
        head = self.lines.ctypes.data
        self._code = compiled_address(_serve, types.void(*[types.int64] * 3))
        serve = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(self._code.address)  # lets go of Python's lock
        for part in range(1, count + 1):
            reading, self.lines[part, PIPE // 8] = os.pipe()
            line = head + part * LINE
            thread = threading.Thread(target=serve, args=(head, line, reading), name=f"fastconv-{part}", daemon=True)
            thread.start()
            self.threads.append(thread)
        self.lines[0, WORKERS // 8] = count
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self.forget)

    def stop(self):
        """End the workers, before the memory of their code goes."""
        if self.lines[0, WORKERS // 8]:
            self.lines[0, WORKERS // 8], self.lines[0, STOPPED // 8] = 0, 1
            for line in self.lines[1:]:
                os.write(line[PIPE // 8], b"0")
            for thread in self.threads:
                thread.join(timeout=1)

    def forget(self):
        """A forked child has none of them."""
        self.lines[0, WORKERS // 8] = self.lines[0, BUSY // 8] = 0


def _with_first_argument(address, value):
    """Make a function at `address` known to kernels as ENTRY, its first argument given. Returns what keeps it alive."""
    text = f"""
        define void @entry(ptr %body, i64 %count, ptr %data, i64 %threads) {{
            %function = inttoptr i64 {address} to ptr
            call void %function(i64 {value}, ptr %body, i64 %count, ptr %data, i64 %threads)
            ret void
        }}
    """
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    llvm.add_symbol(ENTRY, engine.get_function_address("entry"))
    return engine


_lock = threading.Lock()
_workers = None


def start():
    """Start the threads that kernels use, if they are not there yet."""
    global _workers
    _launch_threads()
    with _lock:
        if _workers is None:
            _workers = _Workers(config.NUMBA_NUM_THREADS - 1)
