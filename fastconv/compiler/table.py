"""A plan, and what its calls cost in time, as tables to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plan import Call, Plan

if TYPE_CHECKING:
    from rich.table import Table

    from .profile import Profile


def plan_table(plan: Plan) -> Table:
    """One row a call: phase, what it does, results, parameters, multiplications, bytes, and why it runs as it does."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", show_footer=True)
    table.add_column("phase", footer="total")
    table.add_column("call", footer=f"{len(plan.calls)} calls")
    table.add_column("results")
    table.add_column("parameters", justify="right", footer=_count(plan.parameters))
    table.add_column("multiplications", justify="right", footer=_count(plan.multiplications))
    table.add_column("bytes", justify="right")
    table.add_column("algorithm", overflow="fold")
    for call in plan.calls:
        counted = call.phase != "update"
        numbers = (call.parameters if counted else 0, call.multiplications, call.bytes if counted else 0)
        table.add_row(call.phase, call.describe(), _shapes(call), *map(_count, numbers), call.algorithm)
    table.caption = (
        f"memory: one block of {plan.arena_bytes:,} bytes, where separate arrays would take {plan.unshared_bytes:,}"
    )
    return table


def profile_table(profile: Profile) -> Table:
    """One row a call: median time, share of the step, GFLOP/s and GB/s."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", show_footer=True)
    table.add_column("phase", footer="total")
    table.add_column("call")
    table.add_column("us", justify="right", footer=f"{profile.total * 1e6:.1f}")
    table.add_column("share", justify="right")
    table.add_column("GFLOP/s", justify="right")
    table.add_column("GB/s", justify="right")
    for row in profile.rows:
        flops = f"{2 * row.call.multiplications / row.seconds / 1e9:.1f}" if row.call.multiplications else ""
        table.add_row(
            row.call.phase, row.call.describe(), f"{row.seconds * 1e6:.1f}", f"{row.seconds / profile.total:.1%}",
            flops, f"{row.call.bytes / row.seconds / 1e9:.1f}",
        )  # fmt: skip
    return table


def _shapes(call: Call) -> str:
    shapes = ("x".join(map(str, v.shape)) or "1" for v in call.outputs if v is not None)
    return ", ".join(shapes) or "in place"


def _count(n: int) -> str:
    return f"{n:,}" if n else "-"
