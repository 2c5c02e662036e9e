"""Kernels touch nothing but their arrays and scratch: each lies against a page that ends the process when touched.

Numba's own bounds checks see indices only, not the pointers of the vector kernels; a guard page sees every load and
store. One side of each array is guarded at a time, in a process of its own.
"""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CONV_CASES, FUSED_CASES, POOL_CASES, conv_values, floats

from fastconv.backends import select, workspace
from fastconv.backends.host import ALIGNMENT
from fastconv.errors import FastconvError
from fastconv.geometry import LocalResponse

pytestmark = [
    pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect, which this system lacks"),
    pytest.mark.skipif(select.available()["cpu"] != "ready", reason="there is no cpu backend to guard"),
]

LENGTHS = (1, 3, 15, 16, 17, 31, 33, 1023)


def guarded(a, side):
    """A copy of `a` (four axes: channels-last) against a forbidden page at its 'start' or 'end'."""
    a = np.ascontiguousarray(a.transpose(0, 2, 3, 1) if a.ndim == 4 else a)
    copy = fenced(a.nbytes, side).view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy.transpose(0, 3, 1, 2) if a.ndim == 4 else copy


def fenced(size, side, alignment=1):
    """`size` bytes between two forbidden pages, against the one at `side` as closely as the alignment allows."""
    inner = max(-(-size // mmap.PAGESIZE), 1) * mmap.PAGESIZE
    block = np.frombuffer(mmap.mmap(-1, inner + 2 * mmap.PAGESIZE), np.uint8)
    for page in (0, inner + mmap.PAGESIZE):
        forbid(block.ctypes.data + page)
    start = mmap.PAGESIZE + ((inner - size) // alignment * alignment if side == "end" else 0)
    return block[start : start + size]


def forbid(address):
    none = 0
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), none):
        raise OSError(ctypes.get_errno(), "mprotect")


def calls(be, dtype):
    """(name, function of arrays, arrays) of every kernel at every edge case; functions return a tuple of results."""
    rng = np.random.default_rng(6)
    for case in CONV_CASES:
        yield from conv_calls(be, case, conv_values(case, rng, floats, dtype))
    for case in POOL_CASES:
        yield from pool_calls(be, case, rng, dtype)
    for case in FUSED_CASES:
        for kind in ("max", "avg"):
            yield from fused_calls(be, case, kind, rng, dtype)
    for n in LENGTHS:
        yield from flat_calls(be, n, rng, dtype)
    for shape in [*((3, n) for n in LENGTHS), (2, 17, 5, 3), (7, 1, 9, 9), (3, 130, 40, 9)]:
        yield from norm_calls(be, shape, rng, dtype)


def conv_calls(be, case, values):
    g, (x, w, b, dy) = case.geometry, values
    y, dx, dw, db = (np.empty(shape, x.dtype) for shape in (g.y_shape, g.x_shape, g.w_shape, (g.OC,)))
    cols = np.empty((g.N * g.OH * g.OW, g.C * g.KH * g.KW), x.dtype)
    for c in be.explain(g):
        yield (
            f"forward {c.name} {case}",
            lambda x, w, b, y, name=c.name: (be.conv2d_forward(x, w, b, g, algorithm=name, out=y),),
            (x, w, b, y),
        )
    for c in be.explain(g, "backward_data"):
        yield (
            f"backward_data {c.name} {case}",
            lambda dy, w, dx, name=c.name: (be.conv2d_backward_data(dy, w, g, algorithm=name, out=dx),),
            (dy, w, dx),
        )
    for c in be.explain(g, "backward_weight"):
        yield (
            f"backward_weight {c.name} {case}",
            lambda dy, x, dw, db, name=c.name: be.conv2d_backward_weight(dy, x, g, algorithm=name, out=(dw, db)),
            (dy, x, dw, db),
        )
    yield f"im2col {case}", lambda x, cols: (be.im2col(x, g, out=cols),), (x, cols)
    yield f"col2im {case}", lambda cols, dx: (be.col2im(cols, g, out=dx),), (be.im2col(x, g), dx)


def pool_calls(be, case, rng, dtype):
    g = case.geometry
    x, dy = floats(rng, g.x_shape, dtype), floats(rng, g.y_shape, dtype)
    y, dx, argmax = np.empty(g.y_shape, dtype), np.empty(g.x_shape, dtype), np.empty(g.y_shape, g.argmax_dtype)
    yield f"max {case}", lambda x, y, argmax: be.max_pool2d_forward(x, g, out=(y, argmax)), (x, y, argmax)
    _, places = be.max_pool2d_forward(be.asarray(x), g)
    yield (
        f"max backward {case}",
        lambda dy, places, dx: (be.max_pool2d_backward(dy, places, g, out=dx),),
        (dy, places, dx),
    )
    yield f"average {case}", lambda x, y: (be.avg_pool2d_forward(x, g, out=y),), (x, y)
    yield f"average backward {case}", lambda dy, dx: (be.avg_pool2d_backward(dy, g, out=dx),), (dy, dx)


def fused_calls(be, case, kind, rng, dtype):
    g, pool, options = case.conv.geometry, case.pool, {"kind": kind, "activation": "relu"}
    x, w, b, dy = (floats(rng, shape, dtype) for shape in (g.x_shape, g.w_shape, (g.OC,), pool.y_shape))
    y, kept = be.conv2d_pool_forward(*map(be.asarray, (x, w, b)), g, pool, **options)
    dx, dw, db = (np.empty(shape, dtype) for shape in (g.x_shape, g.w_shape, (g.OC,)))
    yield (
        f"{kind} fused {case}",
        lambda x, w, b, y, kept: be.conv2d_pool_forward(x, w, b, g, pool, out=(y, kept), **options),
        (x, w, b, np.empty_like(y), np.empty_like(kept)),
    )
    rows = np.zeros((g.N, y[0].size), dtype)
    yield (
        f"{kind} fused to rows {case}",
        lambda x, w, b, rows, kept: be.conv2d_pool_forward(x, w, b, g, pool, flat=True, out=(rows, kept), **options),
        (x, w, b, rows, np.empty_like(kept)),
    )
    yield (
        f"{kind} fused backward from rows {case}",
        lambda dy, y, kept, x, w, dx, dw, db: be.conv2d_pool_backward(
            dy, y, kept, x, w, g, pool, out=(dx, dw, db), **options
        ),
        (rows + 1, rows, kept, x, w, dx, dw, db),
    )
    yield (
        f"{kind} fused backward {case}",
        lambda dy, y, kept, x, w, dx, dw, db: be.conv2d_pool_backward(
            dy, y, kept, x, w, g, pool, out=(dx, dw, db), **options
        ),
        (dy, y, kept, x, w, dx, dw, db),
    )
    yield (
        f"{kind} fused backward to weights {case}",
        lambda dy, y, kept, x, w, dw, db: be.conv2d_pool_backward(
            dy, y, kept, x, w, g, pool, needs_dx=False, out=(None, dw, db), **options
        )[1:],
        (dy, y, kept, x, w, dw, db),
    )


def flat_calls(be, n, rng, dtype):
    x, dy, y = floats(rng, (n,), dtype), floats(rng, (n,), dtype), np.empty(n, dtype)
    for kind in ("relu", "leaky_relu", "sigmoid", "tanh"):
        yield f"{kind} {n}", lambda x, y, kind=kind: (be.activation_forward(kind, x, out=y),), (x, y)
        yield (
            f"{kind} backward {n}",
            lambda dy, x, y, kind=kind: (be.activation_backward(kind, dy, x, out=y),),
            (dy, x, y),
        )
    yield f"dropout {n}", lambda x, y: (be.dropout(x, 0.5, 3, out=y),), (x, y)
    rows, labels = floats(rng, (3, n), dtype), rng.integers(0, n, 3)
    yield f"softmax {n}", be.softmax_cross_entropy_forward, (rows, labels)
    yield f"softmax backward {n}", lambda p, t: (be.softmax_cross_entropy_backward(p, t),), (rows, labels)
    for axis, k in ((1, min(n, 3)), (3, 2)):
        maps = floats(rng, (2, n, 1, 3), dtype)
        yield f"{k} largest {n}", lambda x, k=k, axis=axis: be.k_max_forward(x, k, axis), (maps,)
        best, places = be.k_max_forward(maps, k, axis)
        yield (
            f"{k} largest backward {n}",
            lambda dy, at, dx, axis=axis: (be.k_max_backward(dy, at, dx.shape[axis], axis, out=dx),),
            (best, places, np.empty_like(maps)),
        )
    for r in (LocalResponse(5), LocalResponse(2, alpha=1.0), LocalResponse(2 * n + 1)):
        maps, dmaps, out = (
            floats(rng, (2, n, 1, 3), dtype),
            floats(rng, (2, n, 1, 3), dtype),
            np.empty((2, n, 1, 3), dtype),
        )
        yield f"{r} {n}", lambda x, y, r=r: (be.local_response_norm_forward(x, r, out=y),), (maps, out)
        yield (
            f"{r} backward {n}",
            lambda dy, x, dx, r=r: (be.local_response_norm_backward(dy, x, r, out=dx),),
            (dmaps, maps, out),
        )
    square, bias, out = floats(rng, (5, n), dtype), floats(rng, (5,), dtype), np.empty((3, 5), dtype)
    yield f"linear {n}", lambda x, w, b, y: (be.linear_forward(x, w, b, out=y),), (rows, square, bias, out)
    yield f"linear backward {n}", be.linear_backward, (floats(rng, (3, 5), dtype), rows, square)
    yield f"adam {n}", lambda p, g, m, v: adam(be, p, g, m, v), (x, dy, abs(x), abs(dy))


def norm_calls(be, shape, rng, dtype):
    C = shape[1]
    x, dy, out, c = floats(rng, shape, dtype), floats(rng, shape, dtype), np.empty(shape, dtype), np.empty(C, dtype)
    gamma, beta, mean, var = (rng.random(C).astype(dtype) for _ in range(4))
    yield (
        f"batch norm statistics {shape}",
        lambda x, *a: (*be.batch_norm_statistics(x, a[0], a[1], momentum=0.1, out=a[2:]), *a[:2]),
        (x, mean, var, c, c),
    )
    yield (
        f"batch norm {shape}",
        lambda *a: (be.batch_norm_forward(*a[:5], eps=0.1, activation="relu", out=a[5]),),
        (x, mean, var, gamma, beta, out),
    )
    for learns in (True, False):
        yield (
            f"batch norm backward {learns} {shape}",
            lambda *a, learns=learns: be.batch_norm_backward(*a[:5], eps=0.1, batch_statistics=learns, out=a[5:]),
            (dy, x, mean, var, gamma, out, c, c),
        )


def adam(be, p, g, m, v):
    be.adam_step([p], [g], [m], [v], lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, decoupled=False, step=1)
    return p, m, v


def touch_everything(side, dtype):
    """Every call with guarded arrays and scratch gives the bits that it gives with plain ones."""
    be, plain_scratch = select.get("cpu"), workspace.aligned
    for name, function, arrays in calls(be, dtype):
        print(name, flush=True)
        try:
            plain = function(*(be.asarray(a.copy()) for a in arrays))
        except FastconvError:
            continue  # an algorithm that declines this problem
        workspace.release()
        workspace.aligned = lambda size: fenced(size, side, ALIGNMENT)
        guarded_results = function(*(guarded(a, side) for a in arrays))
        workspace.aligned = plain_scratch
        workspace.release()
        for a, b in zip(plain, guarded_results, strict=True):
            assert a.tobytes() == b.tobytes(), name
    print("untouched")


@pytest.mark.parametrize("side", ["start", "end"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_around_the_arrays_is_touched(side, dtype):
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    code = f"import test_memory_guards as t; t.touch_everything({side!r}, {dtype!r})"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    last = (done.stdout.splitlines() or ["nothing ran"])[-1]
    assert (done.returncode, last) == (0, "untouched"), f"{last}\n{done.stderr[-2000:]}"


def test_a_touched_guard_page_ends_the_process():
    """The guard itself works: one element too far is fatal."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    for side, offset in (("end", "+ a.nbytes"), ("start", "- 1")):
        code = (
            "import ctypes, numpy as np, test_memory_guards as t\n"
            f"a = t.guarded(np.ones((2, 3, 4, 5), 'float32'), {side!r})\n"
            f"ctypes.string_at(a.ctypes.data {offset}, 1)"
        )
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, timeout=60)
        assert done.returncode < 0
