"""Exact search: the full-width result of the encodings of record, reading only what a bound cannot rule out.

After the segments up to a cut, Cauchy and Schwarz bound what the rest can still add to the product of query and row,

    |⟨q, x⟩ − raw| ≤ |q behind the cut| · |x behind the cut| + slack · |x|

where the slack covers the rounding of float32 sums: a sum of w products in any order is off by at most
(w − 1) u Σ|qⱼ xⱼ| ≤ (w − 1) u |q| |x| with u = 2⁻²⁴ (Higham, Accuracy and Stability, §3.1). Rows whose upper bound
stays below the k-th best lower bound are out. Those left at the full width, the k nearest and their near-ties, are
scored again in float64, always summed in the same order, so equal rows have equal scores, and these go by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.retrieval import bounds, threads
from mrl.retrieval.best import CODES, Best
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.encodings import Coded, Floats
from mrl.retrieval.kernels import EXTEND
from mrl.retrieval.queries import Queries
from mrl.retrieval.scan import ROWS_PER_THREAD, Mask, products, readable
from mrl.retrieval.snapshot import Snapshot

UNIT = 2.0**-24  # half the distance from 1 to the next float32
DENSE = 0.5  # share of rows left from which on a segment is read whole rather than row by row
FINISHED = 16  # rows beyond 2 k that are finished early to raise the floor
SURE = 1024  # with fewer rows left the floor is not raised again before the end
RESCORED = 4096  # rows scored in float64 at a time

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Exact:
    """What an exact search of one query found, and read.

    positions: (m,) the nearest, best first, equal ones by id; fewer than k only where there are fewer. scores: (m,)
    float64, without the query's own factor. read: rows of which each segment was read.
    """

    positions: Positions
    scores: Doubles
    read: tuple[int, ...]


def search(snapshot: Snapshot, query: Queries, k: int, masks: Sequence[Mask]) -> Exact:
    """The k nearest rows of one query, (1, d); masks: for each block the rows that may be found, or `ALL`."""
    state = _Search(snapshot, query, k, masks)
    for level in range(len(state.cuts)):
        if level:
            state.extend(level)
        if level in (0, len(state.cuts) - 1) or state.count > SURE:
            state.raise_floor(level)
        state.drop(level)
    return state.finish()


@dataclass
class _Left:
    """Rows of a block that are still in question. rows: (m,) within the block, or None for all. raw: (m,) products so
    far."""

    block: Block
    allowed: Mask
    raw: Floats
    rows: Positions | None = None


class _Search:
    """One query on its way to the full width."""

    def __init__(self, snapshot: Snapshot, query: Queries, k: int, masks: Sequence[Mask]) -> None:
        self.snapshot, self.k = snapshot, k
        self.cuts, self.reading = snapshot.layout.cuts, snapshot.layout.reference
        self.metric, self.code = snapshot.card.metric, CODES[snapshot.card.metric]
        self.query, self.narrow = query.wide[0], query.narrow[0]
        behind = np.sqrt(np.append(np.cumsum(self.query[::-1] ** 2)[::-1], 0.0))
        self.length = float(behind[0])
        self.behind = [float(behind[dim]) * (1 + 1e-9) for dim in self.cuts.dims]
        self.slack = (self.cuts.width + 16) * 1.01 * UNIT * self.length
        self.floor = -np.inf  # the k-th best score is not below this
        self.read = [0] * len(self.cuts)
        self.lefts = [self._first(block, mask) for block, mask in zip(snapshot.blocks, masks, strict=True)]

    @property
    def count(self) -> int:
        return sum(len(left.raw) for left in self.lefts)

    def _first(self, block: Block, allowed: Mask) -> _Left:
        self.read[0] += block.rows
        parts = [block.segment(0, self.reading[0])]
        return _Left(block, allowed, products(parts, self.narrow))

    def extend(self, level: int) -> None:
        """Add the products over one more segment."""
        for left in self.lefts:
            self.read[level] += len(left.raw)
            if left.rows is None:
                start = self.cuts.dims[level - 1]
                products([left.block.segment(level, self.reading[level])], self.narrow, left.raw, start)
            elif len(left.rows):
                self._add(left.block, level, left.rows, 0, left.raw)

    def _add(self, block: Block, level: int, rows: Positions, first: int, raw: Floats) -> None:
        """raw (m,) += the products over a segment with those `rows`, counted from `first`, that the block has."""
        part: Coded = block.segment(level, self.reading[level])
        piece = self.narrow[None, slice(*self.cuts.segments[level])]

        def work(a: int, b: int) -> None:
            EXTEND[part.encoding](readable(part), part.scales, piece, rows[None, a:b], first, raw[None, a:b])

        threads.each(work, len(rows), ROWS_PER_THREAD // 8)

    def raise_floor(self, level: int) -> None:
        """Finish the rows that look best; the k-th best of their lower bounds bounds the k-th best of all."""
        best = Best(1, 2 * self.k + FINISHED, self.metric)
        for left in self.lefts:
            best.offer(left.raw[None], left.block.norms[-1], left.block.first, left.allowed, rows=left.rows)
        found = best.ranked()
        chosen = found.positions[0] >= 0
        positions, raw = found.positions[0][chosen], found.raw[0][chosen]
        lower = np.empty(len(positions))
        for left in self.lefts:
            for later in range(level + 1, len(self.cuts)):  # read again with the rest: too few for a record of them
                self._add(left.block, later, positions, left.block.first, raw)
            bounds.lower(self.code, raw, positions, left.block.first, left.block.norms[-1], self.slack, lower)
        if len(lower) >= self.k:
            self.floor = max(self.floor, float(np.partition(lower, -self.k)[-self.k]))

    def drop(self, level: int) -> None:
        """Leave out the rows whose upper bound is below the floor."""
        last = level == len(self.cuts) - 1
        for left in self.lefts:
            lengths = (left.block.norms[-1], left.block.tails[level])
            known = (self.behind[level], self.slack, self.floor)
            if left.rows is not None:
                kept = bounds.keep_some(self.code, left.raw, left.rows, *lengths, *known)
                left.rows, left.raw = left.rows[:kept], left.raw[:kept]
                continue
            count = bounds.count(self.code, left.raw, left.allowed, *lengths, *known)
            if last or count < DENSE * left.block.rows:
                left.rows, raw = np.empty(count, np.int64), np.empty(count, np.float32)
                bounds.keep(self.code, left.raw, left.allowed, *lengths, *known, left.rows, raw)
                left.raw = raw

    def finish(self) -> Exact:
        """Score what is left in float64 and put it in order."""
        scores, positions = [np.empty(0)], [np.empty(0, np.int64)]
        for left in self.lefts:
            assert left.rows is not None  # listed by the drop at the last level
            for start in range(0, len(left.rows), RESCORED):
                rows = left.rows[start : start + RESCORED]
                scores.append(bounds.scores64(self.code, left.block.decoded(rows), self.query))
                positions.append(rows + left.block.first)
        best, where = ordered(self.snapshot, np.concatenate(scores), np.concatenate(positions), self.k)
        return Exact(where, best, tuple(self.read))


def ordered(snapshot: Snapshot, scores: Doubles, positions: Positions, k: int) -> tuple[Doubles, Positions]:
    """The k best by (score, id)."""
    if len(scores) > k:
        worst = np.partition(scores, -k)[-k]
        scores, positions = scores[scores >= worst], positions[scores >= worst]
    order = np.lexsort((snapshot.ids_at(positions), -scores))[:k]
    return scores[order], positions[order]
