"""What was planned, with what searches of the built index take in the place of what a bare scan of its rows took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import EXACT, Point
from mrl.retrieval.planner.terms import Terms


def with_times(planned: Planned, times: Mapping[str, float]) -> Planned:
    """The same where one query alone takes so many milliseconds at the points of these names, and what is said of that.

    The pick is again the cheapest that keeps the terms; what each plan promises stays as it was.
    """
    terms = planned.terms
    points = [replace(point, ms=times.get(str(point), point.ms)) for point in planned.points]
    said = planned.sentences
    for old, new in zip(planned.points, points, strict=True):
        said = tuple(_renewed(each, old, new, terms) for each in said)
    points.sort(key=lambda point: (point.cost(terms.objective), -point.quality))
    pick = _cheapest(points, 1 - terms.allowed)
    whole = replace(planned, points=tuple(points), pick=pick, sentences=said)
    if _name(whole) == _name(planned):
        return whole
    promise = None if whole.picked is None else whole.promise_for(whole.picked, 1 - terms.allowed)
    cost = terms.cost_text(next(point for point in points if str(point) == _name(whole)).cost(terms.objective))
    changed = f"as it was built, the index is searched cheaper otherwise: take {_name(whole)}, {cost}"
    return replace(whole, promise=promise, sentences=(*said, changed))


def _cheapest(points: Sequence[Point], level: float) -> int | None:
    """The place of the cheapest that keeps this level; None for the exact search, or nothing."""
    keeping = (place for place, point in enumerate(points) if point.ready and point.keeps(level))
    place = next(keeping, None)
    return None if place is None or points[place].plan is None else place


def _name(planned: Planned) -> str:
    return EXACT if planned.picked is None else str(planned.picked)


def _renewed(sentence: str, old: Point, new: Point, terms: Terms) -> str:
    """With the new cost where the old one stands."""
    was, now = (terms.cost_text(point.cost(terms.objective)) for point in (old, new))
    for before in (f"{EXACT} costs ", f" {EXACT}, ") if old.plan is None else (f" {old}, ",):
        sentence = sentence.replace(before + was, before + now)
    return sentence
