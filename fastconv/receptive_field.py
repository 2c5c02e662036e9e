"""How much of the image one unit of a layer sees, followed through the calls of a captured run.

On one axis, unit o of a map reads the pixels first + o jump .. last + o jump of the image. A window of K taps, dilation
D, stride S and padding P on that map gives (Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019)

    first' = first - P jump      last' = last + ((K - 1) D - P) jump      jump' = S jump

Where branches meet, a unit sees what any of them sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .compiler.plan import Call, Value
from .geometry import Conv2dGeometry, Pool2dGeometry


@dataclass(frozen=True)
class Span:
    """Unit o of a map reads the pixels first + o jump .. last + o jump on one axis of the image."""

    first: int = 0
    last: int = 0
    jump: int = 1

    def through(self, taps: int, dilation: int, stride: int, before: int) -> Span:
        """What a window's unit reads, the window sliding over this map with `before` rows of padding."""
        last = (taps - 1) * dilation - before
        return Span(self.first - before * self.jump, self.last + last * self.jump, stride * self.jump)

    @property
    def size(self) -> int:
        """Pixels from the first to the last."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class View:
    """What a unit of a map reads, down and across."""

    down: Span = Span()
    across: Span = Span()

    def through(self, g: Conv2dGeometry | Pool2dGeometry) -> View:
        """What a unit of the map reads that a convolution or pooling makes of this one."""
        return View(self.down.through(g.KH, g.DH, g.SH, g.PH), self.across.through(g.KW, g.DW, g.SW, g.PW))

    @property
    def size(self) -> tuple[int, int]:
        """Its height and width in pixels, those outside the image counted."""
        return self.down.size, self.across.size


Views = dict[Value, View | None]


def views(images: Sequence[Value], calls: Iterable[Call]) -> Views:
    """What a unit of every value reads of the images (N, C, H, W); None where it may be all of them.

    Values that no image leads to are not among them.
    """
    found: Views = {image: View() if len(image.shape) == 4 else None for image in images}
    for call in calls:
        read = [value for value in call.values() if value.owner in found]
        if read:
            after = _after(call, read, [view_of(value, found) for value in read])
            found |= {y: after if len(y.shape) == 4 else None for y in call.outputs if y is not None}
    return found


def view_of(value: Value, found: Views) -> View | None:
    """What a value's unit reads; under another shape than it was made with, its places are not the image's."""
    return found.get(value.owner) if value.shape == value.owner.shape else None


def _after(call: Call, read: Sequence[Value], seen: Sequence[View | None]) -> View | None:
    """What a unit of a call's result reads, from the values that it reads and what their units see."""
    known = [view for view in seen if view is not None]
    if len(known) < len(seen):
        return None
    if call.geometry is not None:
        return known[0].through(call.geometry) if len(known) == 1 else None
    if call.op == "concat" and call.options["axis"] > 1:
        return _moved(known[0], call, read[0]) if len(known) == 1 else None
    y = call.outputs[0]
    if y is None or any(value.shape[2:] != y.shape[2:] for value in read):
        return None
    return _joined(known)


def _moved(view: View, call: Call, value: Value) -> View:
    """The same behind the rows or columns that padding puts before a map."""
    parts, axis = call.inputs[0], call.options["axis"]
    before = sum(part.shape[axis] for part in parts[: parts.index(value)])
    padding = {"taps": 1, "dilation": 1, "stride": 1, "before": before}
    if axis == 2:
        return View(view.down.through(**padding), view.across)
    return View(view.down, view.across.through(**padding))


def _joined(views: Sequence[View]) -> View | None:
    """What units at the same place of several maps read together."""
    if len({(view.down.jump, view.across.jump) for view in views}) > 1:
        return None
    return View(_hull([view.down for view in views]), _hull([view.across for view in views]))


def _hull(spans: Sequence[Span]) -> Span:
    return Span(min(s.first for s in spans), max(s.last for s in spans), spans[0].jump)
