"""Linear classification at every dim: by the saved head, or by a probe fitted on the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError, MissingError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.segments import accumulate

TILE = 1024  # rows whose logits are held at once
RIDGE = 1.0  # of the mean variance, added to every variance: rows that the encoder saw vary less than others will

Vectors = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


def head_ranks(head: HeadWeights, vectors: Vectors, labels: Labels, cuts: Nesting) -> Labels:
    """How many classes the head puts before the right one, (cuts, n); 0 is a hit. Vectors are raw, (n, d).

    Labels the head does not know (outside 0 … classes − 1) rank behind all. NestingError where it does not serve a cut.
    """
    bias = [head.at(dim)[1] for dim in cuts.dims]
    if not head.tied:
        levels = [_ranks(head.logits(vectors, dim), labels) for dim in cuts.dims]
        return np.stack(levels)
    weight = np.ascontiguousarray(head.weights[0], dtype=np.float32)
    zero = np.zeros(len(weight), np.float32)
    return _accumulated(vectors, weight, labels, cuts, [zero if b is None else b for b in bias])


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear discriminant at every dim at once: class means and one shared covariance.

    The Cholesky factor of a leading block is the leading block of the factor, so whitening the coordinates once serves
    every prefix: the score of class c at dim m is ⟨u, y_c⟩ − |y_c|²/2 + log π_c over the first m whitened coordinates.

    whiten: (d, d) lower triangular factor. means: (classes, d), whitened. log_priors: (classes,), −inf where absent.
    """

    whiten: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    log_priors: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, vectors: Vectors, labels: Labels) -> Probe:
        """Fit on (n, d) and labels (n,) ≥ 0. InputError with fewer than two classes."""
        counts = np.bincount(labels)
        if (counts > 0).sum() < 2:
            raise InputError(f"a probe needs rows of at least two classes, got {(counts > 0).sum()}")
        x = vectors.astype(np.float64)
        sums = np.zeros((len(counts), x.shape[1]))
        np.add.at(sums, labels, x)
        means = sums / np.maximum(counts, 1)[:, None]
        scatter = x.T @ x - means.T @ sums
        covariance = scatter / max(1, len(x) - (counts > 0).sum())
        covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance) + 1e-12
        factor = np.linalg.cholesky(covariance)
        with np.errstate(divide="ignore"):
            log_priors = np.log(counts / counts.sum())
        return cls(factor, _solve(factor, means.T).T, log_priors)

    def ranks(self, vectors: Vectors, labels: Labels, cuts: Nesting) -> Labels:
        """As `head_ranks`."""
        white = _solve(self.whiten, vectors.astype(np.float64).T).T.astype(np.float32)
        lengths = np.cumsum(self.means**2, axis=1)
        bias = [(self.log_priors - lengths[:, dim - 1] / 2).astype(np.float32) for dim in cuts.dims]
        return _accumulated(white, self.means.astype(np.float32), labels, cuts, bias)


def _accumulated(vectors: Vectors, weight: Any, labels: Labels, cuts: Nesting, bias: list[Any]) -> Labels:
    """Ranks under logits that are continued from cut to cut."""
    ranks = np.empty((len(cuts), len(vectors)), np.int64)
    for part in _tiles(len(vectors)):
        for level, raw in accumulate(np.ascontiguousarray(vectors[part], dtype=np.float32), weight, cuts):
            ranks[level, part] = _ranks(raw + bias[level], labels[part])
    return ranks


def _ranks(logits: Any, labels: Labels) -> Labels:
    """Classes with a larger logit than the right one, or as large a one and an earlier place."""
    known = (labels >= 0) & (labels < logits.shape[1])
    place = np.where(known, labels, 0)[:, None]
    own = np.take_along_axis(logits, place, axis=1)
    before = ~(logits <= own) | ((logits == own) & (np.arange(logits.shape[1]) < place))
    ranks: Labels = np.where(known, before.sum(1), logits.shape[1])
    return ranks


def _tiles(n: int) -> Iterator[slice]:
    return (slice(start, min(start + TILE, n)) for start in range(0, n, TILE))


def _solve(lower: Any, right: Any) -> Any:
    try:
        from scipy.linalg import solve_triangular
    except ImportError:
        raise MissingError("a probe needs SciPy: pip install 'mrl[evaluate]'") from None
    return solve_triangular(lower, right, lower=True, check_finite=False)
