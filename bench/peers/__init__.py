"""Those who take part: the engine and its peers, each in a process of its own.

Numba and PyTorch each bring a pool of threads, and two spinning pools on a few cores spoil both figures. So a process
(worker.py) serves one contestant, does nothing until it is asked, and is asked in turn with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Entry:
    """needs: the packages to import; module: the file here with its `contestant(**options)`; quick: is asked in the
    short selection too; trains: has training steps whose start-up and memory are worth a look; devices: where it runs;
    one that runs on the GPU takes `device` and `precision` among its options."""

    title: str
    needs: tuple[str, ...]
    install: str
    module: str
    options: tuple[tuple[str, object], ...] = ()
    quick: bool = True
    trains: bool = True
    devices: tuple[str, ...] = ("cpu",)


ENGINE = "fastconv"
CONTESTANTS = {
    ENGINE: Entry("fastconv", ("fastconv",), "fastconv", "engine", devices=("cpu", "gpu")),
    "torch": Entry("PyTorch", ("torch",), "torch", "pytorch", devices=("cpu", "gpu")),
    "torch-fused": Entry("PyTorch, fused Adam", ("torch",), "torch", "pytorch", (("fused", True),), quick=False),
    "torch-compile": Entry(
        "torch.compile", ("torch",), "torch", "pytorch", (("compiled", True),), quick=False, devices=("cpu", "gpu")
    ),
    "torch-graph": Entry("PyTorch, CUDA graph", ("torch",), "torch", "pytorch", (("graphed", True),), devices=("gpu",)),
    "jax": Entry("JAX jit", ("jax",), "jax", "jaxlax"),
    "onnxruntime": Entry("ONNX Runtime", ("onnxruntime", "onnx"), "onnxruntime onnx", "onnx_runtime", trains=False),
    # NumPy compiles nothing and frees all at once.
    "numpy": Entry("NumPy im2col", ("numpy",), "numpy", "lectures", trains=False),
}
PEERS = tuple(name for name in CONTESTANTS if name != ENGINE)


def missing(name: str, device: str = "cpu") -> str | None:
    """Why this contestant cannot take part on this device and what to do, or None."""
    entry = CONTESTANTS[name]
    if device not in entry.devices:
        return f"runs on the {' and the '.join(entry.devices)} only"
    absent = [package for package in entry.needs if not find_spec(package)]
    return f"{' and '.join(absent)} not installed: pip install {entry.install}" if absent else None
