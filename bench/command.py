"""The command line of the suite: `fastconv bench`, or `python -m fastconv.bench`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

WIDE = 150  # columns where the output is no terminal


def bench(
    groups: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: conv, pool, matmul, steps, startup, runs, ... Default: all; runs if --full."
        ),
    ] = None,
    networks: Annotated[str, typer.Option(help="Comma-separated names of networks.")] = "all",
    peers: Annotated[
        str | None, typer.Option(help="Comma-separated: torch, jax, numpy, ...; 'none'. Default: those installed.")
    ] = None,
    full: Annotated[bool, typer.Option("--full/--quick", help="All layers and batch sizes, or a selection.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every contestant.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    precision: Annotated[
        str, typer.Option(help="On the gpu, on both sides: float32, tf32, bfloat16 or float16.")
    ] = "float32",
    json: Annotated[
        Path | None, typer.Option(help="Write the results: a .json file, or a folder for one file a machine.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw roofline and ratios into this file.")] = None,
    readme: Annotated[Path | None, typer.Option(help="Rewrite the table between this file's markers.")] = None,
    add: Annotated[
        list[Path] | None, typer.Option(help="Take the rows of these earlier results (JSON) in; may be repeated.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="The folder with MNIST's files, for whole runs.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Show what changed since these results (JSON).")] = None,
) -> None:
    """Time the engine's work beside its peers: layers, steps, start-up, memory."""
    from rich.console import Console

    from . import comparison, figure, machine, report, suite
    from . import readme as readme_table
    from .results import Results

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    if data_root:
        os.environ["FASTCONV_DATA"] = str(data_root)
    old = _load(Results, compare, "--compare")
    earlier = [_load(Results, path, "--add") for path in add or ()]
    where = _where(device, precision)
    works = _works(groups, networks, full, device)
    chosen = suite.default_peers(not full, device) if peers is None else _names(peers, "peer", suite.PEERS)
    if png and (reason := figure.missing()):
        raise typer.BadParameter(reason, param_hint="--png")
    results = _run(console, works, chosen, full, {"threads": threads, **where})
    stopped = suite.INTERRUPTED in results.errors
    for part in earlier:
        try:
            results.add(part)
        except ValueError as error:
            results.errors.append(f"--add: {error}")  # what was measured is kept
    report.show(results, console)
    if json:
        target = json if json.suffix == ".json" else json / machine.file_name(results.machine, precision)
        results.save(target)
        console.print(f"results: {target}", highlight=False)
    if png:
        figure.draw(results, png)
        console.print(f"picture: {png}", highlight=False)
    if readme:
        console.print(readme_table.rewrite(readme, results), highlight=False, markup=False)
    if old:
        comparison.show(old, results, console)
    if stopped:
        raise KeyboardInterrupt  # what was measured is reported; the command ends as every other one does after Ctrl-C
    if results.errors:
        raise typer.Exit(1)


def _run(console, works, peers, full, options):
    """The run with a progress bar that names the row."""
    from dataclasses import replace

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from . import suite

    settings = replace(suite.FULL if full else suite.QUICK, **options)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("machine's limits", total=len(works))
        return suite.run(
            works, peers, settings,
            lambda work, row: progress.update(task, advance=1, description=f"{work.group} {work.title}"),
        )  # fmt: skip


def _where(device, precision):
    """Device and precision as settings, after a look whether they are there."""
    from fastconv.backends import select

    from .measure import ROUNDING

    if device not in ("cpu", "gpu"):
        raise typer.BadParameter(f"must be cpu or gpu, not {device!r}", param_hint="--device")
    if precision not in ROUNDING or (device == "cpu" and precision != "float32"):
        known = ", ".join(ROUNDING) if device == "gpu" else "float32 on the cpu"
        raise typer.BadParameter(f"must be {known}, not {precision!r}", param_hint="--precision")
    if (state := select.available()[device]) != "ready":
        raise typer.BadParameter(f"the {device} backend cannot be used: {state}", param_hint="--device")
    return {"device": device, "precision": precision}


def _works(groups, networks, full, device):
    from . import shapes
    from .suite import CPU_ONLY
    from .work import FAMILIES, GROUPS, LONG, select

    here = [group for group in GROUPS if device == "cpu" or group not in CPU_ONLY]
    if groups is None:
        names = [group for group in here if full or group not in LONG]
    else:
        names = _names(groups, "group", (*here, *FAMILIES))
    wanted = [group for name in names for group in FAMILIES.get(name, (name,))]
    works = select(wanted, _names(networks, "network", shapes.NETWORKS), quick=not full)
    if not works:
        raise typer.BadParameter("these groups have no rows for these networks")
    return works


def _names(text, what, known):
    """'all', 'none' or names out of `known`."""
    if text == "all":
        return list(known)
    chosen = [] if text == "none" else [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise typer.BadParameter(f"there is no {what} {name!r}; choose from {', '.join(known)}")
    return chosen


def _load(results, path, option):
    if path is None:
        return None
    try:
        return results.load(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def main() -> None:
    """`python -m fastconv.bench`"""
    typer.run(bench)
