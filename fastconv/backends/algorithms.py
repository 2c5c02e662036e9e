"""Choosing how to compute: an ordered list of algorithms, each of which can decline a problem and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import ArgumentError, UnsupportedError
from ..geometry import Conv2dGeometry
from .base import Candidate


def accepts_all(g: Conv2dGeometry) -> str | None:
    """Declines nothing: what the last of a list does."""
    return None


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a pass: `declines` gives the reason why it cannot serve a problem, or None.

    on_request: why it is never chosen by itself; None for the ordinary ones. doubts: why it is not chosen by itself for
    a problem that it could serve, or None. rounds: whole numbers do not give the exact result either.
    """

    name: str
    reason: str
    declines: Callable[[Conv2dGeometry], str | None]
    run: Callable[..., None]
    on_request: str | None = None
    doubts: Callable[[Conv2dGeometry], str | None] = accepts_all
    rounds: bool = False

    def waits(self, g: Conv2dGeometry) -> str | None:
        """Why it does not run by itself, or None."""
        return self.declines(g) or self.on_request or self.doubts(g)


def declines_groups(g: Conv2dGeometry) -> str | None:
    """Why an algorithm of one matrix does not serve grouped convolution."""
    return None if g.G == 1 else "groups: each would need a matrix of its own"


def listed(algorithms: Iterable[Algorithm], g: Conv2dGeometry) -> list[Candidate]:
    """What `explain` returns: each algorithm with its reason, and why it does not run by itself."""
    return [Candidate(a.name, a.reason, a.waits(g), a.rounds) for a in algorithms]


def choose(algorithms: Iterable[Algorithm], g: Conv2dGeometry, direction: str, name: str | None) -> Algorithm:
    """The first that neither declines nor waits for a request, or the one called `name`.

    Raises:
        UnsupportedError: the one called `name` declines.
        ArgumentError: none has that name.
    """
    algorithms = tuple(algorithms)
    for a in algorithms:
        if name is None and a.waits(g) is None:
            return a
        if a.name == name:
            reason = a.declines(g)
            if reason is not None:
                raise UnsupportedError(f"conv2d: {name!r} declines this {direction} problem: {reason}  ({g})")
            return a
    names = ", ".join(a.name for a in algorithms)
    raise ArgumentError(f"conv2d: algorithm must be one of {names}, got {name!r}")
