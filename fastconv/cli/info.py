"""`fastconv info`"""

from __future__ import annotations


def info() -> None:
    """Print versions, backends, threads, networks, data sets and folders."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import typer

    from ..backends.select import available
    from ..data import NAMES
    from ..data.download import cache_folder
    from ..models import MODELS

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    rows = {
        "fastconv": installed("fastconv"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        **{name: installed(name) for name in ("numpy", "numba", "matplotlib", "scikit-learn")},
        **{f"backend {name}": state for name, state in available().items()},
        "threads": _threads(),
        "networks": ", ".join(MODELS),
        "data sets": ", ".join(NAMES),
        "data folder": str(cache_folder("")),
        "compiled kernels": _kernel_folder(),
    }
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}{value}")


def _threads() -> str:
    from ..errors import BackendError
    from ..threads import get_threads

    try:
        return f"{get_threads()} of the cpu backend"
    except BackendError as error:
        return f"none: {error}"


def _kernel_folder() -> str:
    try:
        from fastconv.kernels.cpu.jit import cache_folder
    except ImportError:
        return "none, because numba is not installed"
    return str(cache_folder() or "not kept: no folder can be written to")
