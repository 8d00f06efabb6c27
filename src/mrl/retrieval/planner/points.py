"""Point: one plan of the frontier, what it is worth and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from mrl.retrieval.plan import Plan
from mrl.retrieval.planner.terms import Objective, cost_by

EXACT = "exact search"
ROUNDING = 1e-9  # of levels such as 1 − 0.02
PROMISED, LOSES = "promised", "loses ≤"  # heading: of a recall, and of other measures


@dataclass(frozen=True)
class Point:
    """One plan of the frontier.

    plan: None is the exact search. quality: the measure's mean over the report queries, or over all of them where
    nothing was tested; low, high: its 95 % interval,
    paired with the exact search, whose mean is taken as it is. promised: 1 minus the mean loss against the exact search
    that is surely not exceeded, so a bound of recall where that is the measure; 1 for the exact search, None where
    nothing was tested. ms: the median of one query alone. qps: queries a second in batches. bytes: the memory that
    searches read from. ready: whether an index has what the plan needs. build_s: seconds that took, or would take.
    calibrated: the mean loss on the queries that gave what is promised, None where nobody kept it.
    """

    plan: Plan | None
    quality: float
    low: float
    high: float
    promised: float | None
    ms: float
    qps: float
    bytes: int
    ready: bool = True
    build_s: float = 0.0
    calibrated: float | None = None

    def __str__(self) -> str:
        return EXACT if self.plan is None else str(self.plan)

    def cost(self, objective: Objective) -> float:
        """Milliseconds of one query alone, bytes, or seconds a query in batches: the lower, the cheaper."""
        return cost_by(objective, self.ms, self.bytes, 1 / self.qps)

    def keeps(self, level: float) -> bool:
        """Whether it surely loses no more than 1 − level."""
        return self.promised is not None and self.promised >= level - ROUNDING

    def gives(self, k: int) -> bool:
        """Whether it can give so many results: the exact search always can."""
        return self.plan is None or len(self.plan.stages) == 1 or self.plan.stages[-2].keep >= k

    def cells(self, heading: str) -> dict[str, str]:
        """Its figures by the name of their column. heading: of what is promised, `PROMISED` or `LOSES`."""
        return {
            "mean": f"{self.quality:.4f}",
            "95 %": f"{self.low:.4f} … {self.high:.4f}",
            heading: "" if self.promised is None else level_text(self.promised, heading),
            "ms": f"{self.ms:.3f}",
            "queries/s": f"{self.qps:,.0f}",
            "MB": f"{self.bytes / 1e6:,.1f}",
            "build s": f"{self.build_s:.1f}",
        }

    def to_json(self) -> dict[str, Any]:
        return {**plain(self), "plan": None if self.plan is None else self.plan.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Point:
        plan = document["plan"]
        return cls(**{**document, "plan": None if plan is None else Plan.from_json(plan)})


def frontier(points: Iterable[Point], objective: Objective) -> list[Point]:
    """Cheapest first, without those that are not ready and that another outdoes: no dearer, and worth no less."""
    kept: list[Point] = []
    best = -inf
    for point in sorted(points, key=lambda point: (point.cost(objective), -point.quality)):
        if point.ready or point.quality > best:
            kept.append(point)
        best = max(best, point.quality)
    return kept


def level_text(promised: float, heading: str) -> str:
    """What is promised to four digits: 0.9872, or, as a loss, 0.0128, which is never less than it is."""
    return f"{promised:.4f}" if heading == PROMISED else f"{loss_up(1 - promised):.4f}"


def loss_up(loss: float) -> float:
    """A loss to four digits, never less."""
    return ceil(round(loss * 1e4, 6)) / 1e4


def plain(value: Any) -> dict[str, Any]:
    """The fields as they are, which is not deep: fields that need more are written by their own."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
