"""Machine code of compiled kernels on disk: private files, each the hash of its contents and then the contents."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

DIGEST = hashlib.sha256().digest_size


def folder():
    """`cuda` in the folder that FASTCONV_CACHE_DIR names, or in the user's cache folder."""
    return Path(os.environ.get("FASTCONV_CACHE_DIR") or user_cache_path("fastconv")) / "cuda"


def load(*parts):
    """What was kept under these parts of a key, or None."""
    path = _path(parts)
    try:
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return None  # somebody else's
        kept = path.read_bytes()
    except OSError:
        return None
    binary = kept[DIGEST:]
    return binary if hashlib.sha256(binary).digest() == kept[:DIGEST] else None


def save(binary, *parts):
    """Keep it for the next process; where nothing can be written, it is compiled anew there."""
    path = _path(parts)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(binary).digest() + binary)
        os.replace(file.name, path)  # whole or not at all, whoever writes at the same time


def _path(parts):
    return folder() / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.cubin"
