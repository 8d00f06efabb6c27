"""One search from the outside: what is asked, checked against the snapshot, run, and put in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import CardError, InputError
from mrl.retrieval import dense, exact, filters, funnel, threads
from mrl.retrieval.best import ALL
from mrl.retrieval.encodings import bytes_per_row
from mrl.retrieval.plan import Plan
from mrl.retrieval.queries import Queries
from mrl.retrieval.quick import Quick
from mrl.retrieval.results import Results, Work, by_id
from mrl.retrieval.scan import Mask
from mrl.retrieval.snapshot import Snapshot
from mrl.vectors import Table
from mrl.vectors.migrating import cut_of

MISSING, PLANS_KEPT = object(), 64  # plans that stay bound to a snapshot
ADDED = "what is added"  # to an index, where it has no path

MANY, TRIED = 16, 4  # of at least so many queries the first few show how much the bound leaves to read
PRUNED = 0.1  # share of the coordinates; a processor multiplies whole tiles about ten times as fast as rows it picks


def search(snapshot: Snapshot, asked: Any, k: int, plan: Plan | None, where: Any) -> Results:
    """See `Index.search`."""
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 1:
        raise InputError(f"k must be an integer of at least 1, got {k!r}")
    if plan is not None and where is None and (found := quickly(snapshot, asked, int(k), plan)) is not None:
        return found
    queries = asking(snapshot, asked)
    masks = allowed(snapshot, where)
    if plan is not None:
        plan = plan.at_k(int(k))
        funnel.check(snapshot, plan)
    if plan is None:
        found = _exact(snapshot, queries, int(k), masks)
    else:
        found = _planned(snapshot, queries, int(k), plan, masks)
    return found.single() if not isinstance(asked, Table | Queries) and np.ndim(asked) == 1 else found


def quickly(snapshot: Snapshot, asked: Any, k: int, plan: Plan) -> Results | None:
    """What a plan finds for one plain query; None for all else. What was bound is kept for the next one."""
    if not isinstance(asked, np.ndarray) or asked.size != snapshot.card.width:
        return None
    known = snapshot.quick.get((plan, k), MISSING)
    if known is MISSING:
        whole = plan.at_k(k)
        funnel.check(snapshot, whole)
        if len(snapshot.quick) >= PLANS_KEPT:
            snapshot.quick.clear()
        known = snapshot.quick[plan, k] = Quick.of(snapshot, whole)
    return None if known is None else known.search(asked)


def asking(snapshot: Snapshot, asked: Any) -> Queries:
    """Queries from a table, a matrix (q, width) or a vector (width,), or prepared ones as they are.

    CardError for those of another model, and for those that were prepared for an index with another map.
    """
    if isinstance(asked, Queries):
        snapshot.card.check_fits(asked.card, (str(snapshot.folder.path), "the prepared queries"))
        return asked
    if isinstance(asked, Table):
        mapped = check_card(snapshot, asked.card, str(asked.path))
        return Queries.of(asked.vectors, snapshot, mapped=mapped)
    vectors = np.asarray(asked)
    return Queries.of(vectors[None] if vectors.ndim == 1 else vectors, snapshot)


def check_card(snapshot: Snapshot, card: Card, whose: str) -> bool:
    """Whether vectors of this card went through the index's map already. CardError if they are not its vectors."""
    mapped = bool(snapshot.contents.map) and card.maps == snapshot.card.maps
    mine, path = snapshot.card if mapped else snapshot.raw_card(), str(snapshot.folder.path)
    if cut_of(card, mine):
        raise CardError(
            f"{whose} and {path} do not belong together yet: {card.width} dims in one, the first {mine.width} of them "
            f"in the other; cut the wider ones: {_cutting(whose, card, mine.width)}"
        )
    if (mapped or not snapshot.contents.map) and cut_of(mine, card):
        raise CardError(
            f"{whose} and {path} do not belong together yet: the first {card.width} dims in one, all {mine.width} in "
            f"the other; cut the wider ones: {_cutting(path, mine, card.width)}"
        )
    mine.check_fits(card, (path, whose))
    return mapped


def _cutting(path: str, card: Card, dim: int) -> str:
    """The command that does it."""
    untrained = "" if card.nesting.trained(dim) else " --untrained"
    return f"mrl migrate {'VECTORS' if path == ADDED else path} --dim {dim}{untrained} --out NEW"


