"""`plan`: measure, select, and say what to build."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.evaluation.judgements import Judgements
from mrl.nesting import Nesting, unit_prefix
from mrl.promise import Estimate, estimate
from mrl.retrieval import threads
from mrl.retrieval.building import BuildSpec, Progress, silent
from mrl.retrieval.index import Index
from mrl.retrieval.keeping import Begun, is_new
from mrl.retrieval.layout import Layout
from mrl.retrieval.leading import Leading, fit_leading
from mrl.retrieval.plan import Plan
from mrl.retrieval.planner import grid
from mrl.retrieval.planner.exploring import Explorer
from mrl.retrieval.planner.final import Final, exact_seconds, measured
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import Material, material, sampled
from mrl.retrieval.planner.planned import Planned, recorded
from mrl.retrieval.planner.points import EXACT, Point, frontier
from mrl.retrieval.planner.selection import Seen, Selection, check_enough, parts, selected
from mrl.retrieval.planner.telling import told
from mrl.retrieval.planner.terms import Objective, Terms, cost_by
from mrl.retrieval.planner.trial import Bench, Candidate, Trial
from mrl.retrieval.proposers import library
from mrl.retrieval.rows import Batch, Rows, spread
from mrl.vectors import Embedded
from mrl.vectors.copies import digests

Numbers = npt.NDArray[np.int64]
Told = Callable[[str], object]

NEAR, FEW, MANY = 1.2, 8, 24  # times the best cost, and how many of these are run; plans of a frontier at most
CLOSE = 0.03  # of the measure: plans with other engines are shown from so much below the terms on
LARGE, SAMPLE = 200_000, 100_000  # rows from which on ways are explored on a sample, and of how many
FITTED_ON = 8_192  # rows that the map is fitted on


@dataclass(frozen=True, eq=False)
class Draft:
    """What was planned, and what it takes to build it.

    planned: to be kept beside the index. turn: the map of the engine, or None. made: FAISS's index of all rows,
    in order, where that was built while planning.
    """

    planned: Planned
    turn: Leading | None
    made: Any = None

    def layout(self, width: int) -> Layout:
        """Cuts and encodings that the ready plans read."""
        plans = self._ready()
        cuts = {stage.dim for plan in plans for stage in plan.stages[bool(plan.map) :]} | {width}
        names = {stage.encoding for plan in plans for stage in plan.stages} - {"reference"}
        return Layout.of(Nesting(tuple(sorted(cuts))), beside=dict.fromkeys(sorted(names), width))

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
        """Build the engine of the ready plans in an index of the rows that were planned for, and keep what was planned.

        begun: the index when they were read. What was built while planning is taken if nothing was changed since; else
        the engine is built of the rows that there are now, and the promise counts the changes.
        """
        with index.writing():
            new, plans = False, self._ready()
            if plans:
                first, now = plans[0].stages[0], index.snapshot
                same = now.folder.number == begun.number and now.positions == now.rows
                new = is_new(now.contents, first.dim, first.engine, plans[0].map)
                made = self.made if same else None
                index.add_engine(first.dim, first.engine, self.turn, progress=progress, made=made)
            index.keep_planned(self.planned, at=begun.changes, built=new)

    def _ready(self) -> list[Plan]:
        """All begin with the same engine: only its plans were tested."""
        return [point.plan for point in self.planned.points if point.plan is not None and point.ready]


def _hashing(rows: Rows, hashed: Any) -> Rows:
    """The same rows, of which `hashed` has taken all, as `material.digest` does, once they are read."""

    def batches() -> Iterator[Batch]:
        for batch in rows.batches():
            hashed.update(np.ascontiguousarray(batch.vectors, np.float32).data)
            yield batch

    return replace(rows, batches=batches)


def plan(
    database: Embedded,
    queries: Embedded | None = None,
    terms: Terms | None = None,
    judgements: Judgements | None = None,
    progress: Callable[[str], object] = lambda what: None,
) -> Draft:
    """The cheapest search of these rows that keeps the terms on queries like these, on this machine.

    database: the rows, held in memory as float32. queries: none holds some rows out as queries. judgements: for nDCG
    and MRR. progress: told what is measured now.

    The engine is chosen on the tune part alone; the frontier of its plans is then tested on the calibrate part
    (`selection`) and reported on the third. InputError for what cannot be planned: too few rows or queries, a measure
    without labels or judgements; CardError for tables that do not belong together.
    """
    terms = Terms() if terms is None else terms
    progress("finding what the exact search finds")
    found = material(database, queries, terms, judgements)
    check_enough(len(found.same), int(found.same.max(initial=-1)) + 1)
    tune = tuned(found.same, terms.seed)
    way, explorer = explored(found, terms, tune, progress)
    progress(f"measuring plans with {way}")
    finals = measured(_chosen(explorer, way))
    return _draft(found, terms, explorer, way, finals)


def tuned(same: Numbers, seed: int) -> Numbers:
    """Places of the queries that the tune part will have. same: (q,) numbers that copies share."""
    part = parts(int(same.max()) + 1, seed)[0]
    return np.flatnonzero(np.isin(same, part))


def fitted_map(found: Material) -> Leading | None:
    """The leading principal axes of the rows; None where they are too narrow to gain by it."""
    width = found.vectors.shape[1]
    dims = [dim for dim in grid.dims(width) if dim < width]
    if not dims:
        return None
    sample = found.vectors[spread(len(found.vectors), FITTED_ON)]
    return fit_leading(unit_prefix(sample, width) if found.by == "cosine" else sample, dims[-1])


def explored(
    found: Material, terms: Terms, tune: Numbers, progress: Told, sizes: tuple[int, int] = (LARGE, SAMPLE)
) -> tuple[Way, Explorer]:
    """The best way, and the explorer that has its trial over all rows.

    tune: places of the queries that are looked at. sizes: from how many rows on a sample is explored, and of how many.
    """
    large, sample = sizes
    turn = fitted_map(found)
    spaces = [False, True] if turn is None or len(found.card.nesting) > 1 else [True]
    spaces = [False] if turn is None else spaces
    whole = Bench.of(found, turn)
    if len(found.vectors) < large:
        explorer = Explorer(whole, terms, tune, progress)
        return explorer.explore(spaces), explorer
    small, asked = sampled(found, tune, terms, spread(len(found.vectors), sample))
    way = Explorer(Bench.of(small, turn), asked, np.arange(len(tune)), progress).explore(spaces)
    explorer = Explorer(whole, terms, tune, progress)
    explorer.look(way)
    return way, explorer


def _chosen(explorer: Explorer, way: Way) -> list[tuple[Candidate, Trial]]:
    """The way's frontier, its plans that may be the cheapest, and the frontier of all other ways."""
    mine = explorer.candidates[way]
    others = [each for other, some in explorer.candidates.items() if other != way for each in some]
    terms = explorer.terms
    objective = terms.objective
    likely = sorted(mine, key=lambda c: (explorer.short(c), c.cost(objective)))
    near = [c for c in likely if c.cost(objective) <= NEAR * likely[0].cost(objective)][:FEW]
    good = [each for each in others if explorer.quality(each) >= 1 - terms.allowed - CLOSE]
    chosen = {c.plan: c for c in (*explorer.front(mine)[-MANY:], *near, *explorer.front(good)[-FEW:])}
    return [(c, explorer.trials[c.way]) for c in chosen.values()]


