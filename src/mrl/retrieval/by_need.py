"""Search by need: a recall, a tolerance or a budget, answered by the best plan that was planned for this index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, TypedDict

from mrl.errors import InputError
from mrl.retrieval.engine import integer
from mrl.retrieval.results import Results

if TYPE_CHECKING:
    from mrl.retrieval.plan import Plan
    from mrl.retrieval.planner.planned import Planned
    from mrl.retrieval.planner.points import Point
    from mrl.retrieval.snapshot import Snapshot


ANSWERS_KEPT = 64  # by a snapshot


class Need(TypedDict, total=False):
    """What a search is asked for instead of a plan; at most one of recall and tolerance, any budgets otherwise.

    recall: at least so much of the exact search's rows on average. tolerance: at most so much of the planned measure
    lost on average. budget_ms: of one query alone, as it was measured. budget_bytes: of the memory that it reads from.
    """

    recall: float
    tolerance: float
    budget_ms: float
    budget_bytes: float


@dataclass(frozen=True)
class Answer:
    """plan: to search by, None for the exact search. promise: what is known of it, in words, or empty. notes: why the
    promise does not apply."""

    plan: Plan | None
    promise: str
    notes: tuple[str, ...]

    def told(self, found: Results) -> Results:
        """The results, with what is promised of them."""
        return replace(found, promise=self.promise, notes=self.notes) if self.promise or self.notes else found


def check_one(exact: bool, plan: Any, need: Need) -> None:
    """InputError unless one way to search was given."""
    given = [*(["exact"] if exact else []), *(["plan"] if plan is not None else []), *(["need"] if need else [])]
    if len(given) > 1:
        named = [*given[: -1 if need else None], *need]
        raise InputError(f"a search is exact, by a plan, or by need, got {', '.join(named)}; leave all but one out")


def answer(snapshot: Snapshot, need: Need, k: int, *, filtered: bool) -> Answer:
    """The cheapest plan that gives k rows and surely keeps a recall or a tolerance; within a budget the best.

    filtered: whether only some rows may be found, of which nothing was measured. The same need is answered once a
    snapshot. InputError where the index was not planned, where nothing on its frontier will do, and for needs that
    contradict each other.
    """
    key = (*need.items(), *map(type, need.values()), k, filtered)  # a truth value is no number, and equal to one
    try:
        if (known := snapshot.answers.get(key)) is not None:
            found: Answer = known
            return found
    except TypeError:  # what cannot be looked up is no number either, and refused
        pass
    found = _answer(snapshot, need, integer("k", k, 1), filtered=filtered)
    if len(snapshot.answers) >= ANSWERS_KEPT:
        snapshot.answers.clear()
    snapshot.answers[key] = found
    return found


def _answer(snapshot: Snapshot, need: Need, k: int, *, filtered: bool) -> Answer:
    wanted = _checked(need)
    if (planned := snapshot.planned) is None:
        asked = ", ".join(f"{name} = {value}" for name, value in wanted.items()) or "what is wanted"
        raise InputError(
            f"{snapshot.folder.path} was not planned, so no plan is known to keep {asked}; plan it: "
            f"mrl plan {snapshot.folder.path}, or give a plan of yours"
        )
    point, level = _point(planned.giving(k), wanted)
    notes = () if point.plan is None else _notes(planned, snapshot, k, filtered=filtered)
    promise = None if notes else planned.promise_for(point, level)
    return Answer(point.plan, "" if promise is None else promise.sentence, notes)


def _checked(need: Need) -> dict[str, Any]:
    """What was given of it. InputError for what is no need, and for what is no number."""
    wanted = {name: value for name, value in need.items() if value is not None}
    if unknown := set(wanted) - set(Need.__annotations__):
        raise InputError(f"a search is asked for {', '.join(Need.__annotations__)}, got {', '.join(sorted(unknown))}")
    for name, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InputError(f"{name} must be a number, got {value!r}")
    return wanted


def stale(snapshot: Snapshot, planned: Planned) -> bool:
    """Whether more rows changed since it was planned than its promises allow."""
    return planned.stale(planned.rows, snapshot.contents.changes - snapshot.contents.planned_at)


def _point(planned: Planned, wanted: dict[str, Any]) -> tuple[Point, float | None]:
    """The point, and the level that was asked for."""
    targets = [name for name in ("recall", "tolerance") if name in wanted]
    budgets = {name: wanted[name] for name in ("budget_ms", "budget_bytes") if name in wanted}
    if len(targets) > 1 or (targets and budgets):
        raise InputError(f"a search is asked for a target or for a budget, got {', '.join(wanted)}; give one")
    if not targets:
        return planned.within(**budgets), None
    value = wanted[targets[0]]
    if targets[0] == "recall":
        return planned.at_recall(value), float(value)
    return planned.at_tolerance(value), 1 - float(value)


def _notes(planned: Planned, snapshot: Snapshot, k: int, *, filtered: bool) -> tuple[str, ...]:
    notes = []
    if filtered:
        without = "the plan was measured without a filter; an exact search is exact with one"
        notes.append(f"the promise does not apply: {without}")
    if k != planned.terms.k:
        notes.append(f"the promise does not apply: {planned.measure} was planned for, and {k} results were asked for")
    return (*notes, *stale_note(snapshot, planned))


def stale_note(snapshot: Snapshot, planned: Planned) -> tuple[str, ...]:
    """Why the promise is stale and what helps; nothing where it is not."""
    if not stale(snapshot, planned):
        return ()
    changed = snapshot.contents.changes - snapshot.contents.planned_at
    return (
        f"the promise is stale: {changed:,} rows were added, deleted or replaced since {planned.rows:,} were "
        f"planned for; plan again: mrl plan {snapshot.folder.path}",
    )
