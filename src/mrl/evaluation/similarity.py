"""`evaluate_pairs`: how well the similarity at every prefix ranks scored pairs, from one pass over the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.evaluation.correlation import pearsons_r, resampled, spearmans_rho
from mrl.evaluation.pairs import ScoredPairs, as_pairs
from mrl.evaluation.rows import Row
from mrl.evaluation.subject import Estimate, How, Subject
from mrl.nesting import Metric, Nesting, metric
from mrl.promise.bootstrap import ends
from mrl.vectors import Embedded

TILE = 1024  # pairs whose vectors are held in float64 at once
HOW = How("pairs", 1)

Values = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating[Any]]


def evaluate_pairs(
    a: Embedded,
    b: Embedded,
    scores: Sequence[float] | npt.NDArray[Any] | ScoredPairs,
    *,
    dims: Nesting | None = None,
    run: str = "",
) -> list[Row]:
    """Correlate similarity with gold scores at every trained dim and those between, each computed once.

    a, b: tables of one model's raw vectors. scores: (rows,) one for each row of a and the same row of b, or
    `ScoredPairs`, which may name ids. dims: what to measure. run: the name in the rows, default the model's.

    Spearman's ρ and Pearson's r of the similarity by the card's metric, in [−1, 1], with the 95 % bootstrap interval
    over pairs. CardError or InputError for what does not belong together.
    """
    return per_pair(a, b, scores, dims=dims, run=run).rows()


def per_pair(
    a: Embedded,
    b: Embedded,
    scores: Sequence[float] | npt.NDArray[Any] | ScoredPairs,
    *,
    dims: Nesting | None = None,
    run: str = "",
) -> PerPair:
    """What `evaluate_pairs` correlates, pair by pair."""
    subject = Subject.of(a, b, dims, run)
    pairs = as_pairs(scores).rows(a, b)
    found = np.empty((len(subject.cuts), len(pairs.scores)))
    for start in range(0, len(pairs.scores), TILE):
        part = slice(start, start + TILE)
        both = a.vectors[pairs.left[part]], b.vectors[pairs.right[part]]
        found[:, part] = similarities(*both, subject.cuts, subject.card.metric)
    return PerPair(subject, found, pairs.scores, pairs.notes)


@dataclass(frozen=True, eq=False)
class PerPair:
    """What was measured, pair by pair. similarities: (cuts, pairs). scores: (pairs,) gold. notes: what was left out."""

    subject: Subject
    similarities: Values
    scores: Values
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Spearman's ρ and Pearson's r at every cut, with 95 % intervals."""
        drawn = resampled(self.similarities, self.scores)
        found = (spearmans_rho(self.similarities, self.scores), pearsons_r(self.similarities, self.scores))
        return [
            row
            for name, values, of_draws in zip(("Spearman", "Pearson"), found, drawn, strict=True)
            for row in self._rows(name, values, of_draws)
        ]

    def _rows(self, name: str, values: Values, drawn: Values) -> list[Row]:
        low, high = ends(drawn)  # of few pairs, of which a draw has even fewer, they may miss the value
        each = zip(self.subject.cuts.dims, values.tolist(), low.tolist(), high.tolist(), strict=True)
        return [
            self.subject.row(name, dim, HOW, Estimate(v, min(lo, v), max(hi, v), "bootstrap"), len(self.scores))
            for dim, v, lo, hi in each
        ]


def similarities(left: Vectors, right: Vectors, cuts: Nesting, by: Metric = "cosine") -> Values:
    """The similarity of each row of left (n, d) and the same row of right at every cut, (cuts, n), in float64.

    cosine: ⟨a, b⟩ / (|a| |b|), 0 with a zero prefix. dot: ⟨a, b⟩. l2: −|a − b|². Sums go on from cut to cut.
    """
    cuts.check_width(min(left.shape[1], right.shape[1]))
    kind, sums = metric(by), np.empty((3, len(cuts), len(left)))
    for level, (start, stop) in enumerate(cuts.segments):
        x, y = left[:, start:stop].astype(np.float64), right[:, start:stop].astype(np.float64)
        sums[:, level] = -_dots(x - y, x - y) if kind == "l2" else [_dots(x, y), _dots(x, x), _dots(y, y)]
    first: Values
    first, own, other = np.cumsum(sums, axis=1)
    if kind == "cosine":
        lengths = np.sqrt(own * other)
        np.divide(first, lengths, out=first, where=lengths > 0)
    return first


def spearman(left: Vectors, right: Vectors, scores: npt.ArrayLike, cuts: Nesting, by: Metric = "cosine") -> Values:
    """Spearman's ρ of `similarities` with gold scores (n,) at every cut, (cuts,)."""
    return spearmans_rho(similarities(left, right, cuts, by), scores)


def _dots(x: Values, y: Values) -> Values:
    dots: Values = np.einsum("nd,nd->n", x, y)
    return dots
