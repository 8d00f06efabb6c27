"""What vectors are: everything about them that needs no queries, labels or judgements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.energy import Energy, energy
from mrl.advise.order import ASKED, Order, order
from mrl.advise.shape import Shape, shape
from mrl.advise.soundness import Soundness, survey
from mrl.errors import InputError
from mrl.maps import Rotation, fit_pca
from mrl.nesting import Metric, Nesting, metric
from mrl.options import check_count

BLOCK = 4096  # rows looked at together
ALIKE = 4000  # rows compared with each other
FITTED = 16_384  # rows that PCA is fitted on
SAMPLE = 50_000  # rows that are looked at closely

Vectors = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Facts:
    """metric: how rows are compared. sampled: rows looked at closely; `soundness` is of all.

    shape, energy, order: None where no row can be measured.
    """

    metric: Metric
    sampled: int
    soundness: Soundness
    shape: Shape | None = None
    energy: Energy | None = None
    order: Order | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def facts(
    vectors: Vectors, by: Metric = "cosine", *, cuts: Nesting | None = None, sample: int = SAMPLE, seed: int = 0
) -> Facts:
    """Facts of a matrix (n, width), in memory or mapped from disk.

    Lengths, damaged rows and repeats are those of all rows, from one pass; everything else is of a seeded sample of
    those that can be measured. cuts: dims whose energy is told, default the ladder from 8 on. InputError for what is no
    float matrix with a row.
    """
    metric(by)
    check_count("sample", sample, 1)
    check_count("seed", seed)
    seen = survey(_blocks(vectors), chosen(len(vectors), sample, seed))
    usable = seen.vectors[seen.usable(by)]
    rows = np.random.default_rng(seed).permutation(len(usable))
    return facts_of(seen.soundness, usable[rows], by, cuts or ladder(seen.soundness.width))[0]


def facts_of(sound: Soundness, rows: Vectors, by: Metric, cuts: Nesting) -> tuple[Facts, Rotation | None]:
    """Facts from a survey and usable rows (n, width) in random order; and the PCA that was fitted on these."""
    if not len(rows):
        return Facts(by, 0, sound), None
    turn = fit_pca(rows[:FITTED])
    axes = turn.energy if turn.energy is not None else np.zeros(turn.width)
    asking = min(ASKED, len(rows) // 5)
    found = Facts(
        by,
        len(rows),
        sound,
        shape(rows[:ALIKE], by),
        energy(rows[:FITTED], axes, cuts),
        order(rows[:asking], rows[asking:], by),
    )
    return found, turn


def ladder(width: int, trained: Nesting | None = None) -> Nesting:
    """Dims to look at: the width halved down to 8, and the dims that were trained."""
    halved = Nesting.halving(width, min(8, width)).dims
    return Nesting(tuple(sorted({*halved, *(trained.dims if trained else ())})))


def chosen(rows: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `wanted` row numbers, drawn without replacement, in order."""
    if wanted >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))


def _blocks(vectors: Vectors) -> Iterator[Vectors]:
    if vectors.ndim != 2:
        raise InputError(f"vectors are a float matrix (n, width), got shape {vectors.shape}; give one row a vector")
    for start in range(0, len(vectors), BLOCK):
        yield vectors[start : start + BLOCK]
