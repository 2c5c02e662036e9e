"""What convolution and pooling share: a window that slides over a padded map."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ..errors import ArgumentError, ShapeError
from .options import whole_number

AXIS_LIMIT = 2**31
BYTES_LIMIT = 2**63
WIDEST_ITEM = 8


@dataclass(frozen=True, kw_only=True)
class Window2d:
    """What convolution and pooling share: a window of KH x KW taps that slides over a padded H x W map."""

    N: int
    C: int
    H: int
    W: int
    KH: int
    KW: int
    SH: int = 1
    SW: int = 1
    PH: int = 0
    PW: int = 0
    PB: int = 0
    PR: int = 0
    DH: int = 1
    DW: int = 1
    OH: int = field(init=False)
    OW: int = field(init=False)

    op = "window"

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.init and f.type == "int":
                object.__setattr__(self, f.name, whole_number(self.op, f.name, getattr(self, f.name)))
        self._check_positive("N", "C", "H", "W", rule=ShapeError)
        self._check_positive("KH", "KW", rule=ShapeError)
        self._check_positive("SH", "SW", "DH", "DW", rule=ArgumentError)
        for name in ("PH", "PW", "PB", "PR"):
            if getattr(self, name) < 0:
                raise ArgumentError(f"{self.op}: padding must not be negative, {name}={getattr(self, name)}  ({self})")
        for axis in "HW":
            object.__setattr__(self, "O" + axis, self._output_size(axis))
        self._check_limits()

    def _check_positive(self, *names: str, rule: type[ShapeError] | type[ArgumentError]) -> None:
        for name in names:
            if getattr(self, name) < 1:
                hint = " (an empty batch cannot be computed: skip it)" if name == "N" else ""
                raise rule(f"{self.op}: {name} must be at least 1, got {getattr(self, name)}{hint}  ({self})")

    def _padded(self, axis: str) -> int:
        return self.H + self.PH + self.PB if axis == "H" else self.W + self.PW + self.PR

    def _extent(self, axis: str) -> int:
        return (self.KH - 1) * self.DH + 1 if axis == "H" else (self.KW - 1) * self.DW + 1

    def _output_size(self, axis: str) -> int:
        room = self._padded(axis) - self._extent(axis)
        if room < 0:
            raise ShapeError(
                f"{self.op}: the kernel covers {self._extent(axis)} along {axis} but the padded input has "
                f"{self._padded(axis)}; use a smaller kernel or dilation, or more padding  ({self})"
            )
        return room // (self.SH if axis == "H" else self.SW) + 1

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x_shape, "y": self.y_shape}

    def _check_limits(self) -> None:
        for axis in "HW":
            if max(self._padded(axis), self._extent(axis)) >= AXIS_LIMIT:
                raise ShapeError(f"{self.op}: an axis reaches 2^31 along {axis} after padding or dilation  ({self})")
        for name, shape in self._shapes().items():
            size = WIDEST_ITEM
            for n in shape:
                size *= n
            if max(shape) >= AXIS_LIMIT or size >= BYTES_LIMIT:
                raise ShapeError(
                    f"{self.op}: {name} {shape} is too large: an axis or the size in bytes overflows  ({self})"
                )

    @property
    def channels_out(self) -> int:
        """Channels of y."""
        return self.C

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)"""
        return self.N, self.C, self.H, self.W

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """(N, channels out, OH, OW)"""
        return self.N, self.channels_out, self.OH, self.OW

    def require_whole(self) -> None:
        """Raise ShapeError where the stride leaves rows or columns over: (H + PH + PB - KE) / SH is not whole."""
        for axis, stride in (("H", self.SH), ("W", self.SW)):
            left_over = (self._padded(axis) - self._extent(axis)) % stride
            if left_over:
                raise ShapeError(
                    f"{self.op}: strict sizes were asked for, but the stride leaves {left_over} over along {axis}; "
                    f"change the padding, the stride or the input's size  ({self})"
                )

    def _describe_window(self) -> str:
        return (
            f"kernel ({self.KH}, {self.KW}), stride ({self.SH}, {self.SW}), "
            f"padding top {self.PH} bottom {self.PB} left {self.PW} right {self.PR}, dilation ({self.DH}, {self.DW})"
        )

    def _name_tail(self) -> str:
        tail = axis_pair("kh", "kw", self.KH, self.KW)
        if (self.SH, self.SW) != (1, 1):
            tail += axis_pair("sh", "sw", self.SH, self.SW)
        if self.PH or self.PW or self.PB or self.PR:
            tail += axis_pair("ph", "pw", self.PH, self.PW)
            if (self.PB, self.PR) != (self.PH, self.PW):
                tail += f"pb{self.PB}pr{self.PR}"
        if (self.DH, self.DW) != (1, 1):
            tail += axis_pair("dh", "dw", self.DH, self.DW)
        return tail


def axis_pair(height: str, width: str, h: int, w: int) -> str:
    return f"{height}{h}" if h == w else f"{height}{h}{width}{w}"
