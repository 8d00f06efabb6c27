"""Where the squared length of vectors lies: in which prefixes, in which coordinates, and what eight bits make of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Nesting, prefix
from mrl.retrieval.encodings import CHUNK, encode
from mrl.segments import prefix_norms

NAMED = 5  # coordinates named
WIDE = 25  # standard deviations within a coordinate's range from which a few rows spoil its steps; a normal one has 7

Vectors = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Energy:
    """Shares of the squared length of all rows together.

    cuts: dims. plain, pca: (cuts,) share within the first m coordinates, as they are and after PCA. half: the fewest
    coordinates that hold half. dominant: of the largest ones, (coordinate, share). wide: coordinates whose range is
    spread by a few rows beyond 25 standard deviations, so that int8 has few steps left for the others, the worst
    first; and how many. int8: what int8 changes of the vectors, as a share of their length (root mean square).
    """

    cuts: tuple[int, ...]
    plain: tuple[float, ...]
    pca: tuple[float, ...]
    half: int
    dominant: tuple[tuple[int, float], ...]
    wide: tuple[int, ...]
    wide_count: int
    int8: float


def energy(sample: Vectors, axes: Doubles, cuts: Nesting) -> Energy:
    """Of usable rows (n, d), n at least 1. axes: (d,) shares of the PCA axes, as `fit_pca` has them."""
    moments = np.square(sample, dtype=np.float64).sum(0)
    total = moments.sum() or 1.0
    order = np.argsort(-moments, kind="stable")
    spread = _spread(sample)
    wide = np.flatnonzero(spread > WIDE)
    return Energy(
        cuts=cuts.dims,
        plain=prefix_shares(sample, cuts),
        pca=tuple(float(prefix(axes, dim).sum()) for dim in cuts.dims),
        half=int(np.searchsorted(np.cumsum(moments[order]), total / 2)) + 1,
        dominant=tuple((int(place), float(moments[place] / total)) for place in order[:NAMED]),
        wide=tuple(wide[np.argsort(-spread[wide], kind="stable")][:NAMED].tolist()),
        wide_count=len(wide),
        int8=int8_error(sample),
    )


def prefix_shares(sample: Vectors, cuts: Nesting) -> tuple[float, ...]:
    """Σ|x_m|² / Σ|x|² at every cut m; 0 for rows without any length."""
    full = Nesting((*cuts.dims, sample.shape[1])) if cuts.width < sample.shape[1] else cuts
    squares = np.square(prefix_norms(sample, full)).sum(0)
    return tuple((squares[: len(cuts)] / (squares[-1] or 1.0)).tolist())


def int8_error(sample: Vectors) -> float:
    """√(Σ|x − x̂|² / Σ|x|²), x̂ being what int8 codes of x stand for."""
    wrong = total = 0.0
    for chunk in _chunks(sample):
        wrong += float(np.square(encode(chunk, "int8").decoded(slice(None)) - chunk, dtype=np.float64).sum())
        total += float(np.square(chunk, dtype=np.float64).sum())
    return float(np.sqrt(wrong / total)) if total else 0.0


def _spread(sample: Vectors) -> Doubles:
    """(d,) range over standard deviation of each coordinate within a chunk, the widest of all chunks; 0 if constant."""
    widest = np.zeros(sample.shape[1])
    for chunk in _chunks(sample):
        deviation = chunk.std(0, dtype=np.float64)
        reach = np.ptp(chunk, axis=0).astype(np.float64)
        np.maximum(widest, np.divide(reach, deviation, out=np.zeros_like(reach), where=deviation > 0), out=widest)
    return widest


def _chunks(sample: Vectors) -> Iterator[npt.NDArray[np.float32]]:
    """The rows as int8 codes them: so many at a time share a scale."""
    for start in range(0, len(sample), CHUNK):
        yield np.ascontiguousarray(sample[start : start + CHUNK], np.float32)
