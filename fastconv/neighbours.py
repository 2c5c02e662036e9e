"""The nearest-neighbour classifier, and why its distance misleads: images as points, ||a - b|| between them.

    ||a - b||^2 = ||a||^2 - 2 a.b + ||b||^2

so that all distances between two sets are one matrix product on the current backend. Source: CS231n, "Image
classification" (cs231n.github.io/classification), whose figures these functions recompute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .backends import select
from .errors import ArgumentError, ShapeError
from .geometry import whole_number

Array = npt.NDArray[Any]
CHUNK = 200  # images compared with all others at once
DARKEST = 0.6  # the share of its light that an image loses at most


def distances(x: Any, images: Any) -> Array:
    """L2 distances (N, M) between x (N, ...) and images (M, ...) of the same shape.

    Small ones are the difference of large squares: in float32 they are exact to about 1e-3 of the images' length.

    Raises:
        ShapeError: the images of the two sets differ in shape.
    """
    rows, others = _points("distances", x, images)
    return np.sqrt(_squared_distances(rows, others, _squares(others)))


def nearest(x: Any, images: Any, k: int = 1) -> tuple[npt.NDArray[np.intp], Array]:
    """The k of `images` (M, ...) nearest to each of x (N, ...): their places and distances, (N, k), nearest first.

    The distances of those k are computed again from differences; of equal ones the lower place comes first.

    Raises:
        ShapeError: the images of the two sets differ in shape. ArgumentError: k is not from 1 to M.
    """
    rows, others = _points("nearest", x, images)
    k = whole_number("nearest", "k", k)
    if not 1 <= k <= len(others):
        raise ArgumentError(f"nearest: k must be from 1 to the {len(others)} images, got {k}")
    squares = _squares(others)
    places, lengths = np.empty((len(rows), k), np.intp), np.empty((len(rows), k), rows.dtype)
    for start in range(0, len(rows), CHUNK):
        far = _squared_distances(rows[start : start + CHUNK], others, squares)
        near = np.argpartition(far, k - 1, axis=1)[:, :k]
        for i, among in enumerate(np.sort(near, axis=1), start):
            exact = np.linalg.norm(others[among] - rows[i], axis=1)
            order = np.argsort(exact, kind="stable")
            places[i], lengths[i] = among[order], exact[order]
    return places, lengths


def vote(labels: Any) -> npt.NDArray[np.int64]:
    """The class that most of the neighbours' labels (N, k), nearest first, have; of several the nearest's: (N,)."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.shape[1]:
        raise ShapeError(f"vote: labels must be (N, k) with k from 1, got {labels.shape}")
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)  # [N, k]: how many share this neighbour's class
    return labels[np.arange(len(labels)), votes.argmax(1)].astype(np.int64)


def accuracy(x: Any, t: Any, images: Any, labels: Any, ks: Sequence[int] = (1,)) -> list[float]:
    """The share of x (N, ...) whose class t (N,) their k nearest of `images` with `labels` vote for, for each k."""
    near = np.asarray(labels)[nearest(x, images, max(ks))[0]]
    return [float((vote(near[:, :k]) == np.asarray(t)).mean()) for k in ks]


def equally_far(image: Any, distance: float | None = None) -> tuple[dict[str, Array], float]:
    """Images that look nothing alike, all at the same L2 distance from `image` (C, H, W) from 0 to 1; and the distance.

    shifted, darkened, occluded by two squares, and noisy. Each lies on the straight line from the image to its most
    changed form, as far out as the distance asks, so that all stay within 0 .. 1. distance: the largest that all four
    reach unless given, but at most 0.6 of the image's own length.

    Raises:
        ShapeError: it is no image. ArgumentError: not all of them can be so far away.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype.kind != "f":
        raise ShapeError(f"equally_far: image must be (C, H, W) from 0 to 1, got {image.dtype} {image.shape}")
    changed = {
        "shifted": _shifted(image), "darkened": np.zeros_like(image),
        "occluded": _occluded(image), "noisy": _noisy(image),
    }  # fmt: skip
    reach = {name: float(np.linalg.norm(other - image)) for name, other in changed.items()}
    least, length = min(reach.values()), float(np.linalg.norm(image))
    wanted = min(least, DARKEST * length) if distance is None else distance
    if not 0 < wanted <= least:
        raise ArgumentError(
            f"equally_far: the distance must be above 0 and at most {least:.3g}, which is as far as all of "
            f"{', '.join(changed)} reach, got {wanted:.3g}"
        )
    return {name: image + (other - image) * (wanted / reach[name]) for name, other in changed.items()}, wanted


def _shifted(image: Array) -> Array:
    """To the right by a twelfth of the width, the first column repeated."""
    step = min(max(image.shape[2] // 12, 1), image.shape[2] - 1)
    return np.pad(image[:, :, : image.shape[2] - step], ((0, 0), (0, 0), (step, 0)), mode="edge")


def _occluded(image: Array) -> Array:
    """Two squares a third as wide as the image over it, black where it is bright there, else white."""
    covered = image.copy()
    _, H, W = image.shape
    side = max(min(H, W) // 3, 1)
    for row, column in ((H // 6, W // 6), (H // 2, W // 2)):
        part = covered[:, row : row + side, column : column + side]
        part[...] = 0 if part.mean() > 0.5 else 1
    return covered


def _noisy(image: Array) -> Array:
    """Random pixels, the same every time."""
    return np.random.default_rng(0).random(image.shape).astype(image.dtype)


def _points(function: str, x: Any, images: Any) -> tuple[Array, Array]:
    """Both sets as floating-point rows (N, D) and (M, D)."""
    x, images = np.asarray(x), np.asarray(images)
    if x.ndim < 2 or x.shape[1:] != images.shape[1:]:
        raise ShapeError(f"{function}: two sets of images of one shape are needed, got {x.shape} and {images.shape}")
    dtype = "float64" if "float64" in (x.dtype, images.dtype) else "float32"
    # Distances do not depend on the order of the pixels; that of channels-last memory needs no copy.
    ordered = (a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for a in (x, images))
    rows, others = (np.ascontiguousarray(a.reshape(len(a), -1), dtype) for a in ordered)
    return rows, others


def _squares(rows: Array) -> Array:
    return np.einsum("nd,nd->n", rows, rows)


def _squared_distances(rows: Array, others: Array, squares: Array) -> Array:
    """squares: those of `others`, which are the same for every chunk of rows."""
    be = select.current()
    products = be.to_numpy(be.matmul(be.asarray(rows), be.asarray(others), trans_b=True))
    return np.maximum(_squares(rows)[:, None] - 2 * products + squares, 0)
