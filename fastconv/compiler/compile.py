"""`fc.compile`: a training step or an inference as one plan over memory that is laid out once."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, RLock
from typing import Any

from .. import random
from ..autograd.mode import no_grad
from ..autograd.tensor import Tensor
from ..backends.base import Array, Backend
from ..backends.precision import get_precision
from ..backends.winograd import get_winograd
from ..errors import ArgumentError, BackendError, UnsupportedError
from ..nn.module import Buffer, Module
from ..ops.loss import class_indices, is_one_hot
from ..optim.optimizer import Optimizer
from .capture import ADVICE, Recorder, Symbol, recorder
from .fold import fold_batch_norm
from .fuse import fuse
from .plan import Call, Plan, Role
from .profile import Profile, measure
from .replay import Replay
from .watch import Watch

PLANS = 8  # input shapes kept; the one not used for longest is dropped
_NO_OTHER_TENSORS = (
    "compile: a step may use no tensors but its inputs and the model's parameters and buffers "
    f"(fc.nn.Buffer(values), set as an attribute, is one); {ADVICE}"
)
_making = RLock()  # while a plan is made, its model's tensors are symbols: other plans, of other threads, wait


class Compiled:
    """What `fc.compile` returns. Call it with the inputs of the model's forward, for training with the labels after
    them; `plan` is the plan of the last call.

    A plan is made for each shape and type of the inputs, training mode, precision and choice of fc.set_winograd, and
    made again when the model was changed: layers, options or whole parameter arrays. Values (weights, a learning rate)
    may change at any time; of a frozen model, `refresh` takes the new ones.
    """

    def __init__(
        self, model: Module, loss: Callable[..., Any] | None, optimizer: Optimizer | None, *, frozen: bool = False
    ) -> None:
        self.model, self.loss, self.optimizer, self.frozen = model, loss, optimizer, frozen
        self._replays: OrderedDict[Any, Replay] = OrderedDict()
        self._watch: Watch | None = None
        self._lock = Lock()
        self._last: Replay | None = None
        self._scores: Any = None

    def __repr__(self) -> str:
        kind = "inference" if self.loss is None else "loss" if self.optimizer is None else "training step"
        kind = f"frozen {kind}" if self.frozen else kind
        return f"<compiled {kind} of {type(self.model).__name__}, {len(self._replays)} plans>"

    def __reduce__(self) -> tuple[Any, ...]:  # copied and pickled without plans, which are made again when called
        return partial(Compiled, frozen=self.frozen), (self.model, self.loss, self.optimizer)

    @property
    def plan(self) -> Plan:
        """The plan of the last call, or of the last `prepare`."""
        if self._last is None:
            raise ArgumentError("compile: there is no plan before the first call; see prepare(x_shape)")
        return self._last.plan

    def prepare(self, *arrays: Any) -> Plan:
        """Make the plan for arrays like these without running it."""
        return self._ready(arrays)[0].plan

    def __call__(self, *arrays: Any) -> Tensor:
        """The loss of one training step, or the model's output; a tensor of its own, nothing to run backward from."""
        with self._lock:
            replay, inputs = self._ready(arrays)
            value, *rest = replay.run(inputs)
            self._scores = rest[0] if rest else None
            return Tensor(value.copy(order="K"), replay.backend)

    def refresh(self) -> None:
        """Take the weights as they are now, where a frozen model's were changed in place (loaded, trained)."""
        with self._lock:
            for replay in self._replays.values():
                replay.refresh()

    @property
    def scores(self) -> Tensor:
        """What the model gave in the last step, before the loss; the next step overwrites it."""
        if self._scores is None or self._last is None:
            raise ArgumentError("compile: there are no scores before the first training step; inference returns them")
        return Tensor(self._scores, self._last.backend)

    def profile(self, *arrays: Any, rounds: int = 20) -> Profile:
        """The median time of every call over `rounds` runs; the model and the optimizer are as before afterwards."""
        with self._lock:
            replay, inputs = self._ready(arrays)
            with self._unchanged():
                return measure(replay, inputs, rounds)

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        state = [a for arrays in (self.optimizer.state.values() if self.optimizer else ()) for a in arrays]
        kept = [(a, a.copy()) for a in [*(t.data for t in self._tensors()), *state]]
        stream, steps = random.get_state(), self.optimizer.steps if self.optimizer else 0
        try:
            yield
        finally:
            random.set_state(stream)
            if self.optimizer:
                self.optimizer.steps = steps
            for array, before in kept:
                array[...] = before

    def _watched(self) -> Watch:
        """The model and the loss as the plans know them; without plans where they were changed."""
        if self._watch is None or self._watch.changed():
            self._replays.clear()
            self._watch = Watch([m for m in (self.model, self.loss) if isinstance(m, Module)], self._tensors())
        return self._watch

    def _inputs(self, be: Backend, arrays: tuple[Any, ...]) -> tuple[Array, ...]:
        if self.loss is not None and arrays:
            *inputs, t = arrays
            labels = t if isinstance(t, Tensor) else Tensor(be.asarray(t), be)
            arrays = (*inputs, class_indices(labels) if is_one_hot(labels) else labels)
        return tuple([_on(be, a) for a in arrays])

    def _ready(self, arrays: tuple[Any, ...]) -> tuple[Replay, tuple[Array, ...]]:
        """The plan for these arrays, made now where there is none, and they as the backend has them."""
        with _making:
            return self._found_or_made(arrays)

    def _found_or_made(self, arrays: tuple[Any, ...]) -> tuple[Replay, tuple[Array, ...]]:
        watch = self._watched()
        inputs = self._inputs(watch.backend, arrays)
        key = (*[(a.shape, a.dtype) for a in inputs], get_precision(), get_winograd(), watch.modes)
        if (replay := self._replays.get(key)) is None:
            replay = self._replays[key] = self._capture(watch.backend, inputs)
            while len(self._replays) > PLANS:
                self._replays.popitem(last=False)
        elif replay is not self._last:
            self._replays.move_to_end(key)
        self._last = replay
        return replay, inputs

    def _tensors(self) -> list[Tensor]:
        """What outlives a step: the model's parameters and buffers, and what is trained beside them."""
        trained = self.optimizer.params if self.optimizer is not None else []
        return [*(t for _, t in self.model.named_tensors()), *trained]

    def _capture(self, be: Backend, inputs: tuple[Array, ...]) -> Replay:
        names = self._names(len(inputs))
        tape, state = recorder(be), random.get_state()
        try:
            with recorded_tensors(self._tensors(), self.model, tape):
                symbols = [tape.enter(a, "input", name) for a, name in zip(inputs, names, strict=True)]
                results = self._step(tape, symbols)
        except BackendError as error:
            raise UnsupportedError(_NO_OTHER_TENSORS) from error
        finally:
            random.set_state(state)
        entered = tuple(s.value for s in symbols)
        for value in entered:
            value.array = None
        plan = Plan(tape.calls, entered, tuple(s.value for s in results))
        if self.frozen:
            fold_batch_norm(plan)
        fuse(plan, be)
        _name_algorithms(plan, be, self.frozen)
        return Replay(plan, be, list(tape.seeds.values()), frozen=self.frozen)

    def _names(self, count: int) -> list[str]:
        """The names of a call's arrays, after a look whether the model takes so many."""
        labels = [] if self.loss is None else ["labels"]
        inputs = range(count - len(labels))
        forward = inspect.signature(self.model.forward)
        try:
            forward.bind(*inputs)
        except TypeError:
            kind = "inference" if self.loss is None else "a training step"
            raise ArgumentError(
                f"compile: {kind} of {type(self.model).__name__} is called with "
                f"({', '.join([*forward.parameters, *labels])}), got {count} arrays"
            ) from None
        return [*(f"x{i}" if i else "x" for i in inputs), *labels]

    def _step(self, tape: Recorder, symbols: list[Symbol]) -> list[Symbol]:
        """Run the model once on symbols; returns those of the results: loss and scores, or the output alone."""
        tensors = [Tensor(symbol, tape) for symbol in symbols]
        if self.loss is None:
            with no_grad():
                return [_one_tensor(self.model(*tensors)).data]
        tape.phase = "forward"
        *inputs, labels = tensors
        scores = _one_tensor(self.model(*inputs))
        loss = _one_tensor(self.loss(scores, labels))
        if self.optimizer is not None:
            tape.phase = "backward"
            loss.backward()
            tape.phase = "update"
            self._note_update(tape, self.optimizer)
        return [loss.data, scores.data]

    @staticmethod
    def _note_update(tape: Recorder, optimizer: Optimizer) -> None:
        """The optimizer's own update, called again at every run so that its learning rate and step count are fresh."""
        trained = [(i, p) for i, p in enumerate(optimizer.params) if p.grad is not None]
        if not trained:
            raise ArgumentError(
                f"compile: the loss depends on none of the parameters of {type(optimizer).__name__}; "
                f"was it made from this model's parameters()?"
            )
        params = [p.data.value for _, p in trained]
        grads = [p.grad.data.value for _, p in trained if p.grad is not None]
        state = {slot: [arrays[i] for i, _ in trained] for slot, arrays in optimizer.state.items()}
        tape.calls.append(Call("update", (params, grads), (), {"optimizer": optimizer, "state": state}, "update"))


