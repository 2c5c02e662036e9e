"""The check on every count that a user hands to this package."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import ArgumentError


def whole_number(op: str, name: str, value: Any, least: int) -> int:
    """`value` as an int; raises ArgumentError unless it is a whole number from `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{op}: {name} must be a whole number, got {value!r}") from None
    if number < least:
        raise ArgumentError(f"{op}: {name} must be at least {least}, got {number}")
    return number
