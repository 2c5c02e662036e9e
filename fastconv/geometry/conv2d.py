"""The geometry of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ArgumentError, ShapeError
from .options import Padding, Size2, frozen, one_number, window_options
from .window import Window2d, axis_pair


@dataclass(frozen=True, kw_only=True)
class Conv2dGeometry(Window2d):
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
            frozen(op, "x's shape", x, x, w), frozen(op, "w's shape", w, x, w), b,
            frozen(op, "stride", stride, x, w), frozen(op, "padding", padding, x, w),
            frozen(op, "dilation", dilation, x, w), frozen(op, "groups", groups, x, w), bool(strict),
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
        return f"mb{self.N}_{groups}ic{self.C}{axis_pair('ih', 'iw', self.H, self.W)}_oc{self.OC}_{self._name_tail()}"

    def __str__(self) -> str:
        channels = self.C // self.G if self.G > 0 else self.C
        return (
            f"x {self.x_shape} NCHW; w {(self.OC, channels, self.KH, self.KW)} OC,C/G,KH,KW; "
            f"{self._describe_window()}, groups={self.G}"
        )


@lru_cache(maxsize=4096)
def _conv2d(
    x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: Any, strict: bool
) -> Conv2dGeometry:
    seen = f"x {x} NCHW; w {w} OC,C/G,KH,KW; groups={groups}"
    if len(x) != 4 or len(w) != 4:
        raise ShapeError(f"conv2d: x and w must have 4 axes, x has {len(x)} and w has {len(w)}  ({seen})")
    groups = one_number("conv2d", "groups", groups, seen)
    if groups < 1:
        raise ArgumentError(f"conv2d: groups must be at least 1, got {groups}  ({seen})")
    if x[1] != w[1] * groups:
        raise ShapeError(f"conv2d: w expects {w[1] * groups} input channels, x has {x[1]}  ({seen})")
    if b is not None and b != (w[0],):
        raise ShapeError(f"conv2d: b must have shape ({w[0]},), one bias per output channel, got {b}  ({seen})")
    options = window_options("conv2d", x, w[2:], stride, padding, dilation, seen)
    g = Conv2dGeometry(N=x[0], C=x[1], H=x[2], W=x[3], OC=w[0], G=groups, **options)
    if strict:
        g.require_whole()
    return g
