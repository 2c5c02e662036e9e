"""The lectures' layers in NumPy, forward and backward, arrays in NCHW order.

The windows become a matrix (im2col), one matrix product does the work, and col2im adds up where windows overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .contestant import Declined


def im2col(x: np.ndarray, g: Any, fill: float = 0.0) -> np.ndarray:
    """x [N, C, H, W] to its windows [N*OH*OW, C*KH*KW]."""
    padded = np.pad(x, ((0, 0), (0, 0), (g.PH, g.PB + g.SH), (g.PW, g.PR + g.SW)), constant_values=fill)
    col = np.empty((g.N, g.C, g.KH, g.KW, g.OH, g.OW), x.dtype)
    for kh in range(g.KH):
        for kw in range(g.KW):
            col[:, :, kh, kw] = padded[:, :, kh : kh + g.SH * g.OH : g.SH, kw : kw + g.SW * g.OW : g.SW]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(g.N * g.OH * g.OW, -1)


def col2im(col: np.ndarray, g: Any) -> np.ndarray:
    """Windows [N*OH*OW, C*KH*KW] added up where they came from, x [N, C, H, W]."""
    col = col.reshape(g.N, g.OH, g.OW, g.C, g.KH, g.KW).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((g.N, g.C, g.H + g.PH + g.PB + g.SH, g.W + g.PW + g.PR + g.SW), col.dtype)
    for kh in range(g.KH):
        for kw in range(g.KW):
            padded[:, :, kh : kh + g.SH * g.OH : g.SH, kw : kw + g.SW * g.OW : g.SW] += col[:, :, kh, kw]
    return padded[:, :, g.PH : g.PH + g.H, g.PW : g.PW + g.W]


class Convolution:
    """col . w.T + b forward; dcol = dout . w, then col2im backward."""

    def __init__(self, g: Any, w: np.ndarray | None, b: np.ndarray | None) -> None:
        self.g, self.w, self.b = g, w, b

    def forward(self, x: np.ndarray) -> np.ndarray:
        g = self.g
        self.col = im2col(x, g)
        y = self.col @ self.w.reshape(g.OC, -1).T + self.b
        return y.reshape(g.N, g.OH, g.OW, g.OC).transpose(0, 3, 1, 2)

    def backward_data(self, dy: np.ndarray) -> np.ndarray:
        return col2im(self._rows(dy) @ self.w.reshape(self.g.OC, -1), self.g)

    def backward_weight(self, dy: np.ndarray) -> list[np.ndarray]:
        rows = self._rows(dy)
        return [(self.col.T @ rows).T.reshape(self.g.w_shape), rows.sum(0)]

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.grads = self.backward_weight(dy)
        return self.backward_data(dy)

    def _rows(self, dy: np.ndarray) -> np.ndarray:
        return dy.transpose(0, 2, 3, 1).reshape(-1, self.g.OC)


class _Pooling:
    def __init__(self, g: Any) -> None:
        self.g = g

    def _windows(self, x: np.ndarray, fill: float) -> np.ndarray:
        return im2col(x, self.g, fill).reshape(-1, self.g.taps)  # [N*OH*OW*C, KH*KW]

    def _maps(self, y: np.ndarray) -> np.ndarray:
        g = self.g
        return y.reshape(g.N, g.OH, g.OW, g.C).transpose(0, 3, 1, 2)


class MaxPooling(_Pooling):
    def forward(self, x: np.ndarray) -> np.ndarray:
        windows = self._windows(x, -np.inf)
        self.arg_max = windows.argmax(1)
        return self._maps(windows.max(1))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        windows = np.zeros((self.arg_max.size, self.g.taps), dy.dtype)
        windows[np.arange(self.arg_max.size), self.arg_max] = dy.transpose(0, 2, 3, 1).ravel()
        return col2im(windows, self.g)


class AveragePooling(_Pooling):
    """Over whole windows: no padding."""

    def __init__(self, g: Any) -> None:
        super().__init__(g)
        if g.PH or g.PW or g.PB or g.PR:
            raise Declined("averages without padding only")

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self._maps(self._windows(x, 0).mean(1))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        share = dy.transpose(0, 2, 3, 1).reshape(-1, 1) / np.float32(self.g.taps)
        return col2im(np.repeat(share, self.g.taps, axis=1), self.g)


class Pointwise:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def forward(self, x: np.ndarray) -> np.ndarray:
        if self.kind == "relu":
            self.y = np.maximum(x, 0)
        else:
            self.y = np.tanh(x) if self.kind == "tanh" else 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        y = self.y
        if self.kind == "relu":
            return dy * (y > 0)
        return dy * (1 - y * y) if self.kind == "tanh" else dy * y * (1 - y)


class Reshape:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy.reshape(self.shape)


class Affine:
    def __init__(self, w: np.ndarray, b: np.ndarray) -> None:
        self.w, self.b = w, b

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.grads = [dy.T @ self.x, dy.sum(0)]
        return dy @ self.w


class Adam:
    def __init__(self, params: list[np.ndarray], lr: float) -> None:
        self.params, self.lr, self.steps = params, lr, 0
        self.m, self.v = ([np.zeros_like(p) for p in params] for _ in range(2))

    def step(self, grads: list[np.ndarray]) -> None:
        self.steps += 1
        rate, correction = self.lr / (1 - 0.9**self.steps), 1 - 0.999**self.steps
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * m / (np.sqrt(v / correction) + 1e-8)


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss and its gradient."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    prob = e / e.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(prob[rows, labels]).mean()
    prob[rows, labels] -= 1
    return loss, prob / np.float32(len(labels))
