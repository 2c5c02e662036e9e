"""The specification: every operation in plain NumPy, as close to its formula as NumPy allows.

Slow and short on purpose. A convolution is a sum over filter taps, each one strided slice of the padded input times
one slice of the filter; backward walks the same taps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..geometry import Conv2dGeometry, Pool2dGeometry
from .base import Candidate
from .host import (
    Array,
    HostMemory,
    empty,
    require,
    require_activation,
    require_direction,
    require_float,
    require_linear,
    require_product,
    require_rows,
    require_step,
    result,
)

Geometry = Conv2dGeometry | Pool2dGeometry

# NaN and infinity are values like others: NumPy would warn of inf - inf and of 0 * inf.
_silent = np.errstate(invalid="ignore", over="ignore")


class ReferenceBackend(HostMemory):
    """Plain NumPy, float32 and float64."""

    name = "reference"

    # Convolution ------------------------------------------------------------------------------------------------------

    @_silent
    def conv2d_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, *,
        activation: str | None = None, algorithm: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        dtype = require_float("conv2d", x=x, w=w, b=b)
        require("conv2d", "x", x, g.x_shape, dtype)
        require("conv2d", "w", w, g.w_shape, dtype)
        require_activation("conv2d", activation)
        _only_algorithm(algorithm)
        xp = _padded(x, g, 0)
        y = np.zeros((g.N, g.G, g.OC // g.G, g.OH, g.OW), dtype)
        for kh, kw, rows, cols in _taps(g):
            window = xp[:, :, rows, cols].reshape(g.N, g.G, g.C // g.G, g.OH, g.OW)
            filters = w[:, :, kh, kw].reshape(g.G, g.OC // g.G, g.C // g.G)
            y += np.einsum("ngchw,gkc->ngkhw", window, filters, optimize=True)
        y = y.reshape(g.y_shape)
        if b is not None:
            require("conv2d", "b", b, (g.OC,), dtype)
            y = y + b.reshape(1, -1, 1, 1)
        return _store(y if activation is None else self.activation_forward(activation, y), out, g.y_shape, dtype)

    @_silent
    def conv2d_backward_data(
        self, dy: Array, w: Array, g: Conv2dGeometry, *, algorithm: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_float("conv2d_backward_data", dy=dy, w=w)
        require("conv2d_backward_data", "dy", dy, g.y_shape, dtype)
        require("conv2d_backward_data", "w", w, g.w_shape, dtype)
        _only_algorithm(algorithm)
        dxp = _padded_zeros(g, dtype)
        dyg = dy.reshape(g.N, g.G, g.OC // g.G, g.OH, g.OW)
        for kh, kw, rows, cols in _taps(g):
            filters = w[:, :, kh, kw].reshape(g.G, g.OC // g.G, g.C // g.G)
            dxp[:, :, rows, cols] += np.einsum("ngkhw,gkc->ngchw", dyg, filters, optimize=True).reshape(
                g.N, g.C, g.OH, g.OW
            )
        return _store(_unpadded(dxp, g), out, g.x_shape, dtype)

    @_silent
    def conv2d_backward_weight(
        self, dy: Array, x: Array, g: Conv2dGeometry, *,
        algorithm: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        dtype = require_float("conv2d_backward_weight", dy=dy, x=x)
        require("conv2d_backward_weight", "dy", dy, g.y_shape, dtype)
        require("conv2d_backward_weight", "x", x, g.x_shape, dtype)
        _only_algorithm(algorithm)
        xp = _padded(x, g, 0)
        dyg = dy.reshape(g.N, g.G, g.OC // g.G, g.OH, g.OW)
        dw = np.empty(g.w_shape, dtype)
        for kh, kw, rows, cols in _taps(g):
            window = xp[:, :, rows, cols].reshape(g.N, g.G, g.C // g.G, g.OH, g.OW)
            dw[:, :, kh, kw] = np.einsum("ngkhw,ngchw->gkc", dyg, window, optimize=True).reshape(g.OC, g.C // g.G)
        dw_out, db_out = out if out is not None else (None, None)
        return _store(dw, dw_out, g.w_shape, dtype), _store(dy.sum((0, 2, 3)), db_out, (g.OC,), dtype)

    def im2col(self, x: Array, g: Geometry, *, out: Array | None = None) -> Array:
        dtype = require_float("im2col", x=x)
        require("im2col", "x", x, g.x_shape, dtype)
        xp = _padded(x, g, 0)
        cols = np.empty((g.N, g.C, g.KH, g.KW, g.OH, g.OW), dtype)
        for kh, kw, rows, columns in _taps(g):
            cols[:, :, kh, kw] = xp[:, :, rows, columns]
        shape = (g.N * g.OH * g.OW, g.C * g.KH * g.KW)
        return _store(cols.transpose(0, 4, 5, 1, 2, 3).reshape(shape), out, shape, dtype)

    @_silent
    def col2im(self, cols: Array, g: Geometry, *, out: Array | None = None) -> Array:
        dtype = require_float("col2im", cols=cols)
        require("col2im", "cols", cols, (g.N * g.OH * g.OW, g.C * g.KH * g.KW), dtype)
        windows = cols.reshape(g.N, g.OH, g.OW, g.C, g.KH, g.KW).transpose(0, 3, 4, 5, 1, 2)
        xp = _padded_zeros(g, dtype)
        for kh, kw, rows, columns in _taps(g):
            xp[:, :, rows, columns] += windows[:, :, kh, kw]
        return _store(_unpadded(xp, g), out, g.x_shape, dtype)

    def explain(self, g: Conv2dGeometry, direction: str = "forward") -> list[Candidate]:
        require_direction(direction)
        return [Candidate("taps", "one matrix product per filter tap, the specification; takes every geometry")]

    # Pooling --------------------------------------------------------------------------------------------------------

    def max_pool2d_forward(
        self, x: Array, g: Pool2dGeometry, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("max_pool2d", x=x)
        require("max_pool2d", "x", x, g.x_shape, dtype)
        xp = _padded(x, g, -np.inf)
        inside = _padded(np.ones_like(x, bool), g, False)
        y = np.full(g.y_shape, -np.inf, dtype)
        argmax = np.zeros(g.y_shape, g.argmax_dtype)
        found = np.zeros(g.y_shape, bool)
        for kh, kw, rows, cols in _taps(g):
            v = xp[:, :, rows, cols]
            wins = inside[:, :, rows, cols] & (~found | (v > y) | (np.isnan(v) & ~np.isnan(y)))
            y = np.where(wins, v, y)
            argmax[wins] = kh * g.KW + kw
            found |= wins
        y_out, argmax_out = out if out is not None else (None, None)
        return _store(y, y_out, g.y_shape, dtype), _store(argmax, argmax_out, g.y_shape, g.argmax_dtype)

    @_silent
    def max_pool2d_backward(self, dy: Array, argmax: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("max_pool2d_backward", dy=dy)
        require("max_pool2d_backward", "dy", dy, g.y_shape, dtype)
        require("max_pool2d_backward", "argmax", argmax, g.y_shape, g.argmax_dtype)
        dxp = _padded_zeros(g, dtype)
        for kh, kw, rows, cols in _taps(g):
            dxp[:, :, rows, cols] += np.where(argmax == kh * g.KW + kw, dy, 0)
        return _store(_unpadded(dxp, g), out, g.x_shape, dtype)

    @_silent
    def avg_pool2d_forward(self, x: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d", x=x)
        require("avg_pool2d", "x", x, g.x_shape, dtype)
        xp = _padded(x, g, 0)
        y = np.zeros(g.y_shape, dtype)
        for _, _, rows, cols in _taps(g):
            y += xp[:, :, rows, cols]
        return _store(y / _divisors(g, dtype), out, g.y_shape, dtype)

    @_silent
    def avg_pool2d_backward(self, dy: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        dtype = require_float("avg_pool2d_backward", dy=dy)
        require("avg_pool2d_backward", "dy", dy, g.y_shape, dtype)
        dxp = _padded_zeros(g, dtype)
        share = dy / _divisors(g, dtype)
        for _, _, rows, cols in _taps(g):
            dxp[:, :, rows, cols] += share
        return _store(_unpadded(dxp, g), out, g.x_shape, dtype)

    # Matrix product ---------------------------------------------------------------------------------------------------

    @_silent
    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        dtype = require_float("matmul", a=a, b=b)
        shape = require_product(a, b, trans_a, trans_b)
        return _store((a.T if trans_a else a) @ (b.T if trans_b else b), out, shape, dtype)

    @_silent
    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        dtype = require_float("linear", x=x, w=w, b=b)
        require_linear("linear", x, w)
        require_activation("linear", activation)
        y = x @ w.T
        if b is not None:
            require("linear", "b", b, (w.shape[0],), dtype)
            y = y + b
        return _store(y if activation is None else self.activation_forward(activation, y), out, y.shape, dtype)

    @_silent
    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        dtype = require_float("linear_backward", dy=dy, x=x, w=w)
        require_linear("linear_backward", x, w)
        require("linear_backward", "dy", dy, (x.shape[0], w.shape[0]), dtype)
        dx_out, dw_out, db_out = (None, None, None) if out is None else out
        dx = _store(dy @ w, dx_out, x.shape, dtype) if needs_dx else None
        return dx, _store(dy.T @ x, dw_out, w.shape, dtype), _store(dy.sum(0), db_out, w.shape[:1], dtype)

    # Pointwise --------------------------------------------------------------------------------------------------------

    @_silent
    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        dtype = require_float(kind, x=x)
        require_activation("activation", kind)
        if kind == "relu":
            y = np.where(x <= 0, 0, x)
        elif kind == "leaky_relu":
            y = np.where(x < 0, dtype.type(slope) * x, x)
        elif kind == "sigmoid":
            y = 1 / (1 + np.exp(-x))
        else:
            y = np.tanh(x)
        return _store(y, out, x.shape, dtype)

    @_silent
    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        dtype = require_float(kind, dy=dy, y=y)
        require(kind, "dy", dy, y.shape, dtype)
        require_activation("activation", kind)
        if kind == "relu":
            dx = np.where(y <= 0, 0, dy)
        elif kind == "leaky_relu":
            dx = np.where(y < 0, dtype.type(slope) * dy, dy)
        elif kind == "sigmoid":
            dx = dy * y * (1 - y)
        else:
            dx = dy * (1 - y * y)
        return _store(dx, out, y.shape, dtype)

    def dropout(self, x: Array, p: float, seed: int, *, out: Array | None = None) -> Array:
        dtype = require_float("dropout", x=x)
        if not 0 <= p < 1:
            raise ArgumentError(f"dropout: p must be at least 0 and below 1, got {p}")
        in_memory_order = empty(x.shape, dtype)
        in_memory_order[...] = x
        flat = (in_memory_order.transpose(0, 2, 3, 1) if x.ndim == 4 else in_memory_order).reshape(-1)
        flat[...] = np.where(_uniform(seed, flat.size) >= p, flat * dtype.type(1 / (1 - p)), 0)
        return _store(in_memory_order, out, x.shape, dtype)

    # Loss -------------------------------------------------------------------------------------------------------------

    def softmax_cross_entropy_forward(
        self, logits: Array, labels: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        dtype = require_float("softmax_cross_entropy", logits=logits)
        require_rows("softmax_cross_entropy", "logits", logits, labels)
        shifted = logits - logits.max(1, keepdims=True)
        sums = np.exp(shifted).sum(1, keepdims=True)
        log_prob = shifted - np.log(sums)
        loss = -log_prob[np.arange(len(labels)), labels].astype("float64").mean()
        loss_out, prob_out = out if out is not None else (None, None)
        prob = np.exp(shifted) / sums
        return _store(loss, loss_out, (), dtype), _store(prob, prob_out, prob.shape, dtype)

    def softmax_cross_entropy_backward(self, prob: Array, labels: Array, *, out: Array | None = None) -> Array:
        dtype = require_float("softmax_cross_entropy_backward", prob=prob)
        require_rows("softmax_cross_entropy_backward", "prob", prob, labels)
        one_hot = np.eye(prob.shape[1], dtype=dtype)[labels]
        return _store((prob - one_hot) / dtype.type(len(labels)), out, prob.shape, dtype)

    # Update -----------------------------------------------------------------------------------------------------------

    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], velocities: Sequence[Array], *,
        lr: float, momentum: float, nesterov: bool, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("sgd_step", params, grads, *([velocities] if velocities else []))
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            g = g + weight_decay * p
            if velocities:
                v = velocities[i]
                v[...] = momentum * v + g
                g = g + momentum * v if nesterov else v
            p -= lr * g

    def adagrad_step(
        self, params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], *,
        lr: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("adagrad_step", params, grads, sums)
        for p, g, s in zip(params, grads, sums, strict=True):
            g = g + weight_decay * p
            s += g * g
            p -= lr * g / (np.sqrt(s) + eps)

    def rmsprop_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], *,
        lr: float, alpha: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("rmsprop_step", params, grads, means)
        for p, g, m in zip(params, grads, means, strict=True):
            g = g + weight_decay * p
            m[...] = alpha * m + (1 - alpha) * g * g
            p -= lr * g / (np.sqrt(m) + eps)

    def adadelta_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], deltas: Sequence[Array], *,
        lr: float, rho: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        require_step("adadelta_step", params, grads, means, deltas)
        for p, g, m, u in zip(params, grads, means, deltas, strict=True):
            g = g + weight_decay * p
            m[...] = rho * m + (1 - rho) * g * g
            d = g * np.sqrt(u + eps) / np.sqrt(m + eps)
            u[...] = rho * u + (1 - rho) * d * d
            p -= lr * d

    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], squares: Sequence[Array], *,
        lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
    ) -> None:  # fmt: skip
        require_step("adam_step", params, grads, means, squares)
        for p, g, m, v in zip(params, grads, means, squares, strict=True):
            if decoupled:
                p *= 1 - lr * weight_decay
            else:
                g = g + weight_decay * p
            m[...] = beta1 * m + (1 - beta1) * g
            v[...] = beta2 * v + (1 - beta2) * g * g
            p -= lr / (1 - beta1**step) * m / (np.sqrt(v / (1 - beta2**step)) + eps)


def _taps(g: Geometry) -> Iterator[tuple[int, int, slice, slice]]:
    """Each filter position with the rows and columns of the padded input that it meets."""
    for kh in range(g.KH):
        for kw in range(g.KW):
            top, left = kh * g.DH, kw * g.DW
            yield kh, kw, slice(top, top + (g.OH - 1) * g.SH + 1, g.SH), slice(left, left + (g.OW - 1) * g.SW + 1, g.SW)


def _padded_size(g: Geometry) -> tuple[int, int]:
    """Large enough for every window: with ceil_mode the last one may reach beyond the padding."""
    rows = (g.OH - 1) * g.SH + (g.KH - 1) * g.DH + 1
    cols = (g.OW - 1) * g.SW + (g.KW - 1) * g.DW + 1
    return max(g.PH + g.H + g.PB, rows), max(g.PW + g.W + g.PR, cols)


def _padded(x: Array, g: Geometry, value: Any) -> Array:
    rows, cols = _padded_size(g)
    xp = np.full((g.N, g.C, rows, cols), value, x.dtype)
    xp[:, :, g.PH : g.PH + g.H, g.PW : g.PW + g.W] = x
    return xp


def _padded_zeros(g: Geometry, dtype: Any) -> Array:
    return np.zeros((g.N, g.C, *_padded_size(g)), dtype)


def _unpadded(xp: Array, g: Geometry) -> Array:
    return xp[:, :, g.PH : g.PH + g.H, g.PW : g.PW + g.W]


def _divisors(g: Pool2dGeometry, dtype: Any) -> Array:
    """How many taps of each window count, (OH, OW)."""
    rows, cols = _padded_size(g)
    counts = np.zeros((rows, cols), dtype)
    if g.count_include_pad:
        counts[: g.PH + g.H + g.PB, : g.PW + g.W + g.PR] = 1
    else:
        counts[g.PH : g.PH + g.H, g.PW : g.PW + g.W] = 1
    return sum((counts[r, c] for _, _, r, c in _taps(g)), np.zeros((g.OH, g.OW), dtype))


def _uniform(seed: int, n: int) -> Array:
    """n draws from [0, 1): splitmix64 (Steele, Lea & Flood 2014) of the element's place, its upper 24 bits."""
    z = np.uint64(seed % 2**64) + np.arange(1, n + 1, dtype="uint64") * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype("float64") / 2**24


def _store(value: Array, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    out = result("the reference backend", out, shape, dtype)
    out[...] = value
    return out


def _only_algorithm(algorithm: str | None) -> None:
    if algorithm not in (None, "taps"):
        raise ArgumentError(f"the reference backend has one algorithm, 'taps', got {algorithm!r}")
