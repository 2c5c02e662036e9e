"""Convolution on the GPU: checks and choice of algorithm; how each is launched stands in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ..algorithms import Algorithm, choose, listed
from ..base import Array, Candidate
from ..checks import require_activation, require_conv2d, require_direction
from .conv2d_columns import COLUMNS
from .conv2d_depthwise import DEPTHWISE
from .conv2d_implicit import IMPLICIT
from .conv2d_pointwise import POINTWISE
from .counting import require_countable_windows, with_small_steps
from .im2col import GpuIm2col
from .linear import GpuLinear

ALGORITHMS = {
    direction: tuple(family[direction] for family in (COLUMNS, DEPTHWISE, POINTWISE, IMPLICIT))
    for direction in ("forward", "backward_data", "backward_weight")
}


class GpuConv2d(GpuLinear, GpuIm2col):
    """The convolution part of the contract."""

    def conv2d_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, *,
        activation: str | None = None, algorithm: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        require_activation("conv2d", activation)
        dtype = require_conv2d("conv2d", g, x=x, w=w, b=b)
        if b is not None:
            b = self._ordered(b)
        y = self._result("conv2d", out, g.y_shape, dtype)
        g = with_small_steps(g)
        run = self._choose(g, "forward", algorithm, dtype)
        run(self, self._channels_last(y), self._ordered(x), self._ordered(w), b, g, activation)
        return y

    def conv2d_backward_data(
        self, dy: Array, w: Array, g: Conv2dGeometry, *, algorithm: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_conv2d("conv2d", g, dy=dy, w=w)
        dx = self._result("conv2d", out, g.x_shape, dtype)
        g = with_small_steps(g)
        run = self._choose(g, "backward_data", algorithm, dtype)
        run(self, self._channels_last(dx), self._ordered(dy), self._ordered(w), g)
        return dx

    def conv2d_backward_weight(
        self, dy: Array, x: Array, g: Conv2dGeometry, *,
        algorithm: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        dtype = require_conv2d("conv2d", g, dy=dy, x=x)
        dw = self._result("conv2d", None if out is None else out[0], g.w_shape, dtype)
        db = self._result("conv2d", None if out is None else out[1], (g.OC,), dtype)
        g = with_small_steps(g)
        run = self._choose(g, "backward_weight", algorithm, dtype)
        run(self, self._channels_last(dw), db, self._ordered(dy), self._ordered(x), g)
        return dw, db

    def explain(self, g: Conv2dGeometry, direction: str = "forward", *, fixed: bool = False) -> list[Candidate]:
        require_direction(direction)
        return listed(self._algorithms(direction, np.dtype("float32")), with_small_steps(g))

    def _choose(self, g: Conv2dGeometry, direction: str, name: str | None, dtype: np.dtype[Any]) -> Callable[..., None]:
        require_countable_windows("conv2d", g)
        return choose(self._algorithms(direction, dtype), g, direction, name).run

    def _algorithms(self, direction: str, dtype: np.dtype[Any]) -> Sequence[Algorithm]:
        """What can compute this pass for arrays of this type, in the order in which it is asked."""
        return ALGORITHMS[direction]
