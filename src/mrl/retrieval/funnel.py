"""Running a plan: a first stage over all rows, then ever wider looks at ever fewer of them. Scores are continued."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mrl.errors import CardError
from mrl.retrieval import kernels, ranking, threads
from mrl.retrieval.best import CODES, Candidates
from mrl.retrieval.encodings import BITS, Floats, bytes_per_row
from mrl.retrieval.graphs import propose
from mrl.retrieval.layout import Layout
from mrl.retrieval.plan import HNSW, Plan, Stage
from mrl.retrieval.queries import Queries
from mrl.retrieval.results import Work
from mrl.retrieval.scan import Mask, readable, scan, scored
from mrl.retrieval.snapshot import Snapshot

NORM_BYTES = 4  # of the length of one prefix
QUERIES_PER_THREAD = 8


def run(snapshot: Snapshot, plan: Plan, queries: Queries, masks: Sequence[Mask]) -> tuple[Candidates, tuple[Work, ...]]:
    """The candidates that the last stage keeps, and the work of every stage. The plan was checked with `check`."""
    work = []
    found, before = Candidates.empty(len(queries), 0), None
    for stage in plan.stages:
        began = time.perf_counter()
        if before is None:
            found, candidates, read, name = _first(snapshot, stage, queries, masks)
        else:
            name = str(stage)
            candidates = found.count
            read = candidates * _rerank(snapshot, before, stage, queries.narrow, found)
            found = found.cut(stage.keep)
        work.append(Work(name, candidates, read, time.perf_counter() - began))
        before = stage
    return found, tuple(work)


def check(snapshot: Snapshot, plan: Plan) -> None:
    """Raise unless the index can run the plan: NestingError for a cut, InputError for an encoding or an engine that it
    does not have, CardError for another map."""
    mine = snapshot.card.maps[-1] if snapshot.map is not None else ""
    if plan.map not in ("", mine):
        raise CardError(
            f"the plan is for vectors mapped by {plan.map}, {snapshot.folder.path} has {mine or 'no map'}; "
            "search with a plan for this index, or build one with that map"
        )
    for stage in plan.stages:
        snapshot.layout.reading(stage.dim, stage.encoding)
        if isinstance(stage.engine, HNSW):
            snapshot.graph(stage.dim, stage.engine)


def _first(
    snapshot: Snapshot, stage: Stage, queries: Queries, masks: Sequence[Mask]
) -> tuple[Candidates, int, int, str]:
    """Candidates of the first stage, how many rows were scored, the bytes read for that, and what was done."""
    reading = snapshot.layout.reading(stage.dim, stage.encoding)
    each = _bytes(snapshot.layout, reading, 0)
    metric, keep = snapshot.card.metric, max(1, min(stage.keep, snapshot.positions))
    if isinstance(stage.engine, HNSW):
        graph = snapshot.graph(stage.dim, stage.engine)
        proposed = propose(graph, queries.narrow, stage, masks, snapshot.blocks)
        if proposed is not None:
            fresh = [i for i, block in enumerate(snapshot.blocks) if block not in graph.blocks]
            blocks, beside = [snapshot.blocks[i] for i in fresh], [masks[i] for i in fresh]
            new = scan(blocks, reading, queries.narrow, keep, metric, beside)
            _read_on(snapshot, reading, 0, queries.narrow, proposed)
            count = proposed.count + len(queries) * scored(blocks, beside)
            return proposed.joined(new).cut(keep), count, count * each, str(stage)
    found = scan(snapshot.blocks, reading, queries.narrow, keep, metric, masks)
    count = len(queries) * scored(snapshot.blocks, masks)
    name = str(stage) + (", scanned" if isinstance(stage.engine, HNSW) else "")  # the graph would lose recall
    return found, count, count * each, name


def _rerank(snapshot: Snapshot, before: Stage, stage: Stage, queries: Floats, found: Candidates) -> int:
    """Score the candidates by the stage's prefix, in place; bytes read for each.

    They go on from the products of the stage before where these were read at least as finely.
    """
    layout = snapshot.layout
    old, new = layout.reading(before.dim, before.encoding), layout.reading(stage.dim, stage.encoding)
    on = all(BITS[was] >= BITS[now] for was, now in zip(old, new, strict=False))
    level = len(old) if on else 0
    if not on:
        found.raw[:] = 0
    _read_on(snapshot, new, level, queries, found)
    return _bytes(layout, new, level)


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
