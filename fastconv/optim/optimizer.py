"""What every optimizer is: parameters, a learning rate, and arrays of state beside each parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, ClassVar

from ..autograd.tensor import Tensor
from ..backends.base import Array, Backend
from ..errors import ArgumentError, BackendError, ShapeError


class Optimizer:
    """Changes parameters in place, against their gradients.

    A subclass names its state arrays in `slots` and gives `update`. State is kept by the parameter's position.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        self.params = list(params) if isinstance(params, Iterable) else []
        for p in self.params:
            if not isinstance(p, Tensor):
                raise ArgumentError(f"{type(self).__name__}: takes tensors, model.parameters() say, got {p!r:.60}")
        if not self.params:
            raise ArgumentError(f"{type(self).__name__}: there are no parameters to train")
        self.backend = self.params[0].backend
        self.lr = require(self, "lr", lr)
        self.weight_decay = require(self, "weight_decay", weight_decay)
        self.steps = 0
        self.state: dict[str, list[Array]] = {
            slot: [p.backend.zeros(p.shape, p.dtype) for p in self.params] for slot in self.slots
        }

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        vars(self).update(attributes)
        for slot, arrays in self.state.items():
            self.state[slot] = [self.backend.asarray(a) for a in arrays]  # pickles forget the layout

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self._options().items())
        return f"{type(self).__name__}(of {len(self.params)} parameters, {options}; {self.steps} steps done)"

    def _options(self) -> dict[str, Any]:
        """The constructor's options as they are now."""
        first = {"lr": self.lr, "weight_decay": self.weight_decay}
        own = {name: v for name, v in vars(self).items() if isinstance(v, int | float | tuple)}
        return {name: value for name, value in (first | own).items() if name not in ("slots", "steps")}

    @property
    def param_groups(self) -> list[ParamGroup]:
        """All parameters as PyTorch's one group: `param_groups[0]["lr"]` reads and sets `lr`."""
        return [ParamGroup(self, self._options())]

    def step(self) -> None:
        """One update of every parameter that has a gradient.

        Raises:
            ArgumentError: no parameter has a gradient.
            BackendError: the parameters were moved to another backend since the optimizer was made.
        """
        if self.params[0].backend is not self.backend:
            raise BackendError(
                f"{type(self).__name__}.step: its arrays are on the {self.backend.name} backend, the parameters on the "
                f"{self.params[0].backend.name} backend; make the optimizer after moving the model"
            )
        with_grad = [(i, p, p.grad) for i, p in enumerate(self.params) if p.grad is not None]
        if not with_grad:
            raise ArgumentError(f"{type(self).__name__}.step: no parameter has a gradient; call backward() first")
        self.steps += 1
        state = {slot: [arrays[i] for i, _, _ in with_grad] for slot, arrays in self.state.items()}
        self.update(self.backend, [p.data for _, p, _ in with_grad], [g.data for _, _, g in with_grad], state)

    def update(self, be: Backend, params: list[Array], grads: list[Array], state: dict[str, list[Array]]) -> None:
        """Change `params` and `state` in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients before the next backward pass adds to them."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """lr, steps and the state arrays by name and position, as NumPy arrays and numbers."""
        arrays = {
            f"{slot}.{i}": p.backend.to_numpy(a).copy()
            for slot, state in self.state.items()
            for i, (a, p) in enumerate(zip(state, self.params, strict=True))
        }
        return {"lr": self.lr, "steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of the same kind of optimizer over parameters of the same shapes."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise ArgumentError(
                f"{type(self).__name__}: the saved state belongs to another optimizer or network; "
                f"differing entries: {sorted(own.keys() ^ state.keys())[:6]}"
            )
        for name, value in own.items():
            if getattr(state[name], "shape", ()) != getattr(value, "shape", ()):
                raise ShapeError(
                    f"{type(self).__name__}: saved {name} has shape {state[name].shape}, not {value.shape}"
                )
        self.lr, self.steps = float(state["lr"]), int(state["steps"])
        for slot, arrays in self.state.items():
            for i, (a, p) in enumerate(zip(arrays, self.params, strict=True)):
                a[...] = p.backend.asarray(state[f"{slot}.{i}"], a.dtype)


class ParamGroup(dict[str, Any]):
    """An optimizer's parameters and options by name; what is set here is set there."""

    def __init__(self, optimizer: Optimizer, options: Mapping[str, Any]) -> None:
        super().__init__(params=optimizer.params, **options)
        self._optimizer = optimizer

    def __getitem__(self, name: str) -> Any:
        return getattr(self._optimizer, name) if name in self else super().__getitem__(name)

    def update(self, *others: Any, **values: Any) -> None:
        for name, value in dict(*others, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self or name == "params":
            known = ", ".join(key for key in self if key != "params")
            raise ArgumentError(f"param_groups: {name!r} cannot be set; what can is {known}")
        setattr(self._optimizer, name, value)
        super().__setitem__(name, value)


def require(owner: object, name: str, value: float, below: float = float("inf")) -> float:
    """`value` if it is a number with 0 <= value < below, else ArgumentError."""
    if not isinstance(value, Real) or not 0 <= value < below:
        limit = "" if below == float("inf") else f" and below {below:g}"
        raise ArgumentError(f"{type(owner).__name__}: {name} must be at least 0{limit}, got {value!r}")
    return float(value)
