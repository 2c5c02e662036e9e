"""How far the kernels' ints count, and geometries whose numbers they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from ...errors import UnsupportedError
from ...geometry import Conv2dGeometry, Pool2dGeometry

Geometry = TypeVar("Geometry", Conv2dGeometry, Pool2dGeometry)

MOST = 2**30  # rows, columns, terms: what the kernels' counters hold with room for steps beyond the end


def require_countable(op: str, counts: Iterable[int], seen: object) -> None:
    """Raise UnsupportedError where a kernel cannot count that far."""
    if max(counts) > MOST:
        raise UnsupportedError(
            f"{op}: the GPU counts up to {MOST} rows, columns or pixels; use smaller batches  ({seen})"
        )


def require_countable_windows(op: str, g: Conv2dGeometry | Pool2dGeometry) -> None:
    """The same for the images, windows, filters and padded maps of `g`."""
    terms = g.KH * g.KW * max(g.C, getattr(g, "OC", 0))
    require_countable(op, (g.N * g.H * g.W, g.N * g.OH * g.OW, terms, _rows(g), _columns(g)), g)


@lru_cache(maxsize=4096)
def with_small_steps(g: Geometry) -> Geometry:
    """`g` without strides and dilations beyond its padded map.

    Only an axis with one window, or with one tap, may have them, and there no pixel is met through them.
    """
    steps: dict[str, Any] = {
        "SH": min(g.SH, _rows(g)), "SW": min(g.SW, _columns(g)),
        "DH": g.DH if g.KH > 1 else 1, "DW": g.DW if g.KW > 1 else 1,
    }  # fmt: skip
    return g if all(getattr(g, name) == step for name, step in steps.items()) else replace(g, **steps)


def _rows(g: Conv2dGeometry | Pool2dGeometry) -> int:
    return g.H + g.PH + g.PB


def _columns(g: Conv2dGeometry | Pool2dGeometry) -> int:
    return g.W + g.PW + g.PR
