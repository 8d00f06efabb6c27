"""Exact search of many queries where the bound rules out little: every product, in float32, then a proof.

The compiled pass of `mrl.sweep` keeps some rows more than k for each query. If all it left out lie further below the
k-th best than rounding can have moved them, those kept hold the answer, and they alone are scored again in float64.
A query for which that cannot be said is searched for by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mrl import sweep
from mrl.retrieval import exact
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.bounds import LOST, NORM_ERROR
from mrl.retrieval.encodings import Floats
from mrl.retrieval.queries import Queries
from mrl.retrieval.scan import Mask
from mrl.retrieval.snapshot import Snapshot

SPARE = 16  # rows kept beyond k
PART_BYTES = 64 << 20  # of rows brought together at a time

Part = tuple[Block, Positions]


def search(snapshot: Snapshot, queries: Queries, k: int, masks: Sequence[Mask]) -> list[exact.Exact]:
    """What `exact.search` finds for each query."""
    width, metric = snapshot.card.width, snapshot.card.metric
    scores, positions, longest = [], [], 0.0
    missed = np.full(len(queries), -np.inf)
    for block, rows in _parts(snapshot, masks):
        norms = block.norms[-1][rows]
        longest = max(longest, float(norms.max()))
        found = np.full((1, len(queries), min(k + SPARE, len(rows))), -np.inf, np.float32)
        places = np.full(found.shape, -1, np.int64)
        sweep.nearest(queries.narrow, block.decoded(rows), np.array([width]), _factors(norms, metric), (found, places))
        if found.shape[2] < len(rows):
            missed = np.maximum(missed, found[0, :, -1])
        scores.append(found[0])
        positions.append(rows[places[0]] + block.first)
    if not scores:  # no row may be found
        return [exact.search(snapshot, queries.at(q), k, masks) for q in range(len(queries))]
    return _settled(snapshot, queries, k, masks, (np.hstack(scores), np.hstack(positions), missed, longest))


def _parts(snapshot: Snapshot, masks: Sequence[Mask]) -> Iterator[Part]:
    """The rows that may be found, some at a time."""
    step = max(1, PART_BYTES // (4 * snapshot.card.width))
    for block, allowed in zip(snapshot.blocks, masks, strict=True):
        rows = np.flatnonzero(allowed) if len(allowed) else np.arange(block.rows)
        for start in range(0, len(rows), step):
            yield block, rows[start : start + step]


def _factors(norms: Floats, metric: str) -> Floats:
    """(2, 1, n): score = product · factor + summand, without the query's own factor."""
    if metric == "cosine":
        return np.stack([np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0), np.zeros_like(norms)])[:, None]
    times = np.full_like(norms, 2 if metric == "l2" else 1)
    return np.stack([times, -(norms**2) if metric == "l2" else np.zeros_like(norms)])[:, None]


def _settled(
    snapshot: Snapshot,
    queries: Queries,
    k: int,
    masks: Sequence[Mask],
    found: tuple[Floats, Positions, np.ndarray, float],
) -> list[exact.Exact]:
    """Score again what may be among the k nearest, or search anew where that is not known."""
    scores, positions, missed, longest = found
    read = np.full(len(snapshot.layout.cuts), sum(len(rows) for _, rows in _parts(snapshot, masks)))
    results = []
    for q in range(len(queries)):
        one = exact.Query(snapshot, queries.at(q), k)
        error = _rounding(one.slack, longest, snapshot.card.metric)
        kth = np.partition(scores[q], -k)[-k] if scores.shape[1] > k else -np.inf
        least = np.float64(kth) - 2 * error
        if missed[q] >= least:
            results.append(exact.search(snapshot, queries.at(q), k, masks))
            continue
        chosen = np.sort(positions[q][scores[q] >= least])
        values = [one.scores(block, rows) for block, _, rows in snapshot.split(chosen)]
        best, where = exact.ordered(snapshot, np.concatenate(values), chosen, k)
        results.append(exact.Exact(where, best, read))
    return results


def _rounding(slack: float, longest: float, metric: str) -> float:
    """How far rounding may move the score of a row, none being longer than `longest`."""
    if metric == "cosine":
        return slack * 1.01
    product = slack * longest + LOST
    return product if metric == "dot" else 2 * product + 2 * longest**2 * NORM_ERROR
