"""A filter's or a pooling's walk over a small input as an animated GIF, a picture for each position."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry import Padding, Size2
from ..tensor_files import Path_, write_whole
from . import canvas, gif
from .canvas import Array
from .walk import MINUS, Position, Walk, filter_walk, pool_walk, size_rule

# 1 2 3 0 in every row, moved on by one from row to row.
LECTURES_X = np.array([[(1, 2, 3, 0)[(column - row) % 4] for column in range(7)] for row in range(7)])
LECTURES_W = np.array([[2, 0, 1], [0, 1, 2], [1, 0, 2]])
LECTURES_POOL_X = np.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 5, 2, 3]])

TIMES = "\N{MULTIPLICATION SIGN}"
SQUARE = 0.5  # inches
GAP = 1.2  # squares between the grids
BETWEEN = 0.7  # squares between the channels
NARROWEST = 9  # squares, for the texts
MOST_TERMS = 9  # of a sum that is written out
PAUSE = 4  # times as long as the others the last picture stays
INPUT, PADDING, WINDOW, EMPTY, DONE, CURRENT = "#dce9f5", "#f4f4f4", "#ffe28a", "#ffffff", "#e1f3dd", "#8fd18a"
FACTOR = "#b03020"


def sliding_window(
    path: Path_, x: Any = LECTURES_X, w: Any = LECTURES_W, *, stride: Size2 = 1, padding: Padding = 0,
    dilation: Size2 = 1, milliseconds: int = 900,
) -> int:  # fmt: skip
    """Write the walk of a filter over an input as an animated GIF; returns the number of its pictures.

    Each picture shows the padded input with the window, the filter, the sum of their products and the output so far.
    x (H, W), w (KH, KW), or (C, H, W) and (C, KH, KW) drawn channel under channel: the lectures' 7x7 example unless
    given. milliseconds: how long each picture stays; the last stays longer.

    Raises:
        ShapeError, ArgumentError: the sizes or options cannot be, or are too large to be read.
        DataError: the file cannot be written.
    """
    return _write(path, filter_walk(x, w, stride=stride, padding=padding, dilation=dilation), milliseconds)


def pooling_window(
    path: Path_, x: Any = LECTURES_POOL_X, kernel_size: Size2 = 2, *, stride: Size2 | None = None,
    padding: Padding = 0, milliseconds: int = 1500,
) -> int:  # fmt: skip
    """The same for a maximum's window; x: the lectures' 4x4 example unless given."""
    return _write(path, pool_walk(x, kernel_size, stride=stride, padding=padding), milliseconds)


def _write(path: Path_, walk: Walk, milliseconds: int) -> int:
    pictures = [_picture(walk, position) for position in walk.positions()]
    write_whole(path, gif.encoded(pictures, [milliseconds] * (len(pictures) - 1) + [PAUSE * milliseconds]))
    return len(pictures)


def _picture(walk: Walk, position: Position) -> Array:
    """The walk at one position, (height, width, 3) bytes."""
    (C, IH, IW), (OH, OW) = walk.padded.shape, walk.y.shape
    KH, KW = (0, 0) if walk.w is None else walk.w.shape[1:]
    step = max(IH, KH) + BETWEEN
    width, height = IW + KW + OW + (1 if walk.w is None else 2) * GAP, max(C * step - BETWEEN, OH)
    ax = _empty_axes(width, height)
    middles = height / 2 + (np.arange(C) - (C - 1) / 2) * step
    for channel, middle in enumerate(middles.tolist()):
        _draw_input(ax, walk, position, channel, middle - IH / 2)
        if walk.w is not None:
            _sign(ax, IW + GAP, middle, "*")
            texts = _texts(walk.w[channel])
            _draw_grid(ax, IW + GAP, middle - KH / 2, texts, np.full(texts.shape, WINDOW))
    _sign(ax, width - OW, height / 2, "max" if walk.w is None else "=")
    _draw_output(ax, walk, position, width - OW, (height - OH) / 2)
    ax.text(width / 2, -1.1, _title(walk), ha="center", va="center", fontsize=11)
    ax.text(width / 2, height + 0.9, _sum(walk, position), ha="center", va="center", fontsize=11)
    return _pixels(ax.figure)


def _empty_axes(width: float, height: float) -> Any:
    """Axes whose unit is a square, with room for two lines above and one below."""
    spare = max(NARROWEST - width, 0) / 2
    figure = canvas.empty_figure((SQUARE * (width + 2 * spare + 1), SQUARE * (height + 3.6)), "")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.5 - spare, width + 0.5 + spare), ylim=(height + 1.6, -2))
    ax.axis("off")
    return ax


def _draw_input(ax: Any, walk: Walk, position: Position, channel: int, top: float) -> None:
    g = walk.geometry
    texts = _texts(walk.padded[channel])
    colours = np.full(texts.shape, PADDING)
    colours[g.PH : g.PH + g.H, g.PW : g.PW + g.W] = INPUT
    colours[np.ix_(position.rows, position.columns)] = WINDOW
    _draw_grid(ax, 0, top, texts, colours)
    if walk.w is None:
        return
    for (a, b), weight in np.ndenumerate(walk.w[channel]):
        right, bottom = position.columns[b] + 0.95, top + position.rows[a] + 0.93
        ax.text(right, bottom, f"{TIMES}{_number(weight)}", ha="right", va="bottom", fontsize=6.5, color=FACTOR)


def _draw_output(ax: Any, walk: Walk, position: Position, left: float, top: float) -> None:
    now = position.place[0] * walk.geometry.OW + position.place[1]
    texts, colours = _texts(walk.y), np.full(walk.y.shape, EMPTY)
    colours.flat[:now] = DONE
    colours.flat[now] = CURRENT
    texts.flat[now + 1 :] = ""
    _draw_grid(ax, left, top, texts, colours)


def _draw_grid(ax: Any, left: float, top: float, texts: Array, colours: Array) -> None:
    """Squares of one unit with a colour and a text each, both (rows, columns)."""
    from matplotlib.colors import to_rgb

    rows, columns = texts.shape
    painted = np.array([[to_rgb(c) for c in row] for row in colours.tolist()])
    ax.imshow(painted, extent=(left, left + columns, top + rows, top), interpolation="nearest")
    ax.hlines(top + np.arange(rows + 1), left, left + columns, color="0.45", linewidth=0.8)
    ax.vlines(left + np.arange(columns + 1), top, top + rows, color="0.45", linewidth=0.8)
    for (row, column), text in np.ndenumerate(texts):
        size = 11 if len(text) < 4 else 8
        ax.text(left + column + 0.5, top + row + 0.5, text, ha="center", va="center", fontsize=size)


def _sign(ax: Any, right: float, middle: float, text: str) -> None:
    ax.text(right - GAP / 2, middle, text, ha="center", va="center", fontsize=16 if len(text) == 1 else 11)


def _title(walk: Walk) -> str:
    """The stride, the padding and the output's size with its rule."""
    g = walk.geometry
    stride = f"{g.SH}" if g.SH == g.SW else f"{g.SH} down, {g.SW} across"
    sides = (g.PH, g.PB, g.PW, g.PR)
    padding = f"{g.PH}" if len(set(sides)) == 1 else f"{g.PH} {g.PB} {g.PW} {g.PR} (top, bottom, left, right)"
    high, wide = size_rule(g, "H"), size_rule(g, "W")
    return f"stride {stride}, padding {padding}\nsize {high if high == wide else f'{high} by {wide}'}"


