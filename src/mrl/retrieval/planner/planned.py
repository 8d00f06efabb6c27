"""Planned: the plans that were worth keeping, what each costs and promises, and the one that was picked."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import absent, read_json, write_json
from mrl.errors import InputError
from mrl.options import check_number
from mrl.promise import Estimate, Parts, Promise
from mrl.promise.promise import STALE
from mrl.retrieval.planner import table
from mrl.retrieval.planner.points import LOSES, PROMISED, Point, level_text, loss_up, plain
from mrl.retrieval.planner.terms import Terms, check_term
from mrl.vectors.copies import Digests

KIND = "mrl-planned"


@dataclass(frozen=True)
class Planned:
    """What the planner found.

    terms: what was asked. measure: its name. points: cheapest first, the exact search among them: all that were tested,
    which serve other needs even where another outdoes them in both cost and quality, and of those that were only
    measured, and not built, what nothing outdid. pick: the place of the cheapest that keeps the terms; None where none
    is known to but the exact search. promise: of the pick; None for the exact search. sentences: what is to be said.
    queries: of each part. full: the measure's mean at the exact search, on the report part. data, rows, digest: the
    vectors' name, how many there were, and the digest of what they were. held_out: whether the queries were rows held
    out. threads: of the timings. about: machine and versions. change: the share of rows that may change before promises
    are stale. asked: which queries were planned with, as `recorded` writes their digests.
    """

    terms: Terms
    measure: str
    points: tuple[Point, ...]
    pick: int | None
    promise: Promise | None
    sentences: tuple[str, ...]
    queries: Parts
    data: str
    rows: int
    digest: str
    full: float = 1.0
    held_out: bool = False
    threads: int = 1
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    change: float = STALE
    asked: str = ""

    def __post_init__(self) -> None:
        points = sorted(self.points, key=lambda point: (point.cost(self.terms.objective), -point.quality))
        if list(self.points) != points or not points:
            raise InputError("the points of what was planned stand in order, cheapest first, and there is at least one")
        if self.pick is not None and not 0 <= self.pick < len(points):
            raise InputError(f"the pick is the place of one of {len(points)} points, got {self.pick}")

    @property
    def picked(self) -> Point | None:
        return None if self.pick is None else self.points[self.pick]

    def knows(self, queries: Digests) -> npt.NDArray[np.bool_]:
        """(q,): which of these queries, by their digests (`vectors.copies`), were planned with."""
        return np.isin(queries, np.frombuffer(b64decode(self.asked), np.uint64))

    def giving(self, k: int) -> Planned:
        """The same without what cannot give k results. InputError where that leaves nothing."""
        points = tuple(point for point in self.points if point.gives(k))
        if not points:
            raise InputError(f"nothing that was planned gives k = {k} results; ask for fewer, or search exactly")
        return self if len(points) == len(self.points) else replace(self, points=points, pick=None)

    def at_recall(self, recall: float) -> Point:
        """The cheapest ready point that surely keeps this recall. InputError where none does."""
        check_term("recall", recall)
        if self.terms.measure != "recall":
            raise InputError(
                f"this was planned for {self.measure}, so no recall is known; ask for a tolerance of {self.measure}, "
                "or plan for recall"
            )
        return self._keeping(recall, f"{self.measure} ≥ {recall:g}")

    def at_tolerance(self, tolerance: float) -> Point:
        """The cheapest ready point that surely loses no more of the measure. InputError where none does.

        tolerance: 0 is the exact search alone.
        """
        check_term("tolerance", tolerance)
        return self._keeping(1 - tolerance, f"{self.measure} within {tolerance:g}")

    def within(self, *, budget_ms: float | None = None, budget_bytes: float | None = None) -> Point:
        """The best of the ready points that cost no more than each budget given: which promises most, or is worth most.

        InputError without a budget, and where nothing fits.
        """
        if budget_ms is None and budget_bytes is None:
            raise InputError("there is no budget to keep within; give budget_ms, budget_bytes or both")
        for name, budget in (("budget_ms", budget_ms), ("budget_bytes", budget_bytes)):
            check_term(name, 1.0 if budget is None else budget)
        ms, most = budget_ms or float("inf"), budget_bytes or float("inf")
        fitting = [point for point in self._ready() if point.ms <= ms and point.bytes <= most]
        if not fitting:
            raise InputError(self._beyond(budget_ms, budget_bytes))
        return max(fitting, key=lambda point: (point.promised or 0.0, point.quality))

    def promise_for(self, point: Point, level: float | None = None) -> Promise | None:
        """What is promised of a point at this level, or at the best that it keeps; None where nothing is.

        level: 1 minus the tolerance, the recall that is asked for where that is the measure. Its best is promised of a
        point that was taken for its place or its costs; of one that `at_recall` gave, say the level that was asked.
        """
        kept = point.promised if level is None else level
        if point.plan is None or kept is None or not point.keeps(kept) or kept <= 0:
            return None
        return Promise(
            subject=str(point.plan),
            measure=self.measure,
            tolerance=min(max(loss_up(1 - kept), 1e-4), 1.0),
            confidence=self.terms.confidence,
            lost=Estimate(self.full - point.quality, self.full - point.high, self.full - point.low),
            queries=self.queries,
            data=self.data,
            rows=self.rows,
            digest=self.digest,
            change=self.change,
            calibrated=point.calibrated,
        )

    def stale(self, rows_now: int, changed: int = 0) -> bool:
        """Whether more than the stated share of the rows changed since. See `Promise.stale`."""
        check_number("the number of rows now", rows_now, 0, float("inf"))
        check_number("the number of changed rows", changed, 0, float("inf"))
        return max(changed, abs(rows_now - self.rows)) > self.change * self.rows

    def table(self) -> list[str]:
        """Lines for a terminal: the ready plans about the pick, which is starred, and how many more there are."""
        return table.lines(self.points, self.pick, self.terms, self.measure)

    def __str__(self) -> str:
        """What is to be said, a sentence a line, and the table."""
        return "\n".join([*self.sentences, "", *self.table()])

    def to_json(self) -> dict[str, Any]:
        return {
            **plain(self),
            "terms": self.terms.to_json(),
            "points": [point.to_json() for point in self.points],
            "promise": self.promise and self.promise.to_json(),
            "queries": self.queries._asdict(),
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Planned:
        """InputError for what is nothing planned."""
        try:
            read = {name: kind(document[name]) for name, kind in _KINDS.items() if document[name] is not None}
            return cls(**{**document, **read})
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(
                f"cannot read what was planned: {error}; give a file that `mrl plan --out` wrote"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write a sealed JSON file, atomically. ExistsError if something is there."""
        absent(Path(path))
        write_json(Path(path), self.to_json(), KIND)

    @classmethod
    def load(cls, path: str | Path) -> Planned:
        """Read it back. StorageError, DamagedError if it changed, InputError for what is nothing planned."""
        return cls.from_json(read_json(Path(path), KIND))

    def _ready(self) -> list[Point]:
        return [point for point in self.points if point.ready]

    def _keeping(self, level: float, asked: str) -> Point:
        ready, terms = self._ready(), self.terms
        for point in ready:
            if point.keeps(level) and (level < 1 or point.plan is None):  # nothing else loses nothing, whoever asks
                return point
        tested = [point for point in ready if point.promised is not None]
        if not tested:
            raise InputError(f"no plan that is ready promises anything, and {asked} was asked; plan again")
        best = max(tested, key=lambda point: point.promised or 0.0)
        raise InputError(
            f"no plan that is ready promises {asked}; the best promises {self._promised(best)}: {best}, "
            f"{terms.cost_text(best.cost(terms.objective))}; ask for no more, or search exactly"
        )

    def _promised(self, point: Point) -> str:
        """0.9810 of recall, `within 0.0190` of other measures."""
        if self.terms.measure == "recall":
            return level_text(point.promised or 0.0, PROMISED)
        return f"within {level_text(point.promised or 0.0, LOSES)}"

    def _beyond(self, budget_ms: float | None, budget_bytes: float | None) -> str:
        """That nothing fits, and what the cheapest costs."""
        budgets = [
            *([f"{budget_ms:g} ms"] if budget_ms is not None else []),
            *([f"{budget_bytes:,.0f} bytes"] if budget_bytes is not None else []),
        ]
        if not (ready := self._ready()):
            return f"no plan is ready, within {' and '.join(budgets)} or without; build the index for these plans"
        fast, small = min(ready, key=lambda point: point.ms), min(ready, key=lambda point: point.bytes)
        named = f"{fast}, takes {fast.ms:.3g} ms and {fast.bytes:,} bytes"
        known = f"the fastest, {named}, the smallest, {small}, {small.ms:.3g} ms and {small.bytes:,} bytes"
        if fast.bytes == small.bytes:
            known = f"the fastest and smallest, {named}"
        return f"no plan that is ready fits within {' and '.join(budgets)}; {known}; give more"


def recorded(queries: Digests) -> str:
    """Digests of queries, each once, 8 bytes each, in base64."""
    return b64encode(np.unique(queries).tobytes()).decode()


_KINDS: dict[str, Callable[[Any], Any]] = {
    "terms": lambda terms: Terms(**terms),
    "points": lambda points: tuple(map(Point.from_json, points)),
    "promise": Promise.from_json,
    "sentences": tuple,
    "queries": lambda sizes: Parts(**sizes),
}
