"""Those who take part: the engine and its peers, each in a process of its own.

Numba and PyTorch each bring a pool of threads, and two spinning pools on a few cores spoil both figures. So a process
(worker.py) serves one contestant, does nothing until it is asked, and is asked in turn with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Entry:
    """needs: the package to import; module: the file here with its `contestant(**options)`; steps_only: times whole
    steps only, single layers would only repeat another contestant's."""

    title: str
    needs: str
    install: str
    module: str
    options: tuple[tuple[str, object], ...] = ()
    steps_only: bool = False


ENGINE = "fastconv"
CONTESTANTS = {
    ENGINE: Entry("fastconv", "fastconv", "fastconv", "engine"),
    "torch": Entry("PyTorch", "torch", "torch", "pytorch"),
    "torch-fused": Entry("PyTorch, fused Adam", "torch", "torch", "pytorch", (("fused", True),), True),
    "torch-compile": Entry("torch.compile", "torch", "torch", "pytorch", (("compiled", True),), True),
    "jax": Entry("JAX jit", "jax", "jax", "jaxlax"),
    "numpy": Entry("NumPy im2col", "numpy", "numpy", "lectures"),
}
PEERS = tuple(name for name in CONTESTANTS if name != ENGINE)


def missing(name: str) -> str | None:
    """Why this contestant cannot take part and what to do, or None."""
    entry = CONTESTANTS[name]
    return None if find_spec(entry.needs) else f"{entry.needs} is not installed: pip install {entry.install}"
