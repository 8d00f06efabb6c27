"""Running a plan: a first stage over all rows, then ever wider looks at ever fewer of them. Scores are continued.

What an engine proposes is not scored by the prefix that it was proposed for: the next stage scores it from dim 0, in
one compiled call. A scan's products are continued.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mrl.errors import CardError, InputError
from mrl.retrieval import kernels, ranking, threads
from mrl.retrieval.best import CODES, Candidates
from mrl.retrieval.encodings import BITS, Floats, bytes_per_row
from mrl.retrieval.engine import Scan
from mrl.retrieval.engines import Built, propose
from mrl.retrieval.layout import Layout
from mrl.retrieval.plan import REFERENCE, Plan, Stage
from mrl.retrieval.queries import Queries
from mrl.retrieval.rerank import QUERIES_PER_THREAD
from mrl.retrieval.results import Work
from mrl.retrieval.scan import Mask, readable, scan, scored
from mrl.retrieval.snapshot import Snapshot

NORM_BYTES = 4  # of the length of one prefix


def run(snapshot: Snapshot, plan: Plan, queries: Queries, masks: Sequence[Mask]) -> tuple[Candidates, tuple[Work, ...]]:
    """The candidates that the last stage keeps, and the work of every stage. The plan was checked with `check`."""
    found, work = _first(snapshot, plan, queries, masks)
    for before, stage in pairwise(plan.stages[len(work) - 1 :]):
        began, candidates = time.perf_counter(), found.count
        found, each = _rerank(snapshot, before, stage, queries.narrow, found)
        work.append(Work(str(stage), candidates, candidates * each, time.perf_counter() - began))
    return found, tuple(work)


def check(snapshot: Snapshot, plan: Plan) -> None:
    """Raise unless the index can run the plan: NestingError for a cut, InputError for an encoding or an engine that it
    does not have, CardError for another map."""
    first, turn = plan.stages[0], own_map(snapshot, plan)
    if not isinstance(first.engine, Scan):
        snapshot.engine(first.dim, first.engine, turn)
    for stage in plan.stages[1 if turn else 0 :]:
        snapshot.layout.reading(stage.dim, stage.encoding)
    if turn:
        _check_own(plan, snapshot.card.width)


def own_map(snapshot: Snapshot, plan: Plan) -> str:
    """The map that the plan's engine has for itself; empty if its stages are all in the index's own space.

    CardError for a map that neither the index nor any of its engines has.
    """
    mine = snapshot.card.maps[-1] if snapshot.contents.map else ""
    if plan.map in ("", mine):
        return ""
    if plan.map not in (theirs := {each.map for each in snapshot.contents.engines}):
        there = ", ".join(filter(None, (mine, *sorted(theirs)))) or "no map"
        raise CardError(
            f"the plan is for vectors mapped by {plan.map}, {snapshot.folder.path} has {there}; "
            "search with a plan for this index, or build one with that map"
        )
    return plan.map


def _check_own(plan: Plan, width: int) -> None:
    """InputError unless all that is behind an engine with its own map reads the store at its full width."""
    first, *rest = plan.stages
    if isinstance(first.engine, Scan) or first.encoding != REFERENCE or not rest:
        raise InputError(
            f"{plan} begins in the space of {plan.map}, of which the index has only an engine; begin with that engine, "
            f"as it is, and add a stage at the full width, {width}:10"
        )
    if narrow := [stage for stage in rest if stage.dim < width]:
        raise InputError(
            f"stage {narrow[0]} of {plan} would read dims that the engine's map does not keep; behind an engine with a "
            f"map of its own stages read the full width, {width}"
        )


def _first(snapshot: Snapshot, plan: Plan, queries: Queries, masks: Sequence[Mask]) -> tuple[Candidates, list[Work]]:
    """Candidates of the first stage, or of the first two, and the work of as many."""
    stage, began = plan.stages[0], time.perf_counter()
    if isinstance(stage.engine, Scan):
        return _scanned(snapshot, stage, str(stage), queries, masks)
    turn = own_map(snapshot, plan)
    built = snapshot.engine(stage.dim, stage.engine, turn)
    proposed = propose(built, queries, stage, masks, snapshot.blocks)
    if proposed is None:  # the engine would lose recall
        ahead = [Work(f"{stage}, scanned", 0, 0, 0.0)] if turn else []
        found, work = _scanned(snapshot, plan.stages[len(ahead)], f"{stage}, scanned", queries, masks)
        return found, ahead + work
    done = Work(str(stage), proposed.count, 0, time.perf_counter() - began)
    if len(built.blocks) == len(snapshot.blocks) and len(plan.stages) > 1:
        return proposed, [done]
    scores_at = plan.stages[1] if turn else stage
    found, more = _beside(snapshot, built, scores_at, queries, masks, proposed)
    return found, [done, more] if turn else [more._replace(seconds=done.seconds + more.seconds)]


def _scanned(
    snapshot: Snapshot, stage: Stage, name: str, queries: Queries, masks: Sequence[Mask]
) -> tuple[Candidates, list[Work]]:
    began, reading = time.perf_counter(), snapshot.layout.reading(stage.dim, stage.encoding)
    keep = max(1, min(stage.keep, snapshot.positions))
    found = scan(snapshot.blocks, reading, queries.narrow, keep, snapshot.card.metric, masks)
    count = len(queries) * scored(snapshot.blocks, masks)
    size = count * _bytes(snapshot.layout, reading, 0)
    return found, [Work(name, count, size, time.perf_counter() - began)]


def _beside(
    snapshot: Snapshot, built: Built, stage: Stage, queries: Queries, masks: Sequence[Mask], proposed: Candidates
) -> tuple[Candidates, Work]:
    """What was proposed, scored by a stage, and the best rows that came after the engine was built."""
    began, reading = time.perf_counter(), snapshot.layout.reading(stage.dim, stage.encoding)
    fresh = [i for i, block in enumerate(snapshot.blocks) if block not in built.blocks]
    blocks, beside = [snapshot.blocks[i] for i in fresh], [masks[i] for i in fresh]
    keep = max(1, min(stage.keep, snapshot.positions))
    new = scan(blocks, reading, queries.narrow, keep, snapshot.card.metric, beside)
    count = proposed.count + len(queries) * scored(blocks, beside)
    old = _from_zero(snapshot, reading, queries.narrow, proposed, stage.keep)
    size = count * _bytes(snapshot.layout, reading, 0)
    return old.joined(new).cut(keep), Work(str(stage), count, size, time.perf_counter() - began)


def _rerank(
    snapshot: Snapshot, before: Stage, stage: Stage, queries: Floats, found: Candidates
) -> tuple[Candidates, int]:
    """The best candidates by the stage's prefix; bytes read for each.

    They go on from the products of the stage before where these were read at least as finely.
    """
    layout = snapshot.layout
    new = layout.reading(stage.dim, stage.encoding)
    if isinstance(before.engine, Scan):
        old = layout.reading(before.dim, before.encoding)
        if all(BITS[was] >= BITS[now] for was, now in zip(old, new, strict=False)):
            _read_on(snapshot, new, len(old), queries, found)
            return found.cut(stage.keep), _bytes(layout, new, len(old))
    return _from_zero(snapshot, new, queries, found, stage.keep), _bytes(layout, new, 0)


def _from_zero(
    snapshot: Snapshot, reading: tuple[str, ...], queries: Floats, found: Candidates, keep: int
) -> Candidates:
    """The best `keep` candidates, scored from dim 0."""
    record = snapshot.record(reading)
    if record is None:
        found.raw[:] = 0
        _read_on(snapshot, reading, 0, queries, found)
        return found.cut(keep)
    return record.reranked(snapshot.card.metric, queries, found.positions, min(keep, found.positions.shape[1]))


def _read_on(snapshot: Snapshot, reading: Sequence[str], level: int, queries: Floats, found: Candidates) -> None:
    """Add to the candidates' products the segments from `level` on, and score them."""
    pieces = [np.ascontiguousarray(queries[:, a:b]) for a, b in pairwise((0, *snapshot.layout.cuts.dims))]
    metric, last = CODES[snapshot.card.metric], len(reading) - 1

    def work(a: int, b: int) -> None:
        positions, raw = found.positions[a:b], found.raw[a:b]
        for block in snapshot.blocks:
            for i in range(level, len(reading)):
                part = block.segment(i, reading[i])
                kernel = kernels.EXTEND[reading[i]]
                kernel(readable(part), part.scales, pieces[i][a:b], positions, block.first, raw)
            ranking.scored(metric, raw, block.norms[last], positions, block.first, found.scores[a:b])

    threads.each(work, len(queries), QUERIES_PER_THREAD)


def _bytes(layout: Layout, reading: Sequence[str], level: int) -> int:
    """Bytes read for one row: the segments from `level` on, and the length of its prefix."""
    widths = [stop - start for start, stop in layout.cuts.segments]
    read = range(level, len(reading))
    return sum(bytes_per_row(reading[i], widths[i]) for i in read) + NORM_BYTES
