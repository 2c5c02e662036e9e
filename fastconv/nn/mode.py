"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .module import Module


@contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Inside this block all modules are in evaluation mode; afterwards each one's mode is what it was."""
    before = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
