"""What the lectures' networks offer beside `forward`: params by the names W1, b1, ..., and arrays in and out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, MutableMapping
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..autograd.gradcheck import numerical_gradient
from ..autograd.mode import no_grad
from ..backends.base import Array
from ..errors import ArgumentError, ShapeError
from ..geometry import whole_number
from ..lecture_files import read_params, write_params
from ..nn import init
from ..nn.module import Module, Parameter
from ..ops.loss import class_indices, cross_entropy


class LectureParams(MutableMapping[str, Array]):
    """A network's parameters as the lectures see them: W1, b1, W2, ... in the order of the layers that have any.

    Values are views of the network's own arrays, fully connected weights as (IN, OUT); so `params["W1"] -= ...` trains
    the network, and `params["W1"] = array` copies into it.
    """

    def __init__(self, layers: list[Module]) -> None:
        self._parameters: dict[str, Parameter] = {}
        for i, layer in enumerate(layers, start=1):
            names = {"weight": f"W{i}", "bias": f"b{i}"}
            self._parameters |= {names[name]: p for name, p in layer.own_parameters() if name in names}

    def __getitem__(self, name: str) -> Array:
        return self.view(name, self._parameters[name].data)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._parameters:
            raise ArgumentError(f"params: there is no {name!r}; the names are {', '.join(self)}")
        target = self[name]
        if tuple(target.shape) != tuple(value.shape):
            raise ShapeError(f"params: {name} has shape {tuple(target.shape)}, the new value {tuple(value.shape)}")
        if target is not value:
            target[...] = self._parameters[name].backend.asarray(value, target.dtype)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError("params: a network's parameters cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __repr__(self) -> str:
        return f"params({', '.join(f'{name} {tuple(value.shape)}' for name, value in self.items())})"

    def view(self, name: str, array: Array) -> Array:
        """An array that belongs to parameter `name`, its gradient say, in the lectures' shape."""
        return array.T if array.ndim == 2 else array

    def parameter(self, name: str) -> Parameter:
        """The parameter behind `name`."""
        return self._parameters[name]


def whole_numbers(network: str, option: str, value: Any, axes: str) -> tuple[int, ...]:
    """A constructor's option with one whole number for each of `axes`, "C,H,W" say.

    Raises:
        ArgumentError: it is anything else, or a number is below 1.
    """
    try:
        numbers = tuple(map(operator.index, value))
    except TypeError:
        numbers = ()
    if len(numbers) != axes.count(",") + 1 or min(numbers) < 1:
        raise ArgumentError(f"{network}: {option} must be ({axes}), whole numbers from 1, got {value!r}")
    return numbers


def true_or_false(network: str, option: str, value: Any) -> bool:
    """A constructor's option that is on or off.

    Raises:
        ArgumentError: it is neither; "off" would count as true.
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{network}: {option} must be True or False, got {value!r}")
    return value


def start(layer: Any, first_weights: Callable[[tuple[int, ...]], Any]) -> None:
    """Give a layer its first values: weights drawn by `first_weights(shape)`, zeros for the bias if it has one."""
    if init.is_unset():
        return
    layer.weight.data[...] = layer.weight.backend.asarray(first_weights(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.data[...] = 0


class LectureNetwork(Module):
    """A network with the lectures' interface: its layers run one after the other, in the order they were set.

    name: what the command line and saved files call it. config: the constructor's options, to build it again.
    """

    name: ClassVar[str]
    config: dict[str, Any]

    @property
    def layers(self) -> dict[str, Module]:
        """The layers by name, first to last; where the lectures name them, under their names."""
        return dict(self.named_children())

    @property
    def params(self) -> LectureParams:
        """W1, b1, W2, b2, ...: see LectureParams."""
        inside = (module for layer in self.layers.values() for _, module in layer.named_modules())
        return LectureParams([module for module in inside if module.own_parameters()])

    def forward(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer(x)
        return x

    def predict(self, x: Any) -> Array:
        """The scores (N, classes) before softmax, as an array."""
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                return self(x).data
        finally:
            self.train(was_training)

    def loss(self, x: Any, t: Any) -> float:
        """The mean cross-entropy of predict(x) against labels (N,) or one-hot rows (N, classes)."""
        with no_grad():
            return cross_entropy(self(x), t).item()

    def accuracy(self, x: Any, t: Any, batch_size: int = 100) -> float:
        """The share of right answers, from 0 to 1; a last, smaller batch counts too."""
        labels = class_indices(t).numpy()
        if len(x) != len(labels) or not len(x):
            raise ShapeError(f"accuracy: one label per image is needed, x {tuple(x.shape)}, t {tuple(labels.shape)}")
        batch_size = whole_number("accuracy", "batch_size", batch_size, 1)
        right = 0
        for i in range(0, len(x), batch_size):
            guess = self.predict(x[i : i + batch_size]).argmax(1)
            right += int((guess == self._on_device(labels[i : i + batch_size])).sum())
        return right / len(x)

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        """d loss / d parameter by back-propagation, as NumPy arrays under the names and shapes of `params`."""
        self.zero_grad()
        cross_entropy(self(x), t).backward()
        grads = {}
        for name in self.params:
            p = self.params.parameter(name)
            assert p.grad is not None  # every parameter leads to the loss
            grads[name] = self.params.view(name, p.grad.numpy())
        self.zero_grad()
        return grads

    def numerical_gradient(self, x: Any, t: Any, eps: float = 1e-4) -> dict[str, Any]:
        """The same by central differences, on a float64 copy of the network: slow, and what `gradient` is checked with.

        Costs two forward passes for each parameter: use a small network and a few images.
        """
        twin = deepcopy(self)
        for _, kept in twin.named_tensors():
            kept.data = kept.backend.asarray(kept.data, "float64")
        x = np.asarray(x, "float64")
        return {
            name: self.params.view(
                name, numerical_gradient(lambda: twin.loss(x, t), twin.params.parameter(name).data, eps)
            )
            for name in self.params
        }

    def save_params(self, file_name: str | Path = "params.pkl") -> None:
        """Write `params`: a .pkl as the lectures' code reads it, any other name as safetensors."""
        on_host = {
            name: np.ascontiguousarray(self.params.parameter(name).backend.to_numpy(a))
            for name, a in self.params.items()
        }
        write_params(file_name, on_host)

    def load_params(self, file_name: str | Path = "params.pkl") -> None:
        """Read what `save_params` or the lectures' code wrote; nothing but arrays is taken from the file.

        Raises:
            DataError: the file is no such file. ArgumentError, ShapeError: it belongs to another network.
        """
        read = read_params(file_name)
        if read.keys() != set(self.params):
            raise ArgumentError(
                f"load_params: {file_name} holds {sorted(read)}, this network has {sorted(self.params)}"
            )
        for name, value in read.items():
            if value.shape != self.params[name].shape:
                raise ShapeError(
                    f"load_params: {name} has shape {value.shape} in {file_name}, {self.params[name].shape} here"
                )
        for name, value in read.items():
            self.params[name] = value

    def _on_device(self, labels: Any) -> Array:
        return self.parameters()[0].backend.asarray(labels)
