"""A run of the suite as data: what was measured, on what, kept as a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import exp, log
from pathlib import Path
from typing import Any

from .measure import ONE_THREAD, Row, Timing
from .peak import Limits
from .peers import CONTESTANTS, ENGINE
from .work import GROUPS, Work

FORMAT = 1


@dataclass
class Results:
    """missing: peers that were asked for and could not take part, with the reason. errors: rows that failed.

    others: the share of the processors that went to other programs during the run, None where unknown.
    """

    machine: dict[str, Any]
    limits: Limits
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    others: float | None = None

    def peers(self) -> list[str]:
        """Those with at least one row beside ours, in the order of the report."""
        seen = {name for row in self.rows for name in row.timings} - {ENGINE}
        return [name for name in (*CONTESTANTS, ONE_THREAD) if name in seen]

    def add(self, earlier: Results) -> None:
        """Take over the rows of an earlier run that this one lacks.

        Raises:
            ValueError: it was taken on another machine or with other settings, so that the rows do not belong together.
        """
        for what in ("machine", "settings"):
            mine, theirs = ({**getattr(r, what), "date": ""} for r in (self, earlier))
            if mine != theirs:
                raise ValueError(f"results of another kind cannot be added: {what} {theirs}, here {mine}")
        have = {row.work.key for row in self.rows}
        rows = [*self.rows, *(row for row in earlier.rows if row.work.key not in have)]
        self.rows = sorted(rows, key=lambda row: list(GROUPS).index(row.work.group))
        self.limits = self.limits.better(earlier.limits)
        self.versions = earlier.versions | self.versions
        self.missing = earlier.missing | self.missing
        self.errors = [*earlier.errors, *self.errors]
        self.others = max((o for o in (self.others, earlier.others) if o is not None), default=None)

    def save(self, path: Path) -> None:
        """As JSON, one row a line."""
        head = {
            "format": FORMAT, "machine": self.machine, "limits": self.limits.as_json(), "settings": self.settings,
            "versions": self.versions, "missing": self.missing, "errors": self.errors, "others": self.others,
        }  # fmt: skip
        rows = ",\n".join(json.dumps(_row_as_json(row)) for row in self.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{json.dumps(head, indent=1)[:-2]},\n "rows": [\n{rows}\n]}}\n')

    @staticmethod
    def load(path: Path) -> Results:
        """What `save` wrote; raises ValueError for anything else."""
        data = json.loads(path.read_text())
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"{path} holds no results of this version of the suite")
        try:
            return Results(
                data["machine"], Limits.from_json(data["limits"]), data["settings"],
                [_row_from_json(row) for row in data["rows"]], data["versions"], data["missing"], data["errors"],
                data["others"],
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not complete: {error}") from error


def _row_as_json(row: Row) -> dict[str, Any]:
    timings = {
        name: {k: _rounded(v) for k, v in asdict(t).items() if v not in ("", {})} for name, t in row.timings.items()
    }
    return {"work": row.work.as_json(), "timings": timings, **({"declined": row.declined} if row.declined else {})}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {k: _rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def _row_from_json(data: dict[str, Any]) -> Row:
    timings = {name: Timing(**t) for name, t in data["timings"].items()}
    return Row(Work(**data["work"]), timings, data.get("declined", {}))


def geometric_mean(values: Iterable[float]) -> float:
    """The n-th root of the product: the mean for ratios. NaN for none."""
    logs = [log(v) for v in values]
    return exp(sum(logs) / len(logs)) if logs else float("nan")


@dataclass(frozen=True)
class ClassMean:
    """The ratios to one peer over the rows of one class: their mean, and the row where it is lowest."""

    group: str
    kind: str
    peer: str
    rows: int
    mean: float
    worst: float
    worst_row: str


def class_means(rows: Iterable[Row], peer: str) -> list[ClassMean]:
    """One for each group and class that has rows with this peer, in the order of the rows."""
    ratios: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in rows:
        ratio = row.ratio(peer)
        if ratio is not None:
            ratios.setdefault((row.work.group, row.work.kind), []).append((ratio, row.work.title))
    return [
        ClassMean(group, kind, peer, len(found), geometric_mean(r for r, _ in found), *min(found))
        for (group, kind), found in ratios.items()
    ]
