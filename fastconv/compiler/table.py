"""A plan as a table to read."""

from __future__ import annotations

from typing import Any

from .plan import Call, Plan


def plan_table(plan: Plan) -> str:
    """One line a call: phase, what it does, result shapes, parameters, multiplications, bytes; totals below."""
    rows = [("phase", "call", "result", "parameters", "multiplications", "bytes")]
    rows += [_row(call) for call in plan.calls]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = [
        "  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*(line.rstrip() for line in lines), "", _totals(plan)])


def _row(call: Call) -> tuple[str, str, str, str, str, str]:
    shapes = " ".join("x".join(map(str, v.shape)) or "()" for v in call.outputs if v is not None)
    counted = call.phase != "update"
    return (
        call.phase, call.describe(), shapes or "in place", _count(call.parameters if counted else 0),
        _count(call.multiplications), _count(call.bytes if counted else 0),
    )  # fmt: skip


def _totals(plan: Plan) -> str:
    parameters = {v.owner for call in plan.calls for v in call.values() if v.owner.role == "parameter"}
    return (
        f"{len(plan.calls)} calls, {sum(v.size for v in parameters):,} parameters, "
        f"{plan.multiplications:,} multiplications; one block of {plan.arena_bytes:,} bytes "
        f"where separate arrays would take {plan.unshared_bytes:,}"
    )


def _count(n: int) -> str:
    return f"{n:,}" if n else ""


def _aligned(cell: Any, width: int, column: int) -> str:
    return str(cell).ljust(width) if column < 3 else str(cell).rjust(width)
