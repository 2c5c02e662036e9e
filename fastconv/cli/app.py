"""The commands under one roof, and what all of them have: --version, --debug and errors in one line."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Annotated, Any

import typer

from ..errors import FastconvError

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "summary",
    "plan",
    "filters",
    "activations",
    "bench",
    "tune",
    "warmup",
    "info",
)
INTERRUPTED = 130  # the shell's number for a program ended by Ctrl-C

_debug: ContextVar[bool] = ContextVar("fastconv_debug", default=False)

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
    _debug.set(debug)


def register(name: str) -> None:
    """Add the function `name` of the file `name`.py as a command."""
    command = getattr(import_module(f".{name}", __package__), name)
    app.command(name)(_reporting(command))


def _reporting(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with errors as one red line and exit code 1, and Ctrl-C as exit code 130."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except FastconvError as error:
            if _debug.get():
                raise
            typer.secho("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), fg="red", err=True)
            raise typer.Exit(1) from None
        except MemoryError as error:
            if _debug.get():
                raise
            typer.secho(f"error: not enough memory: {error}".rstrip(": "), fg="red", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            # A TrainingInterrupted; its class is not imported here, because NumPy would come with it.
            where, saved = getattr(stop, "where", ""), getattr(stop, "saved", None)
            typer.secho(f"stopped {where}".rstrip(), fg="yellow", err=True)
            if saved is not None:
                typer.echo(f"saved in {saved}; to go on: {_again()}", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return run


def _again() -> str:
    """The command that was given, with --resume."""
    given = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["fastconv", *given, "--resume"])


for _name in COMMANDS:
    register(_name)
