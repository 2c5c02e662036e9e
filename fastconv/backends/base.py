"""The contract between the engine and a device: the same functions with the same effects on every backend.

Shapes are logical, [N, C, H, W] for activations and [OC, C/G, KH, KW] for filters; in memory 4-D arrays lie
channels-last ([N, H, W, C] and [OC, KH, KW, C/G] contiguous, seen through permuted strides). Every function accepts
any strides, and every 4-D array it returns lies channels-last.

A backend allocates the result unless `out` is given, always overwrites, and never changes an input (`*_step` change
parameters and state in place: that is their job). Only `to_numpy` and `synchronize` may wait for the device. Results
do not depend on the number of threads, bit for bit. Arrays are float32 or float64, all of one type in a call; labels
are int64 and argmax is `g.argmax_dtype`, a position kh * KW + kw inside the window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from ..geometry import Conv2dGeometry, LocalResponse, Pool2dGeometry

Array = Any  # numpy.ndarray on the CPU, cupy.ndarray on the GPU

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")


@dataclass(frozen=True)
class Candidate:
    """One algorithm for a problem. `declined` holds the reason it does not run by itself, or None where it can.

    rounds: whole numbers do not give the exact result either, as they do in all others.
    """

    name: str
    reason: str
    declined: str | None = None
    rounds: bool = False


@dataclass(frozen=True)
class Run:
    """A part of a step that is run again and again, as `Backend.repeat` takes it.

    kind: "fixed" calls of the backend; "live" ones, which get other numbers (a learning rate, a seed) each time;
    "arrays", functions of the array module.
    """

    call: Callable[[], Any]
    kind: str = "fixed"


class Backend(ABC):
    """One device. Signatures and meaning only; the arithmetic lives in the subclasses and their kernels."""

    name: str

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self  # a copied network computes on the same device

    def __reduce__(self) -> tuple[Any, ...]:
        from .select import get  # which knows every backend, this one too

        return get, (self.name,)  # so does one from a pickle

    # Device ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def asarray(self, a: Any, dtype: Any = None) -> Array:
        """`a` on this device; 4-D arrays are laid out channels-last. Shares memory where nothing has to change."""

    @abstractmethod
    def to_numpy(self, a: Array) -> Any:
        """`a` as a NumPy array, after everything that computes it has finished."""

    @abstractmethod
    def empty(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        """Uninitialised; 4-D arrays are laid out channels-last."""

    @abstractmethod
    def zeros(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        """All zero; 4-D arrays are laid out channels-last."""

    @abstractmethod
    def reshape(self, a: Array, shape: Sequence[int], *, out: Array | None = None) -> Array:
        """The elements of `a`, in the order of its logical indices, under another shape of as many elements.

        Shares memory where the order in memory allows and no `out` is given.
        """

    def concat(self, arrays: Sequence[Array], axis: int, *, out: Array | None = None) -> Array:
        """The arrays side by side along `axis`; all their other sizes agree."""
        shape = list(arrays[0].shape)
        shape[axis] = sum(a.shape[axis] for a in arrays)
        y = self.empty(shape, arrays[0].dtype) if out is None else out
        for part, a in zip(along(y, axis, [a.shape[axis] for a in arrays]), arrays, strict=True):
            part[...] = a
        return y

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything launched so far has finished."""

    def bind(
        self, op: str, inputs: Sequence[Any], options: Mapping[str, Any], blocks: dict[str, Any],
        once: list[Callable[[], Any]] | None = None,
    ) -> list[Callable[[], Any]]:  # fmt: skip
        """The call `op` on these very arrays (`out` among the options) as functions to be made in turn, any number of
        times. A backend does here, once, what does not depend on the arrays' contents.

        blocks: scratch memory by name, shared with the calls that were bound with the same `blocks`: they must not run
        at the same time. once: where all arrays but the first keep their values, a list to which functions may be added
        instead: to be made before the others' first run, and again when the values did change.
        """
        return [partial(getattr(self, op), *inputs, **options)]

    def repeat(self, runs: Sequence[Run]) -> Callable[[], None]:
        """All of these, in turn, as one function to be called any number of times. Their arrays stay where they are."""
        calls = [run.call for run in runs]

        def run_all() -> None:
            for call in calls:
                call()

        return run_all

    def declines_precision(self, precision: str) -> str | None:
        """Why convolutions and matrix products cannot compute in `precision` here (see precision.py), or None."""
        return None if precision == "float32" else "it computes in float32 only; tensor cores are a GPU's"

    # Convolution (cross-correlation: the filter is not flipped) -------------------------------------------------------

    @abstractmethod
    def conv2d_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, *,
        activation: str | None = None, algorithm: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        """y[n,k,oh,ow] = act(b[k] + sum_{c,kh,kw} x[n, c, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW] * w[k,c,kh,kw])"""

    @abstractmethod
    def conv2d_backward_data(
        self, dy: Array, w: Array, g: Conv2dGeometry, *, algorithm: str | None = None, out: Array | None = None
    ) -> Array:
        """dx (N, C, H, W) from dy (N, OC, OH, OW)."""

    @abstractmethod
    def conv2d_backward_weight(
        self, dy: Array, x: Array, g: Conv2dGeometry, *,
        algorithm: str | None = None, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """dw (OC, C/G, KH, KW) and db (OC,) from dy and x."""

    @abstractmethod
    def im2col(self, x: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        """The windows of x as rows, (N*OH*OW, C*KH*KW), columns ordered c, kh, kw: the lectures' im2col."""

    @abstractmethod
    def col2im(self, cols: Array, g: Conv2dGeometry | Pool2dGeometry, *, out: Array | None = None) -> Array:
        """The adjoint of im2col: each column added to the pixel it came from; (N, C, H, W)."""

    @abstractmethod
    def explain(self, g: Conv2dGeometry, direction: str = "forward", *, fixed: bool = False) -> list[Candidate]:
        """The algorithms for `g` in the order they are asked, with reasons; `direction` is 'forward',
        'backward_data' or 'backward_weight'. The first that does not decline runs.

        fixed: where the filters keep their values, as in a frozen inference.
        """

    # A convolution, its activation and its pooling as one. What stands here is the eager twin; a backend with a kernel
    # that never stores the map in between puts its own in this place.

    def conv2d_pool_forward(
        self, x: Array, w: Array, b: Array | None, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, keep: bool = True, flat: bool = False,
        out: tuple[Array, Array | None] | None = None,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """y = pool(act(conv2d(x, w, b))) and what its backward needs: None where `keep` says that there is none.

        kind 'max' keeps the argmax (N, OC, OH, OW of the pooling), kind 'avg' the activated map before pooling.
        flat: y as the rows (N, OC*OH*OW) that `reshape` makes of the map.
        """
        y_out, kept = (None, None) if out is None else out
        if flat:
            parts = None if out is None else (self.empty(pool.y_shape, x.dtype), kept)
            y, kept = self.conv2d_pool_forward(x, w, b, g, pool, kind=kind, activation=activation, keep=keep, out=parts)
            return self.reshape(y, (pool.N, -1) if y_out is None else y_out.shape, out=y_out), kept
        if kind == "max":
            a = self.conv2d_forward(x, w, b, g, activation=activation)
            if y_out is not None and kept is None:
                kept = self.empty(pool.y_shape, pool.argmax_dtype)
            y, kept = self.max_pool2d_forward(a, pool, out=None if y_out is None else (y_out, kept))
        else:
            kept = self.conv2d_forward(x, w, b, g, activation=activation, out=kept)
            y = self.avg_pool2d_forward(kept, pool, out=y_out)
        return y, kept if keep else None

    def declines_rows(self, pool: Pool2dGeometry) -> str | None:
        """Why rows from `conv2d_pool_forward`, and to its backward, cost more than `reshape` beside them, or None."""
        return "the calls that it stands for reshape all the same"

    def declines_fusion(self, g: Conv2dGeometry, pool: Pool2dGeometry, kind: str, dtype: Any) -> str | None:
        """Why the parts serve a plan better than `conv2d_pool_forward` and its backward, or None."""
        return None

    def conv2d_pool_backward(
        self, dy: Array, y: Array, kept: Array, x: Array, w: Array, g: Conv2dGeometry, pool: Pool2dGeometry, *,
        kind: str, activation: str | None = None, needs_dx: bool = True,
        out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        """dx or None, dw and db from dy of the pooled map; y and `kept` as conv2d_pool_forward returned them.

        Where y is flat, dy is too.
        """
        if dy.ndim == 2:
            dy, y = self.reshape(dy, pool.y_shape), self.reshape(y, pool.y_shape)
        if kind == "max":
            da = dy if activation is None else self.activation_backward(activation, dy, y)
            da = self.max_pool2d_backward(da, kept, pool)
        else:
            da = self.avg_pool2d_backward(dy, pool)
            da = da if activation is None else self.activation_backward(activation, da, kept)
        dx_out, *weight_out = (None, None, None) if out is None else out
        dx = self.conv2d_backward_data(da, w, g, out=dx_out) if needs_dx else None
        dw, db = self.conv2d_backward_weight(da, x, g, out=None if out is None else (weight_out[0], weight_out[1]))
        return dx, dw, db

    # Pooling --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def max_pool2d_forward(
        self, x: Array, g: Pool2dGeometry, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """y and argmax (N, C, OH, OW). Padding never wins; the first of equal values wins; a NaN wins over all."""

    @abstractmethod
    def max_pool2d_backward(self, dy: Array, argmax: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        """dx: each dy added where its maximum stood, windows in the order of oh, ow."""

    @abstractmethod
    def avg_pool2d_forward(self, x: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        """The sum of each window over its number of taps (see Pool2dGeometry.count_include_pad)."""

    @abstractmethod
    def avg_pool2d_backward(self, dy: Array, g: Pool2dGeometry, *, out: Array | None = None) -> Array:
        """dx: each dy spread over its window."""

    @abstractmethod
    def k_max_forward(
        self, x: Array, k: int, axis: int, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """The k largest along `axis` in their order, and their places there, int32; the first of equal values are
        taken, a NaN is larger than every number."""

    @abstractmethod
    def k_max_backward(self, dy: Array, places: Array, size: int, axis: int, *, out: Array | None = None) -> Array:
        """dx, `size` long along `axis`: each dy where its value stood, 0 elsewhere."""

    # Matrix product ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def matmul(
        self, a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False, out: Array | None = None
    ) -> Array:
        """a (M, K) times b (K, N), each transposed first where asked."""

    @abstractmethod
    def linear_forward(
        self, x: Array, w: Array, b: Array | None, *, activation: str | None = None, out: Array | None = None
    ) -> Array:
        """y = act(x w^T + b) with x (N, IN), w (OUT, IN), b (OUT,)."""

    @abstractmethod
    def linear_backward(
        self, dy: Array, x: Array, w: Array, *,
        needs_dx: bool = True, out: tuple[Array | None, Array, Array] | None = None,
    ) -> tuple[Array | None, Array, Array]:  # fmt: skip
        """dx (N, IN) or None, dw (OUT, IN), db (OUT,) from dy (N, OUT)."""

    # Pointwise --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def activation_forward(self, kind: str, x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
        """One of ACTIVATIONS; `slope` is leaky_relu's for x < 0. NaN stays NaN."""

    @abstractmethod
    def activation_backward(
        self, kind: str, dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None
    ) -> Array:
        """dx from dy and the activation's own output y."""

    @abstractmethod
    def dropout(self, x: Array, p: float, seed: int, *, out: Array | None = None) -> Array:
        """x / (1 - p) where the counter-based generator of kernels/cpu/pointwise.py keeps it, else 0.

        The draw for an element depends on the seed and its place in memory only; the same call on dy is the backward.
        """

    # Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167) ---------------------------------------------------------
    #
    # Of every channel of x (N, C) or (N, C, H, W) over the other axes; M is how many elements that is. mean, var, gamma
    # and beta are (C,); a gamma of None counts as ones, a beta of None as zeros. std is sqrt(var + eps).

    @abstractmethod
    def batch_norm_statistics(
        self, x: Array, running_mean: Array | None, running_var: Array | None, *,
        momentum: float, out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """mean = sum x / M and var = sum (x - mean)^2 / M, of M > 1 elements.

        What is there of the running statistics moves in place: r = (1 - momentum) r + momentum s, where s is the mean,
        and var M / (M - 1).
        """

    @abstractmethod
    def batch_norm_forward(
        self, x: Array, mean: Array, var: Array, gamma: Array | None, beta: Array | None, *,
        eps: float, activation: str | None = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        """y = act(gamma (x - mean) / std + beta)"""

    @abstractmethod
    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, var: Array, gamma: Array | None, *,
        eps: float, batch_statistics: bool, out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """dx, dgamma = sum dy xhat and dbeta = sum dy, where xhat = (x - mean) / std.

        batch_statistics: mean and var are those of x itself, dx = gamma / std (dy - (dbeta + xhat dgamma) / M); else
        they are constants, dx = gamma / std dy.
        """

    # Local response normalisation (Krizhevsky, Sutskever & Hinton 2012, section 3.3) ---------------------------------

    @abstractmethod
    def local_response_norm_forward(self, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        """y[c] = x[c] d[c]^-beta with d[c] = k + alpha / size * sum of x[j]^2 over the window of channels around c.

        x is (N, C, H, W) or (N, C), as in backward.
        """

    @abstractmethod
    def local_response_norm_backward(self, dy: Array, x: Array, r: LocalResponse, *, out: Array | None = None) -> Array:
        """dx[c] = dy[c] d[c]^-beta - 2 alpha beta / size * x[c] * sum of dy[j] x[j] d[j]^(-beta - 1) over the channels
        j whose windows meet c."""

    # Loss -------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def softmax_cross_entropy_forward(
        self, logits: Array, labels: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """loss (0-d): mean over the batch of -log softmax(logits)[label]; prob (N, classes).

        A label outside 0 .. classes-1 is refused where labels lie in main memory; on a GPU, which nobody may wait for,
        the loss and its row of the gradient become NaN.
        """

    @abstractmethod
    def softmax_cross_entropy_backward(self, prob: Array, labels: Array, *, out: Array | None = None) -> Array:
        """d loss / d logits = (prob - one_hot(labels)) / N."""

    # Update: parameters and state change in place, all parameters of a group in one call ------------------------------

    @abstractmethod
    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], velocities: Sequence[Array], *,
        lr: float, momentum: float, nesterov: bool, weight_decay: float,
    ) -> None:  # fmt: skip
        """g += weight_decay p; v = momentum v + g; p -= lr (g + momentum v if nesterov else v).

        `velocities` is empty where momentum is 0: then p -= lr g.
        """

    @abstractmethod
    def adagrad_step(
        self, params: Sequence[Array], grads: Sequence[Array], sums: Sequence[Array], *,
        lr: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        """g += weight_decay p; s += g^2; p -= lr g / (sqrt(s) + eps)  (Duchi et al. 2011)."""

    @abstractmethod
    def rmsprop_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], *,
        lr: float, alpha: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        """g += weight_decay p; m = alpha m + (1 - alpha) g^2; p -= lr g / (sqrt(m) + eps)  (Hinton, lecture 6e)."""

    @abstractmethod
    def adadelta_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], deltas: Sequence[Array], *,
        lr: float, rho: float, eps: float, weight_decay: float,
    ) -> None:  # fmt: skip
        """g += weight_decay p; m = rho m + (1 - rho) g^2; d = g sqrt(u + eps) / sqrt(m + eps);
        u = rho u + (1 - rho) d^2; p -= lr d  (Zeiler, arXiv 1212.5701)."""

    @abstractmethod
    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], means: Sequence[Array], squares: Sequence[Array], *,
        lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
    ) -> None:  # fmt: skip
        """Adam (Kingma & Ba, arXiv 1412.6980) or, decoupled, AdamW (Loshchilov & Hutter, arXiv 1711.05101).

        `step` counts from 1. Decoupled: p *= 1 - lr weight_decay; else g += weight_decay p. Then
        m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
        p -= lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps)
        """


def along(a: Array, axis: int, sizes: Sequence[int]) -> list[Array]:
    """Views of parts of `a`, one after the other along `axis`."""
    ends = list(accumulate(sizes))
    before = (slice(None),) * axis
    return [a[(*before, slice(end - n, end))] for end, n in zip(ends, sizes, strict=True)]
