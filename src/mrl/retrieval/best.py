"""The best rows so far, of many queries at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval import ranking
from mrl.retrieval.encodings import Floats

CODES = {"cosine": ranking.COSINE, "dot": ranking.DOT, "l2": ranking.L2}
ALL = np.empty(0, np.bool_)  # stands for "every row is allowed"
EVERY = np.empty(0, np.int64)  # stands for "one row after the other"


class Best:
    """At most `keep` rows for each query, of all that were offered; equal scores go to the earlier position."""

    def __init__(self, queries: int, keep: int, metric: Metric) -> None:
        self._keep, self._metric = keep, CODES[metric]
        self._keys = np.zeros((queries, 2 * keep), np.uint64)
        self._raws = np.zeros((queries, 2 * keep), np.float32)
        self._filled = np.zeros(queries, np.int64)

    def offer(
        self,
        raw: Floats,
        norms: Floats,
        first: int,
        allowed: npt.NDArray[np.bool_] = ALL,
        at: int = 0,
        rows: npt.NDArray[np.int64] = EVERY,
    ) -> None:
        """raw (q, n) products of queries `at` … with rows `first` … whose lengths are norms (n,).

        allowed: (n,) which may be kept, or `ALL`. rows: (n,) where these are after `first`, or `EVERY`.
        """
        some = slice(at, at + len(raw))
        into = (self._keys[some], self._raws[some], self._filled[some])
        ranking.offer(self._metric, raw, norms, allowed, rows, first, *into)

    def ranked(self) -> Candidates:
        """What was kept, best first."""
        found = Candidates.empty(len(self._filled), self._keep)
        ranking.ranked(self._keys, self._raws, self._filled, self._keep, found.positions, found.scores, found.raw)
        return found


class Candidates:
    """Rows on their way through a search.

    positions: (q, m) int64, −1 where there are fewer. raw: (q, m) products over the segments read so far. scores:
    (q, m), best first, without the query's own factor.
    """

    def __init__(self, positions: npt.NDArray[np.int64], raw: Floats, scores: Floats) -> None:
        self.positions, self.raw, self.scores = positions, raw, scores

    @classmethod
    def empty(cls, queries: int, keep: int) -> Candidates:
        floats = [np.zeros((queries, keep), np.float32) for _ in range(2)]
        return cls(np.full((queries, keep), -1, np.int64), *floats)

    @property
    def count(self) -> int:
        """How many there are, over all queries."""
        return int(np.count_nonzero(self.positions >= 0))

    def joined(self, other: Candidates) -> Candidates:
        """These and the others, in no order."""
        pairs = [(self.positions, other.positions), (self.raw, other.raw), (self.scores, other.scores)]
        return Candidates(*(np.concatenate(pair, axis=1) for pair in pairs))  # type: ignore[arg-type]

    def cut(self, keep: int) -> Candidates:
        """The best `keep` by their scores, best first."""
        keep = min(keep, self.positions.shape[1])
        kept = Candidates.empty(len(self.positions), keep)
        ranking.cut(self.scores, self.raw, self.positions, keep, kept.scores, kept.raw, kept.positions)
        return kept

    def at_end(self, metric: Metric, lengths: npt.NDArray[Any]) -> Floats:
        """(q, m) scores with the factor of queries of these lengths (q,); −inf where there is no row."""
        own = lengths[:, None].astype(np.float32)
        if metric == "cosine":
            scores = np.divide(self.scores, own, out=np.zeros_like(self.scores), where=own > 0)
        elif metric == "l2":
            scores = np.minimum(self.scores - own * own, 0)
        else:
            scores = self.scores.copy()
        scores[self.positions < 0] = -np.inf
        return scores
