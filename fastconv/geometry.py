"""The shape of a convolution or pooling problem: the only home of output sizes and of every check on them.

Notation, unchanged in Python, Numba, CUDA, tests and benchmarks:

    N batch · C channels in · H W height and width in · OC channels out · OH OW height and width out
    KH KW kernel · SH SW stride · DH DW dilation · G groups
    PH PW padding above and left of the input · PB PR padding below and right of it

Output size on one axis (Dumoulin & Visin, arXiv 1603.07285, relationship 15), with KE = (K - 1) * D + 1:

    OH = floor((H + PH + PB - KE) / SH) + 1

Padding is an int, (height, width), (top, bottom, left, right), 'valid' (none) or 'same': OH = ceil(H / SH), with
the zeros spread as equally as possible and the odd one below and right, as TensorFlow does it for every stride.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal, SupportsIndex

from .errors import ArgumentError, ShapeError

Size2 = SupportsIndex | Sequence[int]
Padding = SupportsIndex | Sequence[int] | Literal["same", "valid"]

AXIS_LIMIT = 2**31
BYTES_LIMIT = 2**63
WIDEST_ITEM = 8


@dataclass(frozen=True, kw_only=True)
class _Window2d:
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
        tail = _axis_pair("kh", "kw", self.KH, self.KW)
        if (self.SH, self.SW) != (1, 1):
            tail += _axis_pair("sh", "sw", self.SH, self.SW)
        if self.PH or self.PW or self.PB or self.PR:
            tail += _axis_pair("ph", "pw", self.PH, self.PW)
            if (self.PB, self.PR) != (self.PH, self.PW):
                tail += f"pb{self.PB}pr{self.PR}"
        if (self.DH, self.DW) != (1, 1):
            tail += _axis_pair("dh", "dw", self.DH, self.DW)
        return tail


@dataclass(frozen=True, kw_only=True)
class Conv2dGeometry(_Window2d):
    """One convolution: x (N, C, H, W), w (OC, C/G, KH, KW), y (N, OC, OH, OW).

    Frozen and hashable: the key of plan and tuning caches. `str(g)` names all sizes, `g.name` is the row name in
    the benchmarks.

    Raises:
        ShapeError: sizes that do not fit together or overflow.
        ArgumentError: stride, padding, dilation or groups out of range.
    """

    OC: int
    G: int = 1

    op = "conv2d"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("OC", rule=ShapeError)
        self._check_positive("G", rule=ArgumentError)
        if self.C % self.G or self.OC % self.G:
            raise ShapeError(
                f"conv2d: groups={self.G} must divide both the {self.C} input and {self.OC} output channels  ({self})"
            )

    @staticmethod
    def from_shapes(
        x_shape: Sequence[int],
        w_shape: Sequence[int],
        b_shape: Sequence[int] | None = None,
        *,
        stride: Size2 = 1,
        padding: Padding = 0,
        dilation: Size2 = 1,
        groups: int = 1,
        strict: bool = False,
    ) -> Conv2dGeometry:
        """The geometry of `w` (OC, C/G, KH, KW) sliding over `x` (N, C, H, W), every rule checked.

        strict: refuse sizes at which the stride leaves rows or columns over.
        """
        op, x, w, b = "conv2d", tuple(x_shape), tuple(w_shape), None if b_shape is None else tuple(b_shape)
        return _conv2d(
            _frozen(op, "x's shape", x, x, w), _frozen(op, "w's shape", w, x, w), b,
            _frozen(op, "stride", stride, x, w), _frozen(op, "padding", padding, x, w),
            _frozen(op, "dilation", dilation, x, w), _frozen(op, "groups", groups, x, w), bool(strict),
        )  # fmt: skip

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x_shape, "w": self.w_shape, "y": self.y_shape}

    @property
    def channels_out(self) -> int:
        return self.OC

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """(OC, C/G, KH, KW)"""
        return self.OC, self.C // max(self.G, 1), self.KH, self.KW

    @property
    def multiplications(self) -> int:
        """Multiplications of one forward pass; backward-data and backward-weight cost as many each."""
        return self.N * self.OH * self.OW * self.OC * (self.C // self.G) * self.KH * self.KW

    @property
    def flops(self) -> int:
        """Floating-point operations of one pass, an addition and a multiplication counted apart."""
        return 2 * self.multiplications

    def bytes(self, itemsize: int = 4) -> int:
        """Bytes of x, w and y: what one pass has to move at least."""
        return itemsize * sum(a * b * c * d for a, b, c, d in (self.x_shape, self.w_shape, self.y_shape))

    @property
    def name(self) -> str:
        """Row name in benchmarks and plans, e.g. mb100_ic1ih28_oc30_kh5."""
        groups = f"g{self.G}" if self.G > 1 else ""
        return f"mb{self.N}_{groups}ic{self.C}{_axis_pair('ih', 'iw', self.H, self.W)}_oc{self.OC}_{self._name_tail()}"

    def __str__(self) -> str:
        channels = self.C // self.G if self.G > 0 else self.C
        return (
            f"x {self.x_shape} NCHW; w {(self.OC, channels, self.KH, self.KW)} OC,C/G,KH,KW; "
            f"{self._describe_window()}, groups={self.G}"
        )


@dataclass(frozen=True, kw_only=True)
class Pool2dGeometry(_Window2d):
    """One pooling: x (N, C, H, W) to y (N, C, OH, OW).

    ceil_mode: round the output size up; a window that would start beyond the input and its left padding is dropped.
    count_include_pad: an average divides by all taps inside the padded input, else only by those inside the input.
    Every window holds at least one element of the input, so that a maximum always exists.
    """

    ceil_mode: bool = False
    count_include_pad: bool = True

    op = "pool2d"

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis, before in (("H", self.PH), ("W", self.PW)):
            self._check_windows_touch_input(axis, before)

    @staticmethod
    def from_shape(
        x_shape: Sequence[int],
        kernel: Size2,
        *,
        stride: Size2 | None = None,
        padding: Padding = 0,
        dilation: Size2 = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        strict: bool = False,
    ) -> Pool2dGeometry:
        """The geometry of a window over `x` (N, C, H, W); the stride defaults to the kernel's size."""
        op, x, stride = "pool2d", tuple(x_shape), kernel if stride is None else stride
        return _pool2d(
            _frozen(op, "x's shape", x, x), _frozen(op, "kernel", kernel, x), _frozen(op, "stride", stride, x),
            _frozen(op, "padding", padding, x), _frozen(op, "dilation", dilation, x),
            bool(ceil_mode), bool(count_include_pad), bool(strict),
        )  # fmt: skip

    def _output_size(self, axis: str) -> int:
        size = super()._output_size(axis)
        stride, before, n = (self.SH, self.PH, self.H) if axis == "H" else (self.SW, self.PW, self.W)
        if self.ceil_mode:
            size = -(-(self._padded(axis) - self._extent(axis)) // stride) + 1
            if (size - 1) * stride >= n + before:
                size -= 1
        return size

    def _check_windows_touch_input(self, axis: str, before: int) -> None:
        n, stride, dilation, out = (
            (self.H, self.SH, self.DH, self.OH) if axis == "H" else (self.W, self.SW, self.DW, self.OW)
        )
        last = (out - 1) * stride - before
        edges_touch = before < self._extent(axis) and last < n
        if edges_touch and n < dilation:
            # Such gaps can step over the whole input: the first tap at or after row 0 must come before row n.
            left_of_input = min(out, -(-before // stride))
            edges_touch = all((o * stride - before) % dilation < n for o in range(left_of_input))
        if not edges_touch:
            raise ArgumentError(
                f"pool2d: a window along {axis} would lie in the padding only, where there is nothing to pool; "
                f"use less padding or a larger kernel  ({self})"
            )

    @property
    def taps(self) -> int:
        """Elements of a window, KH * KW."""
        return self.KH * self.KW

    @property
    def argmax_dtype(self) -> str:
        """The type that holds a position kh * KW + kw inside the window: one byte where it fits, else int32."""
        return "uint8" if self.taps <= 256 else "int32"

    def bytes(self, itemsize: int = 4) -> int:
        """Bytes of x and y."""
        return itemsize * self.N * self.C * (self.H * self.W + self.OH * self.OW)

    @property
    def name(self) -> str:
        """Row name in benchmarks and plans, e.g. mb100_ic30ih24_kh2sh2."""
        return f"mb{self.N}_ic{self.C}{_axis_pair('ih', 'iw', self.H, self.W)}_{self._name_tail()}"

    def __str__(self) -> str:
        return f"x {self.x_shape} NCHW; {self._describe_window()}, ceil_mode={self.ceil_mode}"


@lru_cache(maxsize=4096)
def _conv2d(
    x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: Any, strict: bool
) -> Conv2dGeometry:
    seen = f"x {x} NCHW; w {w} OC,C/G,KH,KW; groups={groups}"
    if len(x) != 4 or len(w) != 4:
        raise ShapeError(f"conv2d: x and w must have 4 axes, x has {len(x)} and w has {len(w)}  ({seen})")
    groups = _one("conv2d", "groups", groups, seen)
    if groups < 1:
        raise ArgumentError(f"conv2d: groups must be at least 1, got {groups}  ({seen})")
    if x[1] != w[1] * groups:
        raise ShapeError(f"conv2d: w expects {w[1] * groups} input channels, x has {x[1]}  ({seen})")
    if b is not None and b != (w[0],):
        raise ShapeError(f"conv2d: b must have shape ({w[0]},), one bias per output channel, got {b}  ({seen})")
    options = _window_options("conv2d", x, w[2:], stride, padding, dilation, seen)
    g = Conv2dGeometry(N=x[0], C=x[1], H=x[2], W=x[3], OC=w[0], G=groups, **options)
    if strict:
        g.require_whole()
    return g


@lru_cache(maxsize=4096)
def _pool2d(
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    strict: bool,
) -> Pool2dGeometry:
    seen = f"x {x} NCHW; kernel {kernel}"
    if len(x) != 4:
        raise ShapeError(f"pool2d: x must have 4 axes, it has {len(x)}  ({seen})")
    options = _window_options("pool2d", x, _pair("pool2d", "kernel", kernel, seen), stride, padding, dilation, seen)
    g = Pool2dGeometry(
        N=x[0], C=x[1], H=x[2], W=x[3], ceil_mode=ceil_mode, count_include_pad=count_include_pad, **options
    )
    if strict:
        g.require_whole()
    return g


def _window_options(
    op: str, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, seen: str
) -> dict[str, int]:
    if isinstance(stride, tuple) and len(stride) == 4:  # tf.nn.conv2d: (batch, height, width, channel)
        if stride[0] != 1 or stride[3] != 1:
            raise ArgumentError(f"{op}: strides over batch and channels must be 1, got {stride}  ({seen})")
        stride = stride[1:3]
    SH, SW = _pair(op, "stride", stride, seen)
    DH, DW = _pair(op, "dilation", dilation, seen)
    KH, KW = kernel
    if min(KH, KW) < 1:
        raise ShapeError(f"{op}: the kernel must be at least 1 x 1, got {(KH, KW)}  ({seen})")
    if min(SH, SW, DH, DW) < 1:
        raise ArgumentError(f"{op}: stride and dilation must be at least 1, got {(SH, SW)} and {(DH, DW)}  ({seen})")
    PH, PB, PW, PR = _sides(op, padding, x[2:], ((KH - 1) * DH + 1, (KW - 1) * DW + 1), (SH, SW), seen)
    return {"KH": KH, "KW": KW, "SH": SH, "SW": SW, "PH": PH, "PB": PB, "PW": PW, "PR": PR, "DH": DH, "DW": DW}


def _sides(op: str, padding: Any, sizes: Any, extents: Any, strides: Any, seen: str) -> tuple[int, int, int, int]:
    """Padding in any spelling as (top, bottom, left, right)."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        sides: list[int] = []
        for n, extent, stride in zip(sizes, extents, strides, strict=True):
            total = max((-(-n // stride) - 1) * stride + extent - n, 0)
            sides += [total // 2, total - total // 2]
        return sides[0], sides[1], sides[2], sides[3]
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding
    if isinstance(padding, str):
        raise ArgumentError(f"{op}: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}  ({seen})")
    ph, pw = _pair(op, "padding", padding, seen)
    return ph, ph, pw, pw


def pair(op: str, what: str, value: Any) -> tuple[int, int]:
    """One number for both axes, or (height, width), as plain ints; raises ArgumentError for anything else."""
    return _pair(op, what, _frozen(op, what, value), f"{what}={value!r}")


def _pair(op: str, what: str, value: Any, seen: str) -> tuple[int, int]:
    """One number for both axes, or (height, width)."""
    if isinstance(value, tuple) and len(value) == 2:
        return value
    n = _one(op, what, value, seen, " or (height, width)")
    return n, n


def _one(op: str, what: str, value: Any, seen: str, otherwise: str = "") -> int:
    if isinstance(value, int):
        return value
    raise ArgumentError(f"{op}: {what} must be one number{otherwise}, got {value!r}  ({seen})")


def _frozen(op: str, what: str, value: Any, *shapes: tuple[int, ...]) -> Any:
    """`value` in plain ints: a number, a tuple of numbers, or a string as it is.

    Before the cache, where 1, 1.0 and True would all find the same entry.
    """
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, Sequence):
            return tuple(map(operator.index, value))
        return operator.index(value)
    except TypeError:
        seen = ", ".join(f"{name} {shape}" for name, shape in zip("xw", shapes, strict=False))
        raise ArgumentError(f"{op}: {what} must be made of whole numbers, got {value!r}  ({seen})") from None


def whole_number(op: str, what: str, value: Any) -> int:
    """`value` as a plain int; raises ArgumentError where it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f"{op}: {what} must be a whole number, got {value!r}") from None


def _axis_pair(height: str, width: str, h: int, w: int) -> str:
    return f"{height}{h}" if h == w else f"{height}{h}{width}{w}"
