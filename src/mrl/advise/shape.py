"""How vectors lie in their space: intrinsic dimension, anisotropy and hubs, from a sample compared with itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric, Nesting, rescales, unit_prefix
from mrl.segments import neighbours

K = 10  # neighbours of N_k
TRIMMED = 0.1  # share of the largest ratios that TwoNN leaves out

Vectors = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """rows: of the sample that was compared with itself.

    intrinsic: TwoNN's estimate of the intrinsic dimension. participation: (Σλ)² / Σλ² of the variances λ along the
    principal axes: how many axes there would be, were all alike. cosine: the mean cosine of two random rows. resultant:
    the length of the mean of all unit vectors; near 1 all point one way. hubness: skewness of N_10, how often a row is
    among the 10 nearest of another; 0 has no hubs. orphans: the share of rows that are among nobody's 10 nearest.
    None: too few rows to say.
    """

    rows: int
    intrinsic: float | None
    participation: float | None
    cosine: float | None
    resultant: float
    hubness: float | None
    orphans: float | None


def shape(sample: Vectors, by: Metric) -> Shape:
    """What a sample (n, d) of usable rows tells, n at least 1."""
    points = unit_prefix(sample, sample.shape[1]) if rescales(by) else sample
    found = nearest_others(points, min(K, len(points) - 1), "l2" if rescales(by) else by) if len(points) > 1 else None
    times = None if found is None or found.shape[1] < K else occurrences(found)
    length = resultant(sample)
    return Shape(
        rows=len(sample),
        intrinsic=None if found is None else two_nn(points, nearest_by_distance(points, found, by)),
        participation=participation(points),
        cosine=mean_cosine(length, len(sample)),
        resultant=length,
        hubness=None if times is None else skewness(times),
        orphans=None if times is None else float((times == 0).mean()),
    )


def nearest_others(points: Vectors, k: int, by: Metric) -> Numbers:
    """(n, k): the k nearest other rows of every row. k: below n."""
    found = neighbours(points, points, Nesting((points.shape[1],)), k + 1, by).positions[0]
    own = found == np.arange(len(points))[:, None]  # a row that is there often may not find itself
    return np.take_along_axis(found, np.argsort(own, axis=1, kind="stable")[:, :k], axis=1)


def nearest_by_distance(points: Vectors, found: Numbers, by: Metric) -> Numbers:
    """(n, k) neighbours by Euclidean distance, which `dot` has not found."""
    return nearest_others(points, found.shape[1], "l2") if by == "dot" else found


def two_nn(points: Vectors, found: Numbers) -> float | None:
    """Intrinsic dimension from each row's two nearest others (Facco et al. 2017, Sci. Rep. 7:12140).

    Where density is constant up to the second neighbour, μ = r₂ / r₁ has the distribution 1 − μ^−d: the slope of
    −log(1 − F(μ)) against log μ through the origin, over the smaller 90 % of the ratios. Rows with a neighbour at
    distance 0 are left out. None with fewer than 10 others.
    """
    if found.shape[1] < 2:
        return None
    near = np.sort(np.stack([distances(points, found[:, place]) for place in (0, 1)]), axis=0)
    ratios = np.sort(np.log(near[1, near[0] > 0] / near[0, near[0] > 0]))
    if len(ratios) < 10 or not ratios.any():
        return None
    kept = ratios[: int(len(ratios) * (1 - TRIMMED))]
    rises = -np.log1p(-np.arange(1, len(kept) + 1) / len(ratios))
    return float(kept @ rises / (kept @ kept))


def distances(points: Vectors, others: Numbers) -> Doubles:
    """(n,) from each row to another one, in float64: differences of scores would be rounding alone."""
    far: Doubles = np.sqrt(np.square(points.astype(np.float64) - points[others]).sum(1))
    return far


def participation(points: Vectors) -> float | None:
    """(Σλ)² / Σλ² of the covariance's eigenvalues λ, from its trace and Frobenius norm.

    A sample's Σλ² is too large by about (Σλ)² / (n − 1), which is taken off. None for fewer than 3 rows or all alike.
    """
    away = points - points.mean(0, dtype=np.float64)
    gram = away @ away.T if len(away) < away.shape[1] else away.T @ away  # either has the same norm
    n, trace = len(points), float(np.trace(gram))
    if n < 3 or not trace:
        return None
    share = float(np.square(gram).sum()) / trace**2 - 1 / (n - 1)
    return float(1 / max(share, 1 / min(n - 1, points.shape[1])))


def resultant(sample: Vectors) -> float:
    """Length of the mean of the unit vectors (Mu & Viswanath 2018, arXiv 1702.01417 §2, for the common vector)."""
    return float(np.linalg.norm(unit_prefix(sample.astype(np.float64), sample.shape[1]).mean(0)))


def mean_cosine(resultant: float, n: int) -> float | None:
    """Of two different rows among n (Ethayarajh 2019, arXiv 1909.00512 §3.2): |Σu|² = n + n (n − 1) · mean."""
    return (n * resultant**2 - 1) / (n - 1) if n > 1 else None


def occurrences(found: Numbers) -> Numbers:
    """(n,) N_k: in how many of the lists (n, k) each row is (Radovanović et al. 2010, JMLR 11:2487)."""
    return np.bincount(found.ravel(), minlength=len(found))


def skewness(values: npt.NDArray[Any]) -> float:
    """Third standardised moment (§3 there); 0 for values that are all alike."""
    away = values - values.mean()
    spread = float(np.sqrt(np.square(away).mean()))
    return float((away**3).mean() / spread**3) if spread else 0.0