def allowed(snapshot: Snapshot, where: Any) -> list[Mask]:
    """For each block the rows that may be found."""
    if where is None:
        return [block.alive if block.about.dead else ALL for block in snapshot.blocks]
    if not isinstance(where, str | filters.Filter):
        return [block.where(lambda columns: filters.mask(where, columns), ids=True) for block in snapshot.blocks]
    wanted = filters.parse(where) if isinstance(where, str) else where
    return [block.where(wanted.mask, ids="id" in wanted.columns) for block in snapshot.blocks]


def _planned(snapshot: Snapshot, queries: Queries, k: int, plan: Plan, masks: Sequence[Mask]) -> Results:
    found, work = funnel.run(snapshot, plan, queries, masks)
    last = plan.stages[-1]
    scores = found.at_end(snapshot.card.metric, queries.lengths(last.dim))
    return _results(snapshot, found.positions, scores, k, last.dim, str(plan), work)


def _exact(snapshot: Snapshot, queries: Queries, k: int, masks: Sequence[Mask]) -> Results:
    k_most = min(k, snapshot.positions)
    began = time.perf_counter()
    positions = np.full((len(queries), k_most), -1, np.int64)
    scores = np.full((len(queries), k_most), -np.inf)
    read = np.zeros((len(queries), len(snapshot.layout.cuts)), np.int64)

    for q, one in enumerate(_each_exact(snapshot, queries, k_most, masks) if k_most else []):
        positions[q, : len(one.positions)], read[q] = one.positions, one.read
        scores[q, : len(one.scores)] = one.scores
    lengths = np.sqrt(np.einsum("qd,qd->q", queries.wide, queries.wide))[:, None]
    if snapshot.card.metric == "cosine":
        scores = np.divide(scores, lengths, out=np.where(scores > -np.inf, 0.0, scores), where=lengths > 0)
    seconds = time.perf_counter() - began
    return _results(
        snapshot, positions, scores, k, snapshot.card.width, "exact", _levels(snapshot, read.sum(axis=0), seconds)
    )


def _each_exact(snapshot: Snapshot, queries: Queries, k: int, masks: Sequence[Mask]) -> list[exact.Exact]:
    """One by one where the bound rules out most of the work, together where it does not."""
    found: list[exact.Exact | None] = [None] * len(queries)

    def work(start: int, stop: int) -> None:
        for q in range(start, stop):
            found[q] = exact.search(snapshot, queries.at(q), k, masks)

    tried = TRIED if len(queries) >= MANY else len(queries)
    threads.each(work, tried)
    if tried < len(queries):
        widths = np.diff(np.array([0, *snapshot.layout.cuts.dims]))
        read = sum(int(one.read @ widths) for one in found[:tried] if one is not None)
        if read > PRUNED * tried * snapshot.positions * snapshot.card.width:
            rest = slice(tried, len(queries))
            return [*found[:tried], *dense.search(snapshot, queries.at(rest), k, masks)]  # type: ignore[list-item]
        threads.each(lambda start, stop: work(tried + start, tried + stop), len(queries) - tried)
    return found  # type: ignore[return-value]


def _levels(snapshot: Snapshot, read: npt.NDArray[np.int64], seconds: float) -> tuple[Work, ...]:
    """The work of an exact search by segment; its time is told at the last."""
    layout, work = snapshot.layout, []
    for level, (start, stop) in enumerate(layout.cuts.segments):
        count = int(read[level])
        size = count * (bytes_per_row(layout.reference[level], stop - start) + 8)  # and the lengths for the bound
        work.append(Work(f"exact {start}-{stop}", count, size, seconds if level == len(read) - 1 else 0.0))
    return tuple(work)


def _results(
    snapshot: Snapshot, positions: Any, scores: Any, k: int, dim: int, plan: str, work: tuple[Work, ...]
) -> Results:
    """Ids for positions, equal scores in order of ids, and room for k, or for all rows if these are fewer."""
    room = min(k, snapshot.rows)
    positions, scores = positions[:, :room], scores[:, :room]
    ids = snapshot.ids_at(positions)
    positions, scores, ids = by_id(positions, scores, ids)  # the query's own factor may make scores equal
    missing = room - positions.shape[1]
    if missing > 0:
        pad = ((0, 0), (0, missing))
        blank = "" if ids.dtype.kind == "U" else -1
        ids = np.pad(ids, pad, constant_values=blank)
        scores = np.pad(scores, pad, constant_values=-np.inf)
    counts = np.count_nonzero(positions >= 0, axis=1)
    return Results(ids, scores, counts, snapshot.card.metric, dim, plan, work)
