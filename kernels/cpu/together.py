"""Several kernels compiled at the same time, by this process and others that it starts.

Numba compiles under one lock, half of the time in Python: threads gain nothing. So who knows that kernels will be
needed announces them. Another process, which takes half a second to start and to load Numba, is given one of them after
the other and keeps what it compiles on disk; this process compiles the rest when it needs them all, and loads the
others from there. What goes wrong with the other process costs time only: its kernels are compiled here.

First training step of LeNet-5, cold cache, AMD Zen 5, 2 cores, seconds from the start of the process: alone 4.9, with
one other process 3.8, large kernels first 3.4, announced as soon as they are known 3.2.
"""

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from itertools import count
from queue import Empty, PriorityQueue
from threading import Event, Lock, Thread

from numba import config
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from .disk_cache import KernelCache
from .jit import cache_folder, cache_folders

WORTH = 3  # kernels that make it worth starting a process; where nothing is kept on disk yet, more are to come
PATIENCE = 2  # seconds that a process waits for more to do
# -P: nothing is imported from the folder that happens to be the current one.
_SERVE = f"import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from {__name__} import serve; serve()"


class _Announced:
    """What is to be compiled by whoever is free, large kernels first: pairs of a kernel and its arguments' types."""

    def __init__(self):
        self.worth = WORTH if _is_something_kept() else 1
        self.lock = Lock()
        self.waiting = PriorityQueue()  # of (minus the size, a number of its own, pair)
        self.numbers = count()
        self.finished = {}  # pair -> whether nobody works at it any more
        self.partners = 0

    def add(self, pair):
        with self.lock:
            if pair in self.finished:
                return
            self.finished[pair] = Event()
            self.waiting.put((-_size(pair[0]), next(self.numbers), pair))
            if self.partners < _most_partners() and self.waiting.qsize() >= self.worth:
                self.partners += 1
                Thread(target=self._hand_over, name="fastconv-compile", daemon=True).start()

    def compile(self):
        """Compile here what nobody else has begun."""
        with suppress(Empty):
            while True:
                *_, pair = self.waiting.get_nowait()
                kernel, types = pair
                try:
                    kernel.compile(types)
                finally:
                    self.finished[pair].set()

    def wait(self, pair):
        """Until nobody works at it any more."""
        if event := self.finished.get(pair):
            event.wait()

    def _hand_over(self):
        """Let a process of its own compile some of what waits, as long as there is some."""
        try:
            with suppress(OSError, Empty), _Partner() as partner:
                while partner.ready:
                    *_, pair = self.waiting.get(timeout=PATIENCE)
                    try:
                        partner.compile(*pair)
                    finally:
                        self.finished[pair].set()
        finally:
            with self.lock:
                self.partners -= 1


class _Partner:
    """A process that compiles; a context manager."""

    def __init__(self):
        command, pipe = [sys.executable, "-P", "-c", _SERVE], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.ready = self._ask(sys.path)

    def compile(self, kernel, types):
        """Wait until it has compiled the kernel, or failed."""
        self.ready = self._ask((kernel.__module__, kernel.__name__, types))

    def _ask(self, something):
        """Whether it did it and is ready for more."""
        try:
            pickle.dump(something, self._process.stdin)
            self._process.stdin.flush()
            return bool(self._process.stdout.readline())
        except (OSError, pickle.PicklingError):
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def announce(kernel, types):
    """Say that a kernel will be called with arguments of these types."""
    cache = kernel._cache
    if types not in kernel.overloads and isinstance(cache, KernelCache) and not cache.holds(types, kernel.targetctx):
        _announced.add((kernel, types))


def compile_announced(pairs):
    """Have these compiled, as far as they were announced, and whatever else waits."""
    _announced.compile()
    for pair in pairs:
        _announced.wait(pair)


def serve():
    """In the other process: compile what the one that started it asks for, until it asks no more."""
    sys.modules["scipy"] = None  # Numba would load it, for linear algebra
    answers, sys.stdout = sys.stdout, sys.stderr
    cpu_target.target_context.refresh()
    with suppress(EOFError):
        while True:
            print("ready", file=answers, flush=True)
            module, name, types = pickle.load(sys.stdin.buffer)
            getattr(import_module(module), name).compile(types)


def _size(kernel):
    """Bytes of the byte code of a kernel and all kernels that it calls: the time to compile it grows with them."""
    found, wanted = set(), [kernel.py_func]
    while wanted:
        function = wanted.pop()
        if function not in found:
            found.add(function)
            named = (function.__globals__.get(name) for name in function.__code__.co_names)
            wanted += [other.py_func for other in named if isinstance(other, Dispatcher)]
    return sum(len(function.__code__.co_code) for function in found)


def _most_partners():
    """Processes that may compile beside this one: as many as threads compute."""
    possible = sys.executable and not getattr(sys, "frozen", False) and cache_folder() is not None
    return config.NUMBA_NUM_THREADS - 1 if possible else 0


def _is_something_kept():
    with suppress(OSError):
        return any(path for folder in cache_folders()[-1:] for path in folder.iterdir())
    return False


def _forget():
    global _announced
    _announced = _Announced()


_forget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
