"""Pictures in the lectures' style: accuracy curves, filters, and what a network's layers make of an image.

matplotlib is imported when the first picture is drawn. With `path` a PNG is written and no window opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .autograd.mode import no_grad
from .autograd.tensor import Tensor
from .errors import ArgumentError, ShapeError, UnsupportedError
from .nn import Conv2d
from .nn.mode import evaluation_mode
from .nn.module import Module, observe
from .tensor_files import Path_, write_whole
from .training.evaluation import on_device_of
from .training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
PIXELS_PER_INCH = 120
GAP = 0.15
INK = {"cmap": "gray_r", "interpolation": "nearest"}


def accuracy_curve(history: History, path: Path_ | None = None) -> None:
    """Training and validation accuracy by epoch: markers 'o' and 's' at every second epoch, y from 0 to 1."""
    if not history:
        raise ArgumentError("accuracy_curve: the history has no epochs yet")
    figure = _figure((6.4, 4.8), path)
    axes = figure.add_subplot()
    x = np.array(history.column("number"))
    axes.plot(x, history.column("train_accuracy"), marker="o", label="train", markevery=2)
    validated = history.column("validation_accuracy")
    if validated[-1] is not None:
        axes.plot(x, validated, marker="s", label="test", markevery=2)
    axes.set(xlabel="epochs", ylabel="accuracy", ylim=(0, 1.0))
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="lower right")
    _finish(figure, path)


def filter_show(
    filters: Any, nx: int = 8, margin: float = 3, scale: float = 10, path: Path_ | None = None, *,
    before: Any = None,
) -> None:  # fmt: skip
    """The filters (FN, C, FH, FW) as grey squares, nx in a row, large weights dark.

    One input channel is shown as it is, three as colours, of any other number the mean over the channels. margin: space
    between the squares, in pixels of a filter that is `scale` pixels wide. before: the filters before training, drawn
    to the left of the others.
    """
    groups = [("", filters)] if before is None else [("before", before), ("after", filters)]
    arrays = [(title, _filters(f)) for title, f in groups]
    side = 0.8 * min(nx, len(arrays[0][1]))
    rows = -(-len(arrays[0][1]) // nx)
    figure = _figure((len(arrays) * side + 0.4, 0.8 * rows + (0.4 if before is not None else 0.1)), path)
    parts: Any = figure.subfigures(1, len(arrays), squeeze=False, wspace=0.06)
    for part, (title, array) in zip(parts[0], arrays, strict=True):
        part.suptitle(title)
        grid = part.subplots(rows, min(nx, len(array)), squeeze=False)
        part.subplots_adjust(
            left=0.02, right=0.98, bottom=0.02, top=0.98 if not title else 1 - 0.4 / (0.8 * rows + 0.4),
            hspace=margin / scale, wspace=margin / scale,
        )  # fmt: skip
        _draw_maps(grid.ravel(), array)
    _finish(figure, path)


def activation_maps(model: Module, image: Any, path: Path_ | None = None, *, nx: int = 8) -> None:
    """The image (C, H, W), each filter of the first convolution, and under it what the filter makes of the image.

    Dark is where a filter fires. The maps are those after the activation and before pooling.

    Raises:
        ShapeError: the image does not fit the model.
        UnsupportedError: the model has no convolution.
    """
    image = np.asarray(image)
    if image.ndim != 3:
        raise ShapeError(f"activation_maps: image must be (C, H, W), got shape {image.shape}")
    filters, maps = _first_maps(model, image)
    count = len(filters)
    columns, bands = min(nx, count), -(-count // nx)
    figure = _figure((0.8 * columns + 2.2, max(1.7 * bands, 2.2)), path)
    parts: Any = figure.subfigures(1, 2, width_ratios=(2.0, 0.8 * columns))
    left, right = parts
    shown = left.add_axes((0.05, 0.05, 0.9, 0.9))
    _draw_maps([shown], image[None] if len(image) in (1, 3) else image.mean(0)[None, None])
    # A band is a row of filters, a row of maps and a thin gap.
    spaces = {"hspace": 0.1, "wspace": 0.1, "height_ratios": (1, 1, GAP) * bands}
    grid = right.subplots(3 * bands, columns, squeeze=False, gridspec_kw=spaces)
    right.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.98)
    for band in range(bands):
        some = slice(band * columns, (band + 1) * columns)
        filter_row, map_row, gap = grid[3 * band : 3 * band + 3]
        _draw_maps(filter_row, _filters(filters)[some])
        _draw_maps(map_row, maps[some, None])
        _draw_maps(gap, maps[:0])
    _finish(figure, path)


def _first_maps(model: Module, image: Array) -> tuple[Array, Array]:
    """The first convolution's filters, and its maps (FN, OH, OW) after the activation that follows."""
    outputs: list[tuple[Module, Tensor]] = []

    def note(module: Module, inputs: tuple[Any, ...], y: Any) -> None:
        if not any(True for _ in module.named_children()):
            outputs.append((module, y))

    with evaluation_mode(model), no_grad(), on_device_of(model), observe(note):
        model(image[None].astype(model.parameters()[0].dtype))
    start = next((i for i, (module, _) in enumerate(outputs) if isinstance(module, Conv2d)), None)
    if start is None:
        raise UnsupportedError(f"activation_maps: {type(model).__name__} has no convolution")
    conv, y = outputs[start]
    if start + 1 < len(outputs) and outputs[start + 1][1].shape == y.shape:
        y = outputs[start + 1][1]
    assert isinstance(conv, Conv2d)
    return conv.weight.numpy(), y.numpy()[0]


def _filters(filters: Any) -> Array:
    """Filters as (FN, 1 or 3, FH, FW)."""
    array = np.asarray(filters)
    if array.ndim != 4:
        raise ShapeError(f"filter_show: filters must be (FN, C, FH, FW), got shape {array.shape}")
    return array if array.shape[1] in (1, 3) else array.mean(1, keepdims=True)


def _draw_maps(axes: Sequence[Any] | Array, maps: Array) -> None:
    """One of (n, 1 or 3, H, W) in each of `axes`, without ticks; axes left over stay empty."""
    for ax in axes[len(maps) :]:
        ax.axis("off")
    for ax, one in zip(axes, maps, strict=False):
        ax.set(xticks=[], yticks=[])
        if len(one) == 1:
            ax.imshow(one[0], **INK)
        else:
            low, high = one.min(), one.max()
            ax.imshow((one.transpose(1, 2, 0) - low) / (high - low or 1), interpolation="nearest")


def _figure(inches: tuple[float, float], path: Path_ | None) -> Figure:
    """An empty figure: for a file without any window system, else one that pyplot can show."""
    try:
        from matplotlib.figure import Figure

        if path is not None:
            return Figure(figsize=inches)
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise UnsupportedError('pictures need matplotlib: pip install "fastconv[plot]"') from error
    return plt.figure(figsize=inches)


def _finish(figure: Figure, path: Path_ | None) -> None:
    """Write the figure to `path` as a PNG, or show it."""
    if path is not None:
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=PIXELS_PER_INCH)
        write_whole(path, picture.getvalue())
        return
    import matplotlib.pyplot as plt

    plt.show()
    plt.close(figure)
