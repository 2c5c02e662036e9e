"""Batch normalisation with running statistics, moved into the convolution or linear layer before it.

    s (conv(x, w) + b - mean) + beta = conv(x, w s) + (b - mean) s + beta,   s = gamma / sqrt(var + eps)

A frozen plan computes the new filters and bias once, and no pass over the map is left (Jacob et al., arXiv 1712.05877,
section 3.2).
"""

from __future__ import annotations

from .plan import Call, Plan, Value

_LAYERS = ("conv2d_forward", "linear_forward")


def fold_batch_norm(plan: Plan) -> None:
    """Replace, in place, every pair of a layer and its batch normalisation of which nothing else reads the middle."""
    fixed, results = plan.fixed(), {value.owner for value in plan.results}
    makers = {v: call for call in plan.calls for v in call.outputs if v is not None}
    for norm in [call for call in plan.calls if call.op == "batch_norm_forward"]:
        x, *channels = norm.inputs
        layer = makers.get(x)
        if layer is None or layer.op not in _LAYERS or layer.options.get("activation") or x in results:
            continue
        if plan.uses()[x] == [norm] and all(v is None or v.owner in fixed for v in (*channels, *layer.inputs[1:3])):
            _fold(plan, layer, norm)


def _fold(plan: Plan, layer: Call, norm: Call) -> None:
    _, mean, var, gamma, beta = norm.inputs
    x, w, b, *geometry = layer.inputs
    calls: list[Call] = []

    def make(op: str, first: Value, second: Value | float) -> Value:
        y = Value(first.shape, first.dtype, "computed")
        calls.append(Call(op, (first, second), (y,)))
        return y

    scale = make("power", make("add", var, norm.options["eps"]), -0.5)
    scale = scale if gamma is None else make("multiply", scale, gamma)
    of_filters = Value((w.shape[0], *[1] * (len(w.shape) - 1)), w.dtype, "computed", alias=scale)
    shift = make("multiply", make("multiply", mean, -1.0) if b is None else make("subtract", b, mean), scale)
    shift = shift if beta is None else make("add", shift, beta)
    options = {name: value for name, value in norm.options.items() if name == "activation"}
    inputs = (x, make("multiply", w, of_filters), shift, *geometry)
    folded = Call(layer.op, inputs, norm.outputs, layer.options | options)
    at = plan.calls.index(norm)
    plan.calls[at : at + 1] = [*calls, folded]
    plan.calls.remove(layer)
