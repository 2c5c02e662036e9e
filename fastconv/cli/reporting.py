"""How a command ends that cannot do its work: errors as one red line and exit code 1, Ctrl-C as exit code 130."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import typer

from ..errors import FastconvError

INTERRUPTED = 130  # the shell's number for a program ended by Ctrl-C

debug: ContextVar[bool] = ContextVar("fastconv_debug", default=False)


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, ending so; inside --debug errors pass with their traceback."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except FastconvError as error:
            if debug.get():
                raise
            typer.secho("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), fg="red", err=True)
            raise typer.Exit(1) from None
        except MemoryError as error:
            if debug.get():
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
