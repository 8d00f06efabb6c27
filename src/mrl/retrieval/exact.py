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
from mrl.retrieval.best import CODES
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.encodings import Floats
from mrl.retrieval.queries import Queries
from mrl.retrieval.scan import Mask
from mrl.retrieval.snapshot import Snapshot

UNIT = 2.0**-24  # half the distance from 1 to the next float32
LOWEST = -1e300  # a floor that keeps all; finite, so that it may be multiplied by a length of 0

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Exact:
    """What an exact search of one query found, and read.

    positions: (m,) the nearest, best first, equal ones by id; fewer than k only where there are fewer. scores: (m,)
    float64, without the query's own factor. read: (cuts,) rows of which each segment was read.
    """

    positions: Positions
    scores: Doubles
    read: npt.NDArray[np.int64]


def search(snapshot: Snapshot, query: Queries, k: int, masks: Sequence[Mask]) -> Exact:
    """The k nearest rows of one query, (1, d); masks: for each block the rows that may be found, or `ALL`.

    The first block alone raises the floor for the others, which threads then share.
    """
    one = Query(snapshot, query, k)
    lefts = [one.left(snapshot.blocks[0], masks[0])]
    rest = list(zip(snapshot.blocks[1:], masks[1:], strict=True))
    more: list[_Left | None] = [None] * len(rest)

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            more[i] = one.left(*rest[i])

    threads.each(work, len(rest))
    lefts += [left for left in more if left is not None]
    positions, scores = one.rescored(lefts)
    best, where = ordered(snapshot, scores, positions, k)
    return Exact(where, best, np.sum([left.read for left in lefts], axis=0))


@dataclass(frozen=True, eq=False)
class _Left:
    """Rows of a block that may be among the k nearest. rows: (m,) within the block. raw: (m,) full products. norm:
    (m,) lengths. read: (cuts,) rows of which each segment was read."""

    block: Block
    rows: Positions
    raw: Floats
    norm: Floats
    read: npt.NDArray[np.int64]


class Query:
    """One query, as the compiled search takes it."""

    def __init__(self, snapshot: Snapshot, query: Queries, k: int) -> None:
        self.k, self.code = k, CODES[snapshot.card.metric]
        cuts = snapshot.layout.cuts
        self.ends = np.array([0, *cuts.dims])
        self.wide, self.narrow = query.wide[0], query.narrow[0]
        behind = np.sqrt(np.append(np.cumsum(self.wide[::-1] ** 2)[::-1], 0.0))
        self.behind = behind[self.ends[1:]] * (1 + 1e-9)
        self.slack = (cuts.width + 16) * 1.01 * UNIT * float(behind[0])
        self.best = np.full(k, LOWEST)  # lower bounds of the k-th best score and of those above it

    def left(self, block: Block, allowed: Mask) -> _Left:
        """What the bound leaves of a block."""
        at, halved = block.record
        read, best = np.zeros(len(at), np.int64), self.best.copy()
        row = (block.norms, allowed, self.behind, self.slack, best, read)
        rows, raw = bounds.search(self.code, self.narrow, self.ends, at, halved, *row)
        if best[0] > self.best[0]:
            self.best = best  # whichever thread's: all are true
        return _Left(block, rows, raw, block.norms[-1][rows], read)

    def rescored(self, lefts: Sequence[_Left]) -> tuple[Positions, Doubles]:
        """Positions and float64 scores of all rows whose float32 scores are within rounding of the k-th best."""
        raw, norm = np.concatenate([left.raw for left in lefts]), np.concatenate([left.norm for left in lefts])
        near = bounds.near(self.code, raw, norm, self.slack, self.k)
        positions, scores, first = [], [], 0
        for left in lefts:
            some = near[(near >= first) & (near < first + len(left.rows))] - first
            positions.append(left.rows[some] + left.block.first)
            scores.append(self.scores(left.block, left.rows[some]))
            first += len(left.rows)
        return np.concatenate(positions), np.concatenate(scores)

    def scores(self, block: Block, rows: Positions) -> Doubles:
        """(m,) float64 scores of rows (m,) of a block."""
        scores: Doubles = bounds.scores64(self.code, self.ends, *block.record, rows, self.wide)
        return scores


def ordered(snapshot: Snapshot, scores: Doubles, positions: Positions, k: int) -> tuple[Doubles, Positions]:
    """The k best by (score, id)."""
    if len(scores) > k:
        worst = np.partition(scores, -k)[-k]
        scores, positions = scores[scores >= worst], positions[scores >= worst]
    order = np.lexsort((snapshot.ids_at(positions), -scores))[:k]
    return scores[order], positions[order]
