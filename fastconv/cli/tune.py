"""`fastconv tune`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import Option, constructor_options, input_shape

if TYPE_CHECKING:
    from rich.table import Table

    from ..backends.cpu.trials import Trial
    from ..geometry import Conv2dGeometry

BATCH = 100
Problem = tuple[str, "Conv2dGeometry"]


def tune(
    models: Annotated[
        list[str] | None, typer.Argument(help="Networks that `fastconv info` lists; those with recipes unless given.")
    ] = None,
    networks: Annotated[
        str | None, typer.Option(help="Layers of the benchmarks instead: vgg16,resnet50, say, or all.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help=f"Images in a step; {BATCH}, or the benchmarks' own, unless given.", min=1)
    ] = None,
    input: Annotated[str | None, typer.Option(help="The shape of one image, 1,28,28 say.")] = None,
    option: Option = None,
    rounds: Annotated[int, typer.Option(help="Samples of each algorithm.", min=7)] = 7,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget all that was measured, and measure nothing.")
    ] = False,
) -> None:
    """Time every algorithm for every convolution on this computer, and remember those that beat the built-in choice.

    Later processes use them; the environment variable FASTCONV_TUNING=off makes one ignore them.
    """
    from ..backends import select
    from ..tables import show

    select.use("cpu")
    from ..backends.cpu import tuning

    if forget:
        typer.echo(f"forgot {tuning.forget()} measured choices")
        return
    problems = _bench_layers(networks, batch_size) if networks else []
    if models or not networks:
        shape = {} if input is None else {"input_dim": list(input_shape(input))}
        problems = [*_models(models, shape | constructor_options(option), batch_size or BATCH), *problems]
    trials = _until_ctrl_c(_measure(problems, rounds))
    show(_table(trials))
    found = {tuning.key(t.geometry, t.direction, t.dtype): t.winner for _, t in trials}
    path, count = tuning.remember(found), sum(name is not None for name in found.values())
    if path is None:
        typer.echo(f"{count} of {len(found)} choices can be improved, but no folder can be written to")
    else:
        typer.echo(f"{count} of {len(found)} choices improved; remembered in {path}")


def _until_ctrl_c(trials: Iterator[tuple[str, Trial]]) -> list[tuple[str, Trial]]:
    """All of them, or those that were finished before Ctrl-C, where there is at least one."""
    done = []
    try:
        for trial in trials:
            done.append(trial)
    except KeyboardInterrupt:
        if not done:
            raise
        typer.secho("stopped: what was measured so far counts", fg="yellow", err=True)
    return done


def _models(names: list[str] | None, options: dict[str, Any], batch_size: int) -> list[Problem]:
    """The convolutions of these networks' compiled training steps, or of those that have recipes."""
    import numpy as np

    from ..compiler.compile import compile as compiled
    from ..models import build
    from ..nn import CrossEntropyLoss
    from ..optim import SGD
    from .recipes import RECIPES, network_of

    chosen = [(name, build(name, options)) for name in names or ()]
    found: dict[Conv2dGeometry, str] = {}
    for name, network in chosen or [(model, network_of(model, data, options)) for model, data in RECIPES]:
        step = compiled(network, CrossEntropyLoss(), SGD(network.parameters(), 0.1))
        x = np.zeros((batch_size, *network.config["input_dim"]), "float32")
        plan = step.prepare(x, np.zeros(batch_size, "int64"))
        geometries = [call.geometry for call in plan.calls if call.op.startswith("conv2d")]
        for i, g in enumerate(dict.fromkeys(geometries), 1):
            found.setdefault(g, f"{name}:{i}")
    return [(title, g) for g, title in found.items()]


def _bench_layers(networks: str, batch_size: int | None) -> list[Problem]:
    """The convolutions of the benchmarks' networks.

    Raises:
        ArgumentError: there is no such network.
    """
    from dataclasses import replace

    from ..bench.shapes import NETWORKS, convolutions
    from ..errors import ArgumentError

    names = list(NETWORKS) if networks == "all" else [name.strip() for name in networks.split(",")]
    for name in names:
        if name not in NETWORKS:
            raise ArgumentError(f"--networks: {name!r} is not one of {', '.join(NETWORKS)}")
    found: dict[Conv2dGeometry, str] = {}
    for layer in convolutions(names, quick=False):
        g = layer.geometry
        found.setdefault(g if batch_size is None else replace(g, N=batch_size), layer.title)
    return [(title, g) for g, title in found.items()]


def _measure(problems: list[Problem], rounds: int) -> Iterator[tuple[str, Trial]]:
    """Every problem in every direction that leaves a choice, with a progress bar."""
    from rich.progress import track

    from ..backends import select
    from ..backends.cpu.trials import trial

    backend = select.get("cpu")
    work = list(_with_choice(problems))
    for title, g, direction, names in track(work, "timing", transient=True):
        yield title, trial(backend, g, direction, names, rounds=rounds)


def _with_choice(problems: list[Problem]) -> Iterator[tuple[str, Conv2dGeometry, str, list[str]]]:
    """(title, geometry, direction, algorithms that take it in the built-in order), where there are two or more."""
    from ..backends.cpu.conv2d import ALGORITHMS

    for title, g in problems:
        for direction, candidates in ALGORITHMS.items():
            names = [a.name for a in candidates if a.waits(g) is None]
            if len(names) > 1:
                yield title, g, direction, names


def _table(trials: list[tuple[str, Trial]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("layer", "problem", "direction", "milliseconds", "built-in choice", "fastest"):
        table.add_column(name, overflow="fold")
    table.add_column("gain", justify="right")
    for title, t in trials:
        times = "  ".join(f"{name} {1e3 * s:.3g}" for name, s in sorted(t.seconds.items(), key=lambda item: item[1]))
        table.add_row(
            title, t.geometry.name, t.direction, times, t.default, t.fastest, f"{t.gain:.2f}" if t.winner else "-",
            style="bold" if t.winner else None,
        )  # fmt: skip
    return table