def compile(
    model: Module,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    *,
    frozen: bool = False,
) -> Compiled:
    """The model as a compiled function of arrays, as many as its forward takes.

    compile(model, loss=..., optimizer=...) gives `step`: `value = step(x, labels)` runs forward, loss, backward and
    update, and returns the loss. compile(model) gives `predict`: `y = predict(x)`. Gradients are not left in `.grad`.

    frozen: for inference, the promise that parameters and buffers keep their values. What they alone decide (filters in
    the order in which kernels read them, with the batch normalisation after them folded in) is computed with the first
    prediction of each input shape, takes memory of its own, and is used again in all others: small batches gain. After
    a change of values in place (`load_state_dict`, a training step) call `predict.refresh()`; arrays that are replaced
    as a whole are noticed as ever. The gpu backend folds, and packs filters at every run.

    Raises (at the first call):
        UnsupportedError: the model's forward looks at values of its arrays, which a plan cannot.
    """
    if frozen and loss is not None:
        raise ArgumentError("compile: frozen=True is for inference, whose weights stay as they are: leave the loss out")
    if optimizer is not None and loss is None:
        raise ArgumentError("compile: a training step needs a loss beside the optimizer")
    if not isinstance(model, Module) or not (loss is None or callable(loss)):
        raise ArgumentError(f"compile: takes a model and a loss to call, got {model!r:.40} and {loss!r:.40}")
    if isinstance(loss, type):
        raise ArgumentError(f"compile: the loss is a class: write {loss.__name__}(), with parentheses")
    if not isinstance(optimizer, Optimizer | None):
        raise ArgumentError(f"compile: optimizer must be one of fc.optim, made of parameters, got {optimizer!r:.60}")
    if not model.parameters():
        raise ArgumentError("compile: the model has no parameters")
    return Compiled(model, loss, optimizer, frozen=frozen)


