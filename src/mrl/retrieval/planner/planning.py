"""`plan`: measure, select, and say what to build."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.nesting import unit_prefix
from mrl.promise import Estimate, Parts, estimate
from mrl.retrieval import threads
from mrl.retrieval.leading import Leading, fit_leading
from mrl.retrieval.planner import grid
from mrl.retrieval.planner.draft import Draft, layout_of, reads
from mrl.retrieval.planner.exploring import Explorer
from mrl.retrieval.planner.final import Final, exact_seconds, measured
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import Material, held_of, material, sampled
from mrl.retrieval.planner.planned import Planned, recorded
from mrl.retrieval.planner.points import EXACT, Point, frontier
from mrl.retrieval.planner.selection import Seen, Selection, check_enough, parts, selected
from mrl.retrieval.planner.telling import told
from mrl.retrieval.planner.terms import Objective, Terms, cost_by
from mrl.retrieval.planner.trial import Bench, Candidate, Trial
from mrl.retrieval.proposers import library
from mrl.retrieval.rows import spread
from mrl.vectors import Embedded
from mrl.vectors.copies import digests

Numbers = npt.NDArray[np.int64]
Told = Callable[[str], object]

NEAR, FEW, MANY = 1.2, 8, 24  # times the best cost, and how many of these are run; plans of a frontier at most
WAYS = 4  # that are timed against each other
CLOSE = 0.03  # of the measure: plans with other engines are shown from so much below the terms on
LARGE, SAMPLE = 200_000, 100_000  # rows from which on ways are explored on a sample, and of how many
FIRST, TIMES = 64, 9  # queries where nothing is tested, and those that time the index's exact search
FITTED_ON = 8_192  # rows that the map is fitted on


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
    for name, given in (("plan", database), ("queries", queries)):
        _check_embedded(name, given)
    if not terms.allowed:
        return _exact_alone(database, queries, terms, judgements)
    progress("finding what the exact search finds")
    found = material(database, queries, terms, judgements)
    check_enough(len(found.same), int(found.same.max(initial=-1)) + 1)
    tune = tuned(found.same, terms.seed)
    way, explorer = explored(found, terms, tune, progress)
    way = _retimed(explorer, way)
    progress(f"measuring plans with {way}")
    finals = measured(_chosen(explorer, way))
    return _draft(found, terms, explorer, way, finals)


def _check_embedded(name: str, given: Any) -> None:
    """InputError for what has no card."""
    if given is not None and not isinstance(getattr(given, "card", None), Card):
        shape = f" of shape {given.shape}" if hasattr(given, "shape") else ""
        raise InputError(
            f"{'the vectors of ' if name == 'plan' else ''}{name} need a card, which says what they are, got "
            f"{type(given).__name__}{shape}; give Held.of(vectors, card)"
        )


def _exact_alone(database: Embedded, queries: Embedded | None, terms: Terms, judgements: Judgements | None) -> Draft:
    """Where nothing may be lost there is nothing to measure: a test tells how little is lost, never that it is none."""
    if queries is not None and terms.measure == "recall":
        queries = held_of(queries).only(np.arange(min(len(queries), FIRST)))
    found = material(database, queries, terms, judgements)
    exact, full = _exact(found), float(np.mean(found.worth.full))
    point = Point(None, full, full, full, 1.0, exact.ms, 1 / exact.seconds, exact.bytes, calibrated=0.0)
    cost = terms.cost_text(exact.cost(terms.objective))
    said = f"take the exact search, {cost}: nothing else can promise {terms.text}, so nothing else was measured"
    planned = _planned(found, terms, Parts(0, 0, 0), full, (said,), [point])
    return Draft(planned, None, None, found.queries[:TIMES])


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
    nests = len(found.card.nesting) > 1
    spaces = [False] if turn is None else [False, True] if nests else [True]
    whole = Bench.of(found, turn)
    if len(found.vectors) < large:
        explorer = Explorer(whole, terms, tune, progress)
        return explorer.scanned(explorer.explore(spaces)), explorer
    small, asked = sampled(found, tune, terms, spread(len(found.vectors), sample))
    way = Explorer(Bench.of(small, turn), asked, np.arange(len(tune)), progress).explore(spaces)
    explorer = Explorer(whole, terms, tune, progress)
    return explorer.scanned(way), explorer


def _retimed(explorer: Explorer, way: Way) -> Way:
    """Of the ways that come near the best one, whose times were put together from parts, the best by the clock."""
    objective, (least, cost) = explorer.terms.objective, explorer.best(way)
    ways = sorted((each for each in explorer.candidates if not each.scans), key=explorer.best)
    close = [each for each in ways if explorer.best(each) <= (least, NEAR * cost)][:WAYS]
    if way.scans or len(close) < 2:
        return way
    tops = [
        (c, explorer.trials[each]) for each in close for c in sorted(explorer.candidates[each], key=explorer.rank)[:2]
    ]
    finals = measured(tops)
    return min(finals, key=lambda each: (explorer.short(each.candidate), each.cost(objective))).candidate.way


def _chosen(explorer: Explorer, way: Way) -> list[tuple[Candidate, Trial]]:
    """The way's frontier, its plans that may be the cheapest, scans, and the frontier of all other ways."""
    terms = explorer.terms
    least = 1 - terms.allowed - CLOSE
    scans = [c for other, some in explorer.candidates.items() if other.scans for c in some]
    scans = [c for c in scans if explorer.quality(c) >= least or c.way == way]
    mine = scans if way.scans else explorer.candidates[way]
    others = [each for other, some in explorer.candidates.items() if not other.scans and other != way for each in some]
    objective = terms.objective
    likely = sorted(mine, key=explorer.rank)
    near = [c for c in likely if c.cost(objective) <= NEAR * likely[0].cost(objective)][:FEW]
    good = [each for each in others if explorer.quality(each) >= least]
    front = explorer.front(mine)
    own = [*(front[i] for i in spread(len(front), MANY).tolist()), *near]
    layout = layout_of((c.plan for c in own), explorer.bench.width)
    free = [] if way.scans else [each for each in scans if reads(layout, each.plan)]
    chosen = {c.plan: c for c in (*own, *explorer.front(free)[-FEW:], *explorer.front(good)[-FEW:])}
    return [(c, explorer.trials[c.way]) for c in chosen.values()]


