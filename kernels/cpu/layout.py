"""Between channels-last maps and rows in the order of [C, H, W]: a transposition of each image.

    planar[n, c, p] = pixels[n, p, c]

One chunk owns an image and goes over it in tiles of registers, LANES x LANES elements; the last tile of a row overlaps
the one before, so that every store is whole. Images narrower than a tile go element by element.

One kernel for both directions, flat: as two with three dimensions, 0.3 s more to compile.   AMD Zen 5, 2 cores,
100 x 30 x 12 x 12, to planar / to pixels:
    NumPy's copy                               0.11 / 0.11 ms
    element by element, channels innermost     0.074 / 0.068    pixels innermost 0.13: LLVM gathers, slow here
    tiles of registers                         0.057 / 0.051
"""

from .jit import inner, kernel
from .parallel import parallel_for
from .rows import transpose_tile
from .simd import VECTOR_BYTES, address


@kernel
def transpose_images(target, source, N, rows, columns):
    """target [N, rows, columns] from source [N, columns, rows], both flat."""
    parallel_for(_turn_image, N, (target, source, rows, columns))


@inner
def _turn_image(n, target, source, rows, columns):
    first = n * rows * columns
    turn_image(target, first, source, first, rows, columns)


@inner
def turn_image(target, to, source, own, rows, columns):
    """[rows, columns] at element `to` of target from [columns, rows] at element `own` of source."""
    item = target.itemsize
    lanes = VECTOR_BYTES // item
    if columns < lanes:
        for r in range(rows):
            for c in range(columns):
                target[to + r * columns + c] = source[own + c * rows + r]
        return
    for turn in range(0, columns, lanes):
        c = min(turn, columns - lanes)
        for r in range(0, rows, lanes):
            transpose_tile(
                target, address(target) + (to + r * columns + c) * item, columns * item,
                address(source) + (own + c * rows + r) * item, rows * item, lanes, min(lanes, rows - r),
            )  # fmt: skip
