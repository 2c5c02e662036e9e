"""A convolution whose maps each see some of the input's maps, as a table of connections says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..geometry import Padding, Size2, pair, whole_number
from ..ops.conv2d import conv2d
from . import init
from .module import Module, Parameter


class SparseConv2d(Module):
    """Conv2d with the connections of a table: x (N, in_channels, H, W) to (N, len(connections), OH, OW).

    connections: for each output map the input maps that it sees, ((0, 1, 2), (1, 2, 3), ...) say.
    weight (connections in all, KH, KW), in the table's order, and bias (len(connections),): one filter a connection and
    no other parameters. They start uniform within 1 / sqrt(inputs of the map). stride, padding, dilation: as Conv2d's.

    C3 of LeNet-5 (LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86(11), 1998, table I). The filters are put
    at their places among zeros by a product with a matrix of zeros and ones, and an ordinary convolution follows: the
    layer saves parameters, not time, and suits tables of some hundred connections.

    Raises:
        ArgumentError: an output map sees no map, one twice, or one that is not there.
    """

    def __init__(
        self, in_channels: int, connections: Sequence[Sequence[int]], kernel_size: Size2, stride: Size2 = 1,
        padding: Padding = 0, dilation: Size2 = 1, bias: bool = True, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels = whole_number("SparseConv2d", "in_channels", in_channels)
        self.connections = _checked(connections, self.in_channels)
        self.kernel_size = KH, KW = pair("SparseConv2d", "kernel_size", kernel_size)
        if min(KH, KW) < 1:
            raise ArgumentError(f"SparseConv2d: kernel_size must be at least 1, got {(KH, KW)}")
        self.stride, self.padding, self.dilation = stride, padding, dilation
        bounds = np.array([(len(seen) * KH * KW) ** -0.5 for seen in self.connections], dtype or "float32")
        each = np.repeat(bounds, [len(seen) for seen in self.connections])[:, None, None]  # [connections, 1, 1]
        self.weight = Parameter(init.uniform((len(each), KH, KW), 1, dtype) * each)
        self.bias = Parameter(init.uniform(bounds.shape, 1, dtype) * bounds) if bias else None
        self._places = _places(self.connections, self.in_channels)

    def filters(self) -> Tensor:
        """The dense filters (len(connections), in_channels, KH, KW), zero where the table joins nothing."""
        KH, KW = self.kernel_size
        rows = self.weight.constant(self._places) @ self.weight.reshape(-1, KH * KW)  # [OC * C, KH * KW]
        return rows.reshape(len(self.connections), self.in_channels, KH, KW)

    def forward(self, x: Any) -> Tensor:
        return conv2d(x, self.filters(), self.bias, self.stride, self.padding, self.dilation)

    def multiplications(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        N, _, OH, OW = y_shape
        return N * OH * OW * self.weight.size

    def options(self) -> str:
        return (
            f"{self.in_channels}, {len(self.connections)} maps of {len(self.weight)} connections, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, "
            f"dilation={self.dilation}, bias={self.bias is not None}"
        )


def _checked(connections: Sequence[Sequence[int]], in_channels: int) -> tuple[tuple[int, ...], ...]:
    """The table as tuples."""
    try:
        table = tuple(tuple(whole_number("SparseConv2d", "connections", c) for c in seen) for seen in connections)
    except TypeError:
        raise ArgumentError(
            f"SparseConv2d: connections must list each output map's input maps, got {connections!r:.60}"
        ) from None
    if not table:
        raise ArgumentError("SparseConv2d: connections must list at least one output map")
    for i, seen in enumerate(table):
        if not seen or len(set(seen)) < len(seen) or min(seen) < 0 or max(seen) >= in_channels:
            raise ArgumentError(
                f"SparseConv2d: output map {i} must see some of the input maps 0 to {in_channels - 1}, each once, "
                f"got {seen}"
            )
    return table


def _places(connections: tuple[tuple[int, ...], ...], in_channels: int) -> Any:
    """(out * in, connections): 1 where the connection's filter stands among all pairs of maps, else 0."""
    places = [i * in_channels + c for i, seen in enumerate(connections) for c in seen]
    matrix = np.zeros((len(connections) * in_channels, len(places)), "float32")
    matrix[places, range(len(places))] = 1
    return matrix
