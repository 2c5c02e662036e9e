"""What a plan can leave out: calls whose result nobody reads, and passes over memory that another call can do."""

from __future__ import annotations

from .plan import Call, Plan, Value

_WITH_EPILOGUE = ("conv2d_forward", "linear_forward")


def fuse(plan: Plan) -> None:
    """Shorten `plan` in place; the results stay the same, bit for bit."""
    drop_unread(plan)
    activate_in_epilogue(plan)


def drop_unread(plan: Plan) -> None:
    """Remove calls of which no result is read: nobody asked for that gradient."""
    needed = {value.owner for value in plan.results}
    kept: list[Call] = []
    for call in reversed(plan.calls):
        if call.phase == "update" or any(v is not None and v in needed for v in call.outputs):
            kept.append(call)
            needed.update(value.owner for value in call.values())
    plan.calls[:] = reversed(kept)


def activate_in_epilogue(plan: Plan) -> None:
    """conv2d or linear followed by its activation: one call, the value is activated before it is stored."""
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


def _replaced(outputs: tuple[Value | None, ...], old: Value, new: Value | None) -> tuple[Value | None, ...]:
    return tuple(new if v is old else v for v in outputs)
