"""Compiled kernels on disk: a folder that nobody else can write to, one file for each kernel and signature.

Numba's files are pickles, so whoever can write them runs code as the user who reads them: a folder counts only if it
belongs to this user (or root) and nobody else may write to it. Numba also numbers its files through an index, in which
two processes that start together can give one number to two signatures, and it raises on a file that is cut short.
Here a file's name is the hash of all that it depends on, and it begins with the hash of what follows: a file is whole
and the right one, or its kernel is compiled anew.

Every version of the sources has a folder of its own. A process marks its folder as used, and the one that makes a new
folder removes all but the newest. A process that still works with a removed one misses its files and cannot write new
ones: it compiles, as if it had none.
"""

import atexit
import contextlib
import hashlib
import os
import pickle
import re
import shutil
import stat
import tempfile
import uuid
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.runtime import _nrt_python
from numba.core.serialize import dumps

_DIGEST = hashlib.sha256().digest_size
KEPT = 8  # versions: several checkouts, Pythons and vector widths may be in use beside one another
_VERSION = re.compile(r"kernels-[0-9a-f]{16}")
_REMOVED = re.compile(rf"{_VERSION.pattern}-removed-[0-9a-f]{{12}}")


def folders(name):
    """The folders called `name` to read from, the last of them the one to write to; empty where there is none."""
    readable = []
    for base in _bases():
        with contextlib.suppress(OSError):
            folder = base / name
            is_new = not folder.exists()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_trusted(folder):
                readable.append(folder)
                with tempfile.TemporaryFile(dir=folder):
                    os.utime(folder)
                    if is_new:
                        with contextlib.suppress(OSError):
                            prune(base)
                    return tuple(readable)
    return (*readable, *_for_this_process_only())


def prune(base, kept=KEPT):
    """Remove the folders of all versions but the `kept` ones used last, and what another process left of a removal."""
    versions, removed = {}, []
    for path in base.iterdir():
        with contextlib.suppress(OSError):
            if _REMOVED.fullmatch(path.name) and _is_trusted(path):
                removed.append(path)
            elif _VERSION.fullmatch(path.name) and _is_trusted(path):
                versions[path] = path.stat().st_mtime
    for path in sorted(versions, key=versions.get, reverse=True)[kept:]:
        with contextlib.suppress(OSError):  # renamed at one stroke: no process finds a folder with half of its files
            removed.append(path.rename(f"{path}-removed-{uuid.uuid4().hex[:12]}"))
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)


def _bases():
    """FASTCONV_CACHE_DIR, the user's cache folder, then a folder of the user's own among the temporary ones."""
    if chosen := os.environ.get("FASTCONV_CACHE_DIR"):
        yield Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if os.path.isabs(home):  # without a home folder ~ stays as it is
        yield Path(home) / "fastconv"
    with contextlib.suppress(OSError):
        own = Path(tempfile.gettempdir()) / f"fastconv-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        own.mkdir(mode=0o700, exist_ok=True)
        if _is_trusted(own):
            yield own


def _is_trusted(folder):
    """Whether nobody but this user and root can have put files into a folder."""
    if not hasattr(os, "geteuid"):
        return folder.is_dir()
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def _for_this_process_only():
    with contextlib.suppress(OSError):
        folder = Path(tempfile.mkdtemp(prefix="fastconv-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        yield folder


class KernelCache(FunctionCache):
    """What a dispatcher asks before it compiles and tells afterwards."""

    def __init__(self, function, places):
        self._py_func = function
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._places = places
        self._stamp = _source_digest(function.__code__.co_filename), function.__code__.co_firstlineno
        self._cache_path = str(places[-1]) if places else None
        self.enable()

    def holds(self, sig, target_context):
        """Whether there is a file for these types."""
        name = self._file_name(sig, target_context.codegen())
        return any((folder / name).exists() for folder in self._places)

    def load_overload(self, sig, target_context):
        """The compiled kernel, or None."""
        _name_runtime()
        kept = read(self._places, self._file_name(sig, target_context.codegen()))
        return None if kept is None else CompileResult._rebuild(target_context, *kept)

    def save_overload(self, sig, data):
        """Keep a compiled kernel."""
        if self._places and not data.library.has_dynamic_globals and all(part.can_cache for part in data.lifted):
            *parts, environments = data._reduce()
            # Of the functions inside a kernel only those with Python objects need theirs, which loads their module.
            needed = tuple(environment for environment in environments if environment.consts)
            keep(self._places, self._file_name(sig, data.codegen), dumps((*parts, needed)))

    def flush(self):
        """Forget this kernel's signatures."""
        for folder in self._places[-1:]:
            for path in folder.glob(f"{self._name}-*"):
                path.unlink(missing_ok=True)

    def _file_name(self, sig, codegen):
        return file_name(self._name, (self._py_func.__module__, self._stamp, self._index_key(sig, codegen)))


def file_name(name, key):
    """A file for the code called `name` that depends on `key`."""
    return f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}"


def read(places, name):
    """What was kept under a name, from the first place that has it whole, or None."""
    for folder in places:
        with contextlib.suppress(OSError):
            content = (folder / name).read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
                return pickle.loads(content[_DIGEST:])
    return None


def keep(places, name, payload):
    """Keep a pickle in the last of the places; where the disk refuses, its code is compiled again next time."""
    for folder in places[-1:]:
        with contextlib.suppress(OSError):
            write(folder / name, hashlib.sha256(payload).digest() + payload)


def write(path, content):
    """Write a file at one stroke, so that nobody ever sees a part of it."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@cache
def _name_runtime():
    """Tell the linker where the functions of Numba's runtime are.

    That is all that machine code from the disk needs of what Numba loads before it compiles (its compiler asks for the
    rest itself). AMD Zen 5: 185 ms less of a process's first step, 75 of them SciPy's where it is installed.
    """
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


@cache
def _source_digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
