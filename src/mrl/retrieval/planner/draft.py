"""Draft: what was planned, and the index that is built for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mrl.errors import MrlError
from mrl.nesting import Nesting
from mrl.retrieval.building import BuildSpec, Progress, silent
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Scan
from mrl.retrieval.index import Index
from mrl.retrieval.keeping import Begun, is_new
from mrl.retrieval.layout import Layout
from mrl.retrieval.leading import Leading
from mrl.retrieval.plan import REFERENCE, Plan
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import Point
from mrl.retrieval.planner.timing import with_times
from mrl.retrieval.planner.trial import median_seconds
from mrl.retrieval.rows import Batch, Rows


@dataclass(frozen=True, eq=False)
class Draft:
    """What was planned, and what it takes to build it.

    planned: to be kept beside the index. Its exact search and its scans were timed as bare products with the rows;
    `add` has the times of the index's own in their place. turn: the map of the engine, or None. made: FAISS's index of
    all rows, in order, where that was built while planning. asked: (q, width) queries to time these by.
    """

    planned: Planned
    turn: Leading | None
    made: Any = None
    asked: Floats | None = None

    def layout(self, width: int) -> Layout:
        """Cuts and encodings that the ready plans read."""
        return layout_of(self._ready(), width)

    def build(self, path: str | Path, rows: Rows, progress: Progress = silent) -> Index:
        """An index of the rows that were planned for, with the engine of the ready plans and what was planned.

        The engine that was built while planning is taken if these are the same rows in the same order.
        """
        hashed = hashlib.sha256()
        source = rows if self.made is None else _hashing(rows, hashed)
        index = Index.build(path, source, BuildSpec(self.layout(rows.card.width)), progress)
        whole = replace(self, made=self.made if hashed.hexdigest() == self.planned.digest else None)
        whole.add(index, Begun.at(index.snapshot), progress)
        return index

    def add(self, index: Index, begun: Begun, progress: Progress = silent) -> None:
        """Build the engine of the ready plans, if any has one, in an index of the rows that were planned for, time its
        exact search and its scans, and keep what was planned.

        begun: the index when they were read. What was built while planning is taken if nothing was changed since; else
        the engine is built of the rows that there are now, and the promise counts the changes.
        """
        with index.writing():
            new, first = False, self._engine()
            if first is not None:
                (stage, *_), now = first.stages, index.snapshot
                same = now.folder.number == begun.number and now.positions == now.rows
                new = is_new(now.contents, stage.dim, stage.engine, first.map)
                made = self.made if same else None
                index.add_engine(stage.dim, stage.engine, self.turn, progress=progress, made=made)
            index.keep_planned(self._timed(index), at=begun.changes, built=new)

    def _engine(self) -> Plan | None:
        """A plan that begins with the engine to be built; None where all that are ready scan."""
        return next(filter(_engine, self._ready()), None)

    def _timed(self, index: Index) -> Planned:
        """What was planned, with the times that the index takes for an exact search and for scans."""
        if self.asked is None or not index.refresh().rows:
            return self.planned
        points = (point for point in self.planned.points if point.ready and not _engine(point.plan))
        return with_times(self.planned, {str(point): self._ms(index, point) for point in points})

    def _ms(self, index: Index, point: Point) -> float:
        def search(query: Floats) -> None:
            index.search(query, self.planned.terms.k, plan=point.plan, exact=point.plan is None)

        search(self.asked[0])  # type: ignore[index]
        return median_seconds(search, self.asked) * 1e3  # type: ignore[arg-type]

    def _ready(self) -> list[Plan]:
        """All that begin with an engine begin with the same one: only its plans were tested, and scans."""
        return [point.plan for point in self.planned.points if point.plan is not None and point.ready]


def _engine(plan: Plan | None) -> bool:
    """Whether it begins with one that has to be built."""
    return plan is not None and not isinstance(plan.stages[0].engine, Scan)


def layout_of(plans: Iterable[Plan], width: int) -> Layout:
    """Cuts and encodings that plans read, each encoding as far as any reads it."""
    stages = [stage for plan in plans for stage in plan.stages[bool(plan.map) :]]
    beside: dict[str, int] = {}
    for stage in stages:
        if isinstance(stage.engine, Scan) and stage.encoding != REFERENCE:
            beside[stage.encoding] = max(stage.dim, beside.get(stage.encoding, 0))
    cuts = {stage.dim for stage in stages} | {width}
    return Layout.of(Nesting(tuple(sorted(cuts))), beside=dict(sorted(beside.items())))


def reads(layout: Layout, plan: Plan) -> bool:
    """Whether a store of this layout has all that a scan's plan reads."""
    try:
        for stage in plan.stages:
            layout.reading(stage.dim, stage.encoding)
    except MrlError:
        return False
    return True


def _hashing(rows: Rows, hashed: Any) -> Rows:
    """The same rows, of which `hashed` has taken all, as `material.digest` does, once they are read."""

    def batches() -> Iterator[Batch]:
        for batch in rows.batches():
            hashed.update(np.ascontiguousarray(batch.vectors, np.float32).data)
            yield batch

    return replace(rows, batches=batches)
