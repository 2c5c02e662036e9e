"""Convolution, activation and 2 x 2 pooling as one, forward and backward; what the kernels decline, the parts do."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ...geometry import Conv2dGeometry, Pool2dGeometry
from ...kernels.cpu import conv2d as kernels
from ...kernels.cpu.conv2d.pooled_weight import PERMUTES
from ..checks import require, require_activation, require_float
from ..host import Array, HostMemory, as_channels_last, as_flat, result
from ..launch import lasting, launch, launches, made_of_calls, prepare
from ..workspace import scratch
from .conv2d_pool_plan import (
    backward_plan,
    declines,
    declines_backward,
    declines_depth,
    forward_plan,
    weight_of_largest_plan,
)

_NOTHING = np.empty(0, np.float32)


class CpuConv2dPool(HostMemory):
    """The part of the contract that fuses a convolution with what follows it."""

    @launches
    def conv2d_pool_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, keep: bool = True, flat: bool = False,
        out: tuple[Array, Array | None] | None = None,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        op = "conv2d_pool"
        require_activation(op, activation)
        dtype = require_float(op, x=x, w=w, b=b)
        _require_chain(op, g, pool)
        if dtype != "float32" or declines(g, pool, kind) is not None:
            made_of_calls()
            return super().conv2d_pool_forward(
                x, w, b, g, pool, kind=kind, activation=activation, keep=keep, flat=flat, out=out
            )
        require(op, "x", x, g.x_shape, dtype)
        require(op, "w", w, g.w_shape, dtype)
        if b is None:
            b = lasting("conv2d bias", (g.OC,), dtype)
            prepare(b.fill, 0)
        require(op, "b", b, (g.OC,), dtype)
        y = result(op, out and out[0], flat_shape(pool) if flat else pool.y_shape, dtype)
        kept = result(op, out and out[1], *_kept(pool, kind)) if keep else None
        plan = forward_plan(g, pool, kind, activation, keep, flat)
        packed, start = (
            lasting(f"conv2d pool {name}", (size,), dtype)
            for name, size in (("filters", plan.packed), ("start", plan.start))
        )
        prepare(kernels.conv2d_pool_filters, packed, start, _flat(w), b.reshape(-1), plan.p)
        room = scratch("conv2d pool room", (plan.room,), dtype)
        results = y.reshape(-1) if flat else as_flat(y), _bytes(_NOTHING if kept is None else kept)
        launch(kernels.conv2d_pool_forward, *results, _flat(x), packed, start, room, plan.tile, plan.p)
        return y, kept

    def declines_fusion(self, g: Conv2dGeometry, pool: Pool2dGeometry, kind: str, dtype: Any) -> str | None:
        return "other than float32" if dtype != "float32" else declines(g, pool, kind) or declines_depth(g)

    def declines_rows(self, pool: Pool2dGeometry) -> str | None:
        return "threads share the image" if pool.N == 1 else None

    @launches
    def conv2d_pool_backward(
        self, dy: Array, y: Array, kept: Array, x: Array, w: Array, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, needs_dx: bool = True,
        out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        op = "conv2d_pool_backward"
        require_activation(op, activation)
        dtype = require_float(op, dy=dy, y=y, x=x, w=w)
        _require_chain(op, g, pool)
        if dtype != "float32" or declines_backward(g, pool, kind) is not None:
            made_of_calls()
            return super().conv2d_pool_backward(
                dy, y, kept, x, w, g, pool, kind=kind, activation=activation, needs_dx=needs_dx, out=out
            )
        flat = dy.ndim == 2
        for name, a in (("dy", dy), ("y", y)):
            require(op, name, a, flat_shape(pool) if flat else pool.y_shape, dtype)
        require(op, "kept", kept, *_kept(pool, kind))
        require(op, "x", x, g.x_shape, dtype)
        require(op, "w", w, g.w_shape, dtype)
        dx = result(op, out and out[0], g.x_shape, dtype) if needs_dx else None
        dw = result(op, out and out[1], g.w_shape, dtype)
        db = result(op, out and out[2], (g.OC,), dtype)
        alone = PERMUTES and kind == "max" and not needs_dx
        plan = (
            weight_of_largest_plan(g, pool, activation, flat)
            if alone
            else backward_plan(g, pool, kind, activation, needs_dx, flat)
        )
        sums, packed, room = (
            scratch(f"conv2d pool {name}", (size,), dtype)
            for name, size in (("sums", plan.sums), ("filters", plan.packed), ("room", plan.room))
        )
        given = _flat(dy), _flat(y), _bytes(kept), _flat(x)
        if alone:
            launch(kernels.conv2d_pool_weight_of_largest, as_flat(dw), db, sums, room, *given, plan.forms, plan.p)
        else:
            results = _NOTHING if dx is None else as_flat(dx), as_flat(dw), db
            launch(kernels.conv2d_pool_backward, *results, sums, packed, room, *given, _flat(w), plan.forms, plan.p)
        return dx, dw, db


def _require_chain(op: str, g: Conv2dGeometry, pool: Pool2dGeometry) -> None:
    if pool.x_shape != g.y_shape:
        raise ShapeError(f"{op}: the pooling takes {pool.x_shape}, the convolution gives {g.y_shape}  ({g}; {pool})")


def flat_shape(pool: Pool2dGeometry) -> tuple[int, int]:
    """Of the pooled map as rows."""
    return pool.N, pool.C * pool.OH * pool.OW


def _kept(pool: Pool2dGeometry, kind: str) -> tuple[tuple[int, ...], str]:
    """Shape and type of what forward keeps: the argmax, or the map."""
    return (pool.y_shape, pool.argmax_dtype) if kind == "max" else (pool.x_shape, "float32")


def _bytes(a: Array) -> Array:
    return _flat(a).view(np.uint8)


def _flat(a: Array) -> Array:
    return (as_channels_last(a) if a.ndim == 4 else a).reshape(-1)