def _draft(found: Material, terms: Terms, explorer: Explorer, way: Way, finals: list[Final]) -> Draft:
    mine = [each for each in finals if each.candidate.way == way]
    rest = [each for each in finals if each.candidate.way != way]
    exact = _exact(found)
    seen = _seen(found, terms, mine, exact)
    selection = selected(seen, terms, found.same)
    points = frontier(_points(selection, mine, rest, exact), terms.objective)
    wanted = None if selection.pick == seen.exact else mine[selection.pick].candidate.plan
    planned = _planned(found, terms, selection, told(selection, seen, terms), points)
    if wanted is not None:
        pick = next(i for i, point in enumerate(points) if point.plan == wanted)
        planned = replace(planned, pick=pick, promise=planned.promise_for(points[pick], 1 - terms.allowed))
    trial = explorer.trials[way]
    turn = trial.bench.turn if way.mapped else None
    return Draft(planned, turn and Leading.of(turn, way.dim), trial.proposer.index if found.whole else None)


def _planned(
    found: Material, terms: Terms, selection: Selection, said: tuple[str, ...], points: Sequence[Point]
) -> Planned:
    """Without its pick."""
    return Planned(
        terms=terms,
        measure=found.worth.name,
        points=tuple(points),
        pick=None,
        promise=None,
        sentences=(*said, *found.notes),
        queries=selection.queries,
        data=found.data,
        rows=found.whole_of,
        digest=found.digest,
        full=selection.full,
        held_out=found.held_out,
        threads=threads.count(),
        about=machine(),
        asked=recorded(digests(found.queries)),
    )


@dataclass(frozen=True)
class _Exact:
    """The exact scan: milliseconds of one query alone, seconds of one in a batch, bytes."""

    ms: float
    seconds: float
    bytes: int

    def cost(self, objective: Objective) -> float:
        return cost_by(objective, self.ms, self.bytes, self.seconds)


def _exact(found: Material) -> _Exact:
    single, batch = exact_seconds(found.vectors, found.queries)
    rows, width = found.vectors.shape
    return _Exact(single * 1e3, batch, grid.chain_bytes(("float32",), rows, width))


def _seen(found: Material, terms: Terms, finals: Sequence[Final], exact: _Exact) -> Seen:
    """The way's plans, and the exact search as the last."""
    full = np.asarray(found.worth.full, np.float64)
    values = np.stack([*(each.values for each in finals), full])
    costs = np.array([*(each.cost(terms.objective) for each in finals), exact.cost(terms.objective)])
    names = (*(str(each.candidate.plan) for each in finals), EXACT)
    return Seen(full, values, costs, names, len(finals))


def _points(selection: Selection, mine: Sequence[Final], rest: Sequence[Final], exact: _Exact) -> list[Point]:
    """Those that were tested, which the index can run, and those of other ways, which were only measured."""
    points = []
    for figure in selection.figures:
        if figure.number == len(mine):
            points.append(Point(None, *figure.quality, figure.promised, exact.ms, 1 / exact.seconds, exact.bytes))
        else:
            points.append(_point(mine[figure.number], figure.quality, figure.promised))
    return points + [_point(one, estimate(one.values), None) for one in rest]


def _point(one: Final, quality: Estimate, promised: float | None) -> Point:
    plan, ready = one.candidate.plan, promised is not None
    return Point(plan, *quality, promised, one.ms, one.qps, one.candidate.bytes, ready, one.build_s)


def machine() -> dict[str, str]:
    """Where times were measured, and with what."""
    import numba

    faiss = library()
    versions = {"numpy": np.__version__, "numba": numba.__version__, "faiss": faiss.__version__}
    return {"machine": platform.processor() or platform.machine(), "cores": str(os.cpu_count()), **versions}
