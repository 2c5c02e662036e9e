"""`fastconv demo`: the pictures of the lectures, drawn by the engine; each works without any file of yours."""

from __future__ import annotations

from importlib import import_module

import typer

from ..reporting import reporting

DEMOS = ("filters", "stride", "pooling", "neighbours", "distances", "templates", "augment")

demo = typer.Typer(no_args_is_help=True, help="Draw the pictures that the lectures explain convolution with.")

for _name in DEMOS:
    demo.command(_name)(reporting(getattr(import_module(f".{_name}", __name__), _name)))