def _sum(walk: Walk, position: Position) -> str:
    """The products at a position and what they add up to, or whose maximum it is."""
    window, value = walk.window(position), _number(walk.y[position.place])
    numbers = window.ravel().tolist()
    if walk.w is None:
        return f"max({', '.join(map(_number, numbers))}) = {value}" if len(numbers) <= MOST_TERMS else f"max = {value}"
    if len(walk.w) > 1:
        terms = [_number(n) for n in (window * walk.w).sum((1, 2)).tolist()]
    elif len(numbers) <= MOST_TERMS:
        pairs = zip(numbers, walk.w.ravel().tolist(), strict=True)
        terms = [f"{_number(a)}·{_number(b)}" for a, b in pairs]
    else:
        return f"the sum of {len(numbers)} products = {value}"
    return f"{' + '.join(terms)} = {value}".replace(f"+ {MINUS}", f"{MINUS} ")


def _texts(values: Array) -> Array:
    return np.array([[_number(v) for v in row] for row in values.tolist()], object)


def _number(value: float) -> str:
    return f"{MINUS}∞" if value == -np.inf else f"{value:.3g}".replace("-", MINUS)


def _pixels(figure: Any) -> Array:
    """The figure as (height, width, 3) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    agg = FigureCanvasAgg(figure)
    figure.set_dpi(canvas.PIXELS_PER_INCH)
    agg.draw()
    return np.asarray(agg.buffer_rgba())[:, :, :3].copy()
