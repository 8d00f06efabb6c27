"""Truth: what the exact search at the full width finds, with everything that rounding could put in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, metric
from mrl.segments import neighbours

Vectors = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

CLOSE = 1e-6  # of the k-th best score: within it, rows may stand for each other
SPARE = 6  # rows beyond the k-th that are looked at first
PAIRS = 2**22  # numbers of rows scored in float64 at a time


@dataclass(frozen=True, eq=False)
class Truth:
    """positions: (n, m) rows, nearest first, of at least k; equal ones by their number. scores: (n, m) float64. rows:
    how many were searched."""

    positions: Numbers
    scores: Doubles
    k: int
    rows: int

    def __post_init__(self) -> None:
        if self.positions.shape != self.scores.shape or not 1 <= self.k <= self.positions.shape[1] <= self.rows:
            raise InputError(
                f"k must lie between 1 and the {self.rows} rows that are searched, and truth of {self.k} needs as many "
                f"places a query, got {self.positions.shape}"
            )

    @classmethod
    def of(cls, queries: Vectors, rows: Vectors, k: int, by: Metric) -> Truth:
        """queries: (n, d), rows: (r, d), both at the full width. As long as ties with the k-th go on.

        InputError for k out of range, and for what `segments.neighbours` refuses.
        """
        most = k + SPARE
        while True:
            found = _scored(queries, rows, k, min(most, len(rows)), metric(by))
            if most >= len(rows) or not found.close()[:, -1].any():
                return found
            most *= 4

    def close(self) -> npt.NDArray[np.bool_]:
        """(n, m): which rows score at least as well as the k-th, but for rounding."""
        worst = self.scores[:, self.k - 1, None]
        close: npt.NDArray[np.bool_] = self.scores >= worst - CLOSE * np.abs(worst)
        return close

    def pairs(self) -> Numbers:
        """Sorted, query · rows + row, of all that are close."""
        keys = self.positions + np.arange(len(self.positions))[:, None] * self.rows
        return np.sort(keys[self.close()])


def _scored(queries: Vectors, rows: Vectors, k: int, most: int, by: Metric) -> Truth:
    """The nearest by the kernel's float32 scores, scored again in float64 and sorted by them."""
    if not 1 <= k <= len(rows):
        raise InputError(f"k must lie between 1 and the {len(rows)} rows that are searched, got {k}")
    found = neighbours(queries, rows, Nesting((rows.shape[1],)), most, by).positions[0]
    scores = np.empty(found.shape)
    step = max(PAIRS // (most * rows.shape[1]), 1)
    for start in range(0, len(found), step):
        some = slice(start, start + step)
        scores[some] = _scores(queries[some].astype(np.float64), rows[found[some]].astype(np.float64), by)
    order = np.lexsort((found, -scores))
    return Truth(np.take_along_axis(found, order, 1), np.take_along_axis(scores, order, 1), k, len(rows))


def _scores(queries: Doubles, rows: Doubles, by: Metric) -> Doubles:
    """(q, d) and (q, m, d) -> (q, m): the cosine, the product, or minus the squared distance."""
    if by == "l2":
        squares: Doubles = np.square(rows - queries[:, None]).sum(-1)
        return -squares
    products: Doubles = np.einsum("qmd,qd->qm", rows, queries)
    if by == "dot":
        return products
    lengths = np.linalg.norm(rows, axis=-1) * np.linalg.norm(queries, axis=-1)[:, None]
    cosines: Doubles = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines
