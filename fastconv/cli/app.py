"""The commands under one roof, and what all of them have: --version and --debug."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from . import reporting

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "summary",
    "plan",
    "filters",
    "activations",
    "demo",
    "bench",
    "tune",
    "warmup",
    "info",
)

app = typer.Typer(
    name="fastconv", no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"max_content_width": 100}
)


def main() -> None:
    """Run the command that sys.argv names."""
    app(prog_name="fastconv")


def _print_version(wanted: bool) -> None:
    if wanted:
        from ..version import __version__

        typer.echo(f"fastconv {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Train and inspect convolutional neural networks."""
    reporting.debug.set(debug)


def register(name: str) -> None:
    """Add the function `name` of the file `name`.py as a command, or the commands that stand in its place."""
    command = getattr(import_module(f".{name}", __package__), name)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(reporting.reporting(command))


for _name in COMMANDS:
    register(_name)
