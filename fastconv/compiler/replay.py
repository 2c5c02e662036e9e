"""Running a plan: calls bound to their arrays once, then made again and again without allocating.

A frozen plan relies on its parameters' values: what they alone decide is computed before the first run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends.base import Array, Backend, Run, along
from ..optim.optimizer import Optimizer
from ..random import next_seed
from .capture import Seed
from .memory import place, shaped
from .plan import Call, Plan, Value

_POINTWISE = ("add", "subtract", "multiply", "divide", "power")


class Replay:
    """A plan with memory. `run(inputs)` copies the inputs in, makes every call and returns the results' arrays,
    which the next run overwrites."""

    def __init__(self, plan: Plan, backend: Backend, seeds: list[Seed], *, frozen: bool = False) -> None:
        self.plan, self.backend = plan, backend
        self.seeds = seeds
        self._frozen, self._fixed = frozen, plan.fixed() if frozen else set()
        self._arrays = place(plan, lambda n: backend.empty((n,), "uint8"), self._fixed)
        self._entries = [backend.empty(v.shape, v.dtype) for v in plan.inputs]
        self._arrays.update(zip(plan.inputs, self._entries, strict=True))
        blocks: dict[str, Any] = {}
        for _ in range(2):  # a scratch block that a later call makes larger serves the earlier ones the second time
            self._once: list[Callable[[], Any]] = []
            self.steps = [self._each_run(call, backend, blocks) for call in plan.calls]
        self._run_all = backend.repeat([run for step in self.steps for run in step])
        self._results = [self._array(v) for v in plan.results]
        self.refresh()

    def refresh(self) -> None:
        """Compute what is computed once, from the parameters' values of now."""
        with np.errstate(all="ignore"):  # a variance of 0 gives infinity, as in the kernels, without a warning
            for call in self._once:
                call()

    def run(self, inputs: tuple[Array, ...]) -> list[Array]:
        """The step on these inputs."""
        self.enter(inputs)
        self._run_all()
        return self._results

    def enter(self, inputs: tuple[Array, ...]) -> None:
        """Copy the inputs in and draw the seeds of this run."""
        for entry, given in zip(self._entries, inputs, strict=True):
            entry[...] = given
        for seed in self.seeds:
            seed.number = next_seed()

    def _array(self, item: Any) -> Any:
        if isinstance(item, list):
            return [self._array(i) for i in item]
        if not isinstance(item, Value):
            return item
        if item in self._arrays:
            return self._arrays[item]
        if item.alias is not None:
            return shaped(_flat(self._array(item.alias)), item.shape)
        return item.array

    def _each_run(self, call: Call, backend: Backend, blocks: dict[str, Any]) -> list[Run]:
        """The call's part of a run; nothing of one whose results are fixed, which is made once."""
        runs = self._bind(call, backend, blocks)
        if self._frozen and all(v is None or v in self._fixed for v in call.outputs):
            self._once += [run.call for run in runs]
            return []
        return runs

    def _bind(self, call: Call, backend: Backend, blocks: dict[str, Any]) -> list[Run]:
        inputs = tuple(self._array(item) for item in call.inputs)
        outputs = tuple(self._array(v) for v in call.outputs)
        if call.op in _POINTWISE:
            return [Run(partial(getattr(np, call.op), *inputs, out=outputs[0]), "arrays")]
        if call.op == "sum":
            return [Run(partial(np.sum, *inputs, out=outputs[0], **call.options), "arrays")]
        if call.op == "transpose":
            return [Run(partial(_copy, outputs[0], inputs[0].transpose(call.options["axes"])), "arrays")]
        if call.op == "pick":
            return [Run(partial(_copy, outputs[0], _view(inputs[0], call.options["key"])), "arrays")]
        if call.op == "concat":
            axis = call.options["axis"]
            parts = along(outputs[0], axis, [a.shape[axis] for a in inputs[0]])
            return [Run(partial(_copy, part, a), "arrays") for part, a in zip(parts, inputs[0], strict=True)]
        if call.op == "update":
            optimizer, state = call.options["optimizer"], call.options["state"]
            params, grads = inputs
            return [Run(partial(_update, optimizer, backend, params, grads, state), "live")]
        options = dict(call.options)
        if outputs:
            options["out"] = outputs[0] if len(outputs) == 1 else outputs
        if call.live is None:
            once = self._once if self._frozen and call.relies_on(self._fixed) else None
            return [Run(call) for call in backend.bind(call.op, inputs, options, blocks, once)]
        function, live = getattr(backend, call.op), call.live
        return [Run(lambda: function(*inputs, **options, **live()), "live")]


def _update(optimizer: Optimizer, backend: Backend, params: Any, grads: Any, state: Any) -> None:
    optimizer.steps += 1
    optimizer.update(backend, params, grads, state)


def _copy(out: Array, a: Array) -> None:
    out[...] = a


def _view(a: Array, key: Any) -> Array:
    """a[key] in the memory of `a`, of which NumPy would copy out a single element."""
    parts = key if isinstance(key, tuple) else (key,)
    return a[parts if any(part is ... for part in parts) else (*parts, ...)]


def _flat(a: Array) -> Array:
    return (a.transpose(0, 2, 3, 1) if a.ndim == 4 else a).reshape(-1)