def _draft(found: Material, terms: Terms, explorer: Explorer, way: Way, finals: list[Final]) -> Draft:
    mine = [each for each in finals if each.candidate.way == way or each.candidate.way.scans]
    rest = [each for each in finals if each not in mine]
    exact = _exact(found)
    seen = _seen(found, terms, mine, exact)
    selection = selected(seen, terms, found.same)
    wanted = None if selection.pick == seen.exact else mine[selection.pick].candidate
    bare = way.scans or (wanted is not None and wanted.way.scans)
    points = frontier(_points(selection, mine, rest, exact, bare=bare), terms.objective)
    planned = _planned(found, terms, selection.queries, selection.full, told(selection, seen, terms), points)
    if wanted is not None:
        pick = next(i for i, point in enumerate(points) if point.plan == wanted.plan)
        planned = replace(planned, pick=pick, promise=planned.promise_for(points[pick], 1 - terms.allowed))
    trial, asked = explorer.trials[way], found.queries[:TIMES]
    turn = trial.bench.turn if way.mapped and not bare else None
    made = trial.proposer.index if found.whole and not bare else None
    return Draft(planned, turn and Leading.of(turn, way.dim), made, asked)


def _planned(
    found: Material, terms: Terms, queries: Parts, full: float, said: tuple[str, ...], points: Sequence[Point]
) -> Planned:
    """Without its pick."""
    return Planned(
        terms=terms,
        measure=found.worth.name,
        points=tuple(points),
        pick=None,
        promise=None,
        sentences=(*said, *found.notes),
        queries=queries,
        data=found.data,
        rows=found.whole_of,
        digest=found.digest,
        full=full,
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


def _points(
    selection: Selection, mine: Sequence[Final], rest: Sequence[Final], exact: _Exact, *, bare: bool
) -> list[Point]:
    """Those that were tested, which the index can run, and those of other ways, which were only measured.

    bare: whether no engine is going to be built, so that only scans can be run.
    """
    points = []
    for figure in selection.figures:
        if figure.number == len(mine):
            costs = (exact.ms, 1 / exact.seconds, exact.bytes)
            points.append(Point(None, *figure.quality, figure.promised, *costs, calibrated=figure.calibrated))
        else:
            one = mine[figure.number]
            point = _point(one, figure.quality, figure.promised, ready=one.candidate.way.scans or not bare)
            points.append(replace(point, calibrated=figure.calibrated))
    return points + [_point(one, estimate(one.values), None, ready=False) for one in rest]


def _point(one: Final, quality: Estimate, promised: float | None, *, ready: bool) -> Point:
    costs = (one.ms, one.qps, one.candidate.bytes)
    return Point(one.candidate.plan, *quality, promised, *costs, ready, one.build_s)


def machine() -> dict[str, str]:
    """Where times were measured, and with what."""
    import numba

    faiss = library()
    versions = {"numpy": np.__version__, "numba": numba.__version__, "faiss": faiss.__version__}
    return {"machine": platform.processor() or platform.machine(), "cores": str(os.cpu_count()), **versions}