def _on(be: Backend, a: Any) -> Array:
    """An input as an array of the backend."""
    if isinstance(a, Tensor):
        return a.data if a.backend is be else be.asarray(a.data)
    return be.asarray(a)


def _one_tensor(y: Any) -> Tensor:
    """What a model or a loss returned."""
    if not isinstance(y, Tensor):
        raise UnsupportedError(f"compile: the model and the loss must return one tensor each, got {type(y).__name__}")
    return y


@contextmanager
def recorded_tensors(tensors: list[Tensor], model: Module, tape: Recorder) -> Iterator[None]:
    """Inside this block the tensors are symbols on the recorder, without gradients; then as they were before."""
    names = {id(t): name for name, t in model.named_tensors()}
    before = [(t, t.data, t.backend, t.grad) for t in {id(t): t for t in tensors}.values()]
    try:
        for t, data, _, _ in before:
            role: Role = "buffer" if isinstance(t, Buffer) else "parameter"
            t.data, t.backend, t.grad = tape.enter(data, role, names.get(id(t), "")), tape, None
        yield
    finally:
        for t, data, backend, grad in before:
            t.data, t.backend, t.grad = data, backend, grad


def _name_algorithms(plan: Plan, be: Backend, frozen: bool) -> None:
    """Write beside each convolution which algorithm the backend takes, and why."""
    fixed = plan.fixed() if frozen else set()
    for call in plan.calls:
        if call.op in ("conv2d_forward", "conv2d_backward_data", "conv2d_backward_weight"):
            direction = call.op.removeprefix("conv2d_")
            candidates = be.explain(call.geometry, direction, fixed=frozen and call.relies_on(fixed))
            chosen = next(c for c in candidates if not c.declined)
            call.algorithm = f"{chosen.name}: {chosen.reason}"
        elif call.op.startswith("conv2d_pool"):
            call.algorithm = "fused: convolution, activation and pooling in one pass"
