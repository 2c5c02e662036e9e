"""What a plan can leave out: calls whose result nobody reads, and passes over memory that another call can do."""

from __future__ import annotations

from typing import Any

from ..backends.base import Backend
from .plan import Call, Plan, Value

_WITH_EPILOGUE = ("conv2d_forward", "linear_forward", "batch_norm_forward")


def fuse(plan: Plan, be: Backend) -> None:
    """Shorten `plan` in place, for `be`; the results stay the same, bit for bit."""
    drop_unread(plan)
    activate_in_epilogue(plan)
    pool_in_epilogue(plan, be)
    flatten_in_epilogue(plan, be)


def drop_unread(plan: Plan) -> None:
    """Remove calls of which no result is read, such as a gradient that nobody asked for."""
    needed = {value.owner for value in plan.results}
    kept: list[Call] = []
    for call in reversed(plan.calls):
        if call.changes_state or any(v is not None and v in needed for v in call.outputs):
            kept.append(call)
            needed.update(value.owner for value in call.values())
    plan.calls[:] = reversed(kept)


def activate_in_epilogue(plan: Plan) -> None:
    """conv2d, linear or batch norm followed by its activation: one call, the value is activated before it is stored."""
    uses, results = plan.uses(), {value.owner for value in plan.results}
    makers = {v: call for call in plan.calls for v in call.outputs if v is not None}
    for call in list(plan.calls):
        if call.op != "activation_forward" or call.options.get("slope", 0.01) != 0.01:
            continue
        kind, x = call.inputs
        maker = makers.get(x)
        if maker is None or maker.op not in _WITH_EPILOGUE or maker.options.get("activation") or x in results:
            continue
        if uses[x] == [call] and x.alias is None:
            maker.options = maker.options | {"activation": kind}
            maker.outputs = _replaced(maker.outputs, x, call.outputs[0])
            plan.calls.remove(call)


def pool_in_epilogue(plan: Plan, be: Backend) -> None:
    """conv2d (with its activation) followed by its pooling: one call, and one for the whole backward of the three."""
    for call in list(plan.calls):
        if call.op in ("max_pool2d_forward", "avg_pool2d_forward"):
            _fuse_pool(plan, call, be)


def _fuse_pool(plan: Plan, pool: Call, be: Backend) -> None:
    a, geometry = pool.inputs
    conv = next((c for c in plan.calls if c.op == "conv2d_forward" and c.outputs[0] is a), None)
    if conv is None or a in {value.owner for value in plan.results}:
        return
    kind, backward = pool.op[:3], _pool_backward(plan, pool, conv)
    if backward is None or be.declines_fusion(conv.geometry, geometry, kind, a.dtype) is not None:
        return
    activation = conv.options.get("activation")
    options = {"kind": kind} | ({"activation": activation} if activation else {})
    y = pool.outputs[0]
    kept = (pool.outputs[1] if kind == "max" else a) if backward else None
    forward_options = options if backward else options | {"keep": False}
    fused = Call("conv2d_pool_forward", (*conv.inputs, geometry), (y, kept), forward_options)
    plan.calls[plan.calls.index(pool)] = fused
    plan.calls.remove(conv)
    if backward:
        _fuse_pool_backward(plan, backward, (y, kept), conv, geometry, options)


def flatten_in_epilogue(plan: Plan, be: Backend) -> None:
    """A pooled map that is read as rows only, and whose gradient comes as rows: both as they are, without copies."""
    for call in list(plan.calls):
        if call.op == "conv2d_pool_forward" and be.declines_rows(call.inputs[-1]) is None:
            _flatten(plan, call)


def _flatten(plan: Plan, forward: Call) -> None:
    y, kept = forward.outputs
    assert y is not None
    readers = plan.uses().get(y, [])
    to_rows = [c for c in readers if c.op == "reshape" and len(c.inputs[1]) == 2 and c.inputs[1][0] == y.shape[0]]
    backward = [c for c in readers if c.op == "conv2d_pool_backward"]
    if len(to_rows) != 1 or len(readers) != 1 + len(backward) or y in {value.owner for value in plan.results}:
        return
    if any(value.alias is not None for call in readers for value in call.values() if value.owner is y):
        return
    rows = _only(to_rows[0])
    dropped = to_rows
    for call in backward:
        maker = next((c for c in plan.calls if call.inputs[0] in c.outputs), None)
        if maker is None or maker.op != "reshape" or plan.uses()[call.inputs[0]] != [call]:
            return
        dropped = [*dropped, maker]
        call.inputs = (maker.inputs[0], rows, *call.inputs[2:])
    forward.outputs, forward.options = (rows, kept), forward.options | {"flat": True}
    plan.calls[:] = [c for c in plan.calls if c not in dropped]


def _pool_backward(plan: Plan, pool: Call, conv: Call) -> list[Call] | None:
    """The calls that lead from the pooled gradient to dx and dw; empty without a backward, None where others join."""
    uses = plan.uses()
    a = conv.outputs[0]
    assert a is not None
    others = [c for c in uses[a] if c is not pool]
    gradients = [c for c in plan.calls if c.op == pool.op.replace("forward", "backward") and _belongs(c, pool, others)]
    if not others and not gradients:
        return []
    if len(gradients) != 1:
        return None
    chain, da = gradients, _only(gradients[0])
    if conv.options.get("activation"):
        readers = uses.get(da, [])
        if len(readers) != 1 or readers[0].op != "activation_backward" or others != readers:
            return None
        chain, da = [*chain, *readers], _only(readers[0])
    elif others:
        return None
    ends = uses.get(da, [])
    if not ends or any(c.op not in ("conv2d_backward_data", "conv2d_backward_weight") for c in ends):
        return None
    return [*chain, *ends]


def _only(call: Call) -> Value:
    """The one result of a call."""
    (value,) = call.outputs
    assert value is not None
    return value


def _belongs(gradient: Call, pool: Call, others: list[Call]) -> bool:
    """Whether `gradient` is the backward of this very pooling."""
    if pool.op.startswith("max"):
        return gradient.inputs[1] is pool.outputs[1]
    return any(c.op == "activation_backward" and c.inputs[1] is gradient.outputs[0] for c in others)


def _fuse_pool_backward(
    plan: Plan, chain: list[Call], stored: tuple[Value | None, Value | None], conv: Call, geometry: Any,
    options: dict[str, Any],
) -> None:  # fmt: skip
    x, w, _, g = conv.inputs
    weight = next((c for c in chain if c.op == "conv2d_backward_weight"), None)
    data = next((c for c in chain if c.op == "conv2d_backward_data"), None)
    dx = None if data is None else data.outputs[0]
    dw, db = (
        (Value(w.shape, w.dtype, "computed"), Value((g.OC,), w.dtype, "computed")) if weight is None else weight.outputs
    )
    fused = Call(
        "conv2d_pool_backward", (chain[0].inputs[0], *stored, x, w, g, geometry), (dx, dw, db),
        options | {"needs_dx": dx is not None}, "backward",
    )  # fmt: skip
    last = max(chain, key=plan.calls.index)
    plan.calls[plan.calls.index(last)] = fused
    for call in chain:
        if call is not last:
            plan.calls.remove(call)


def _replaced(outputs: tuple[Value | None, ...], old: Value, new: Value | None) -> tuple[Value | None, ...]:
    return tuple(new if v is old else v for v in outputs)
